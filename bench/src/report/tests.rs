use super::*;

fn standing(name: Contestant, rates: &[f64]) -> Standing {
    let round = |rate: &f64| Sample {
        handled: 10,
        runs: None,
        messages_per_s: *rate,
        cpu_us: CpuUs { contestant: 1e6 / rate, host: None, guest: None, queue: None },
        calls_per_message: None,
        calls: BTreeMap::new(),
        rss_peak_bytes: 1,
    };
    let pace = Pace { pollers: 1, concurrency: 1 };
    Standing::new(name, pace, Vec::new(), rates.iter().map(round).collect()).unwrap()
}

#[test]
fn the_median_is_the_middle() {
    let check = |values: &[f64], expect| assert_eq!(middle(values.to_vec()), expect, "{values:?}");
    check(&[], None);
    check(&[3.0], Some(3.0));
    check(&[4.0, 1.0], Some(2.5));
    check(&[9.0, 1.0, 2.0], Some(2.0));
}

#[test]
fn a_ratio_is_that_of_the_medians_and_the_ceiling_comes_last() {
    let standings = [
        standing(Contestant::Wasq, &[100.0, 200.0, 90.0]),
        standing(Contestant::Native, &[200.0, 250.0, 100.0]),
        standing(Contestant::Boto3, &[10.0, 10.0, 10.0]),
    ];
    let ratios = ratios(&standings);
    assert_eq!(ratios.iter().map(|ratio| ratio.to).collect::<Vec<_>>(), [Contestant::Boto3, Contestant::Native]);
    let ceiling = &ratios[1];
    assert_eq!((ceiling.ratio, ceiling.lowest, ceiling.highest), (0.5, 0.5, 0.9));
    assert_eq!(ceiling.more_cpu_us, 5_000.0);
}
