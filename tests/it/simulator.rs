//! The host's flow, keeper, settler and drain on a simulated clock, over a queue and a ledger that
//! fail as a seed says.

use wasq_tests::sim::{Simulator, Violation};

/// How many seeds are run; `WASQ_SIM_SEEDS` sets another number.
fn seeds() -> u64 {
    std::env::var("WASQ_SIM_SEEDS").map_or(2_000, |text| text.parse().expect("WASQ_SIM_SEEDS is a number"))
}

fn explain(violation: Violation) -> String {
    let Violation { seed, what, trace } = violation;
    let trace = trace.join("\n");
    format!("{trace}\nseed {seed}: {what}\nReplay: cargo run --bin wasq-tests -- sim --first {seed} --seeds 1")
}

#[test]
fn whatever_goes_wrong_nothing_is_lost_and_nothing_is_done_twice() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let total =
        Simulator::new().run_many(0, seeds(), threads, &|_| {}).unwrap_or_else(|found| panic!("{}", explain(found)));
    // A simulation in which nothing happened would find nothing.
    let seeds = seeds();
    assert!(total.runs > seeds && total.faults > seeds && total.crashes * 10 > seeds, "{total:?}");
    assert!(total.stalls * 10 > seeds && total.drains * 10 > seeds && total.verdicts > seeds, "{total:?}");
    assert!(total.follow_ups * 2 > seeds, "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let simulator = Simulator::new();
    for seed in 0..20 {
        let [first, second] =
            [(); 2].map(|()| simulator.run(seed).unwrap_or_else(|found| panic!("{}", explain(found))));
        assert_eq!(first, second, "seed {seed}");
    }
}
