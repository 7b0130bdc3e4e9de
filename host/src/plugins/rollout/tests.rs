use super::*;

#[test]
fn a_trial_ends_by_failures_at_once_and_by_a_clean_record_in_the_end() {
    let rules = RolloutConfig { window: Duration::from_secs(60), min_runs: 20, ..RolloutConfig::default() };
    let check = |stable: (u64, u64), candidate: (u64, u64), elapsed_s: u64, expect: Option<bool>| {
        let tally = |(failures, runs)| Tally { runs, failures };
        let runs = Runs { stable: tally(stable), candidate: tally(candidate) };
        let promoted = judge(runs, Duration::from_secs(elapsed_s), &rules).map(|outcome| outcome == TrialEnd::Promoted);
        assert_eq!(promoted, expect, "{stable:?} {candidate:?} after {elapsed_s} s");
    };
    check((0, 180), (19, 19), 600, None);
    check((0, 180), (2, 20), 1, None);
    check((0, 180), (3, 20), 1, Some(false));
    check((18, 180), (3, 20), 1, None);
    check((18, 180), (5, 20), 1, Some(false));
    check((0, 180), (2, 20), 60, Some(true));
    check((0, 0), (20, 20), 60, Some(false));
    check((50, 100), (0, 20), 59, None);
}

#[test]
fn keys_are_spread_evenly() {
    let below = (0..10_000_u32).filter(|n| unit_interval(&Key::derive(&[&n.to_le_bytes()])) < 0.1).count();
    assert!((900..1_100).contains(&below), "{below}");
}
