use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn pace(limit: &str, burst: u32) -> Pace {
    Pace::new(limit.parse().expect("a rate"), burst)
}

/// A document and the hosts that take from it.
struct Ledger {
    pace: Pace,
    document: Option<RateDocument>,
    /// The times of all slots that were taken, in nanoseconds.
    taken_ns: Vec<u64>,
}

impl Ledger {
    fn new(pace: Pace) -> Self {
        Self { pace, document: None, taken_ns: Vec::new() }
    }

    fn take(&mut self, host: &str, slots: u32, now_ms: u64) -> Taken {
        let (taken, change) = take(self.document.clone(), self.pace, Wanted { host, slots, now_ms });
        if let Change::Write(document, _) = change {
            self.document = Some(document);
        }
        if let Taken::Slots { first_in, count, .. } = taken {
            let first_ns = now_ms * NS_PER_MS + first_in.as_nanos() as u64;
            self.taken_ns.extend((0..u64::from(count)).map(|n| first_ns + n * self.pace.interval.as_nanos() as u64));
        }
        taken
    }
}

#[test]
fn a_pace_never_allows_more_than_its_limit() {
    assert_eq!(pace("100/s", 20), Pace { interval: MS(10), burst: 20 });
    assert_eq!(pace("3/s", 1).interval, Duration::from_nanos(333_333_334));
    assert_eq!(pace("1/h", 1).interval, Duration::from_secs(3_600));
    assert_eq!((pace("100/s", 20).tolerance(), pace("100/s", 1).tolerance()), (MS(190), MS(0)));
}

#[test]
fn the_first_who_asks_gets_slots_from_now_on() {
    let mut ledger = Ledger::new(pace("100/s", 1));
    assert_eq!(ledger.take("a", 3, 5_000), Taken::Slots { first_in: MS(0), count: 3, hosts: 1 });
    assert_eq!(ledger.take("a", 3, 5_010), Taken::Slots { first_in: MS(20), count: 3, hosts: 1 });
    assert_eq!(ledger.take("b", 1, 5_010), Taken::Slots { first_in: MS(50), count: 1, hosts: 2 });
    // What nobody took is over.
    assert_eq!(ledger.take("b", 1, 9_000), Taken::Slots { first_in: MS(0), count: 1, hosts: 2 });
}

#[test]
fn nobody_takes_more_than_a_share_of_the_window_nor_what_is_far_ahead() {
    let mut ledger = Ledger::new(pace("100/s", 1));
    assert_eq!(ledger.take("a", 1_000, 0), Taken::Slots { first_in: MS(0), count: 50, hosts: 1 });
    assert_eq!(ledger.take("b", 1_000, 0), Taken::Slots { first_in: MS(500), count: 25, hosts: 2 });
    assert_eq!(ledger.take("b", 1_000, 0), Taken::Slots { first_in: MS(750), count: 25, hosts: 2 });
    assert_eq!(ledger.take("b", 1_000, 0), Taken::Slots { first_in: MS(1_000), count: 25, hosts: 2 });
    let later = Taken::Later { ask_in: MS(250), usable_in: MS(1_250), hosts: 2 };
    assert_eq!(ledger.take("a", 1, 0), later);
    assert_eq!(ledger.take("a", 9, 250), Taken::Slots { first_in: MS(1_000), count: 9, hosts: 2 });
    // Who has taken none for 10 s does not count any more.
    assert_eq!(ledger.take("a", 1, 10_251), Taken::Slots { first_in: MS(0), count: 1, hosts: 1 });
}

#[test]
fn a_burst_may_be_used_early_and_is_paid_back() {
    let mut ledger = Ledger::new(pace("10/s", 20));
    assert_eq!(ledger.take("a", 50, 0), Taken::Slots { first_in: MS(0), count: 20, hosts: 1 });
    // The next is due at 2 s, and may be used from 100 ms on.
    assert_eq!(ledger.take("a", 50, 0), Taken::Slots { first_in: MS(2_000), count: 5, hosts: 1 });
    // Usable from 600 ms on.
    assert_eq!(ledger.take("a", 50, 0), Taken::Slots { first_in: MS(2_500), count: 5, hosts: 1 });
    assert_eq!(ledger.take("a", 50, 0), Taken::Later { ask_in: MS(100), usable_in: MS(1_100), hosts: 1 });
}

#[test]
fn a_slow_rate_says_when_its_next_slot_is() {
    let mut ledger = Ledger::new(pace("1/m", 1));
    assert_eq!(ledger.take("a", 5, 0), Taken::Slots { first_in: MS(0), count: 1, hosts: 1 });
    let later = Taken::Later { ask_in: MS(50_000), usable_in: MS(51_000), hosts: 2 };
    assert_eq!(ledger.take("b", 5, 9_000), later);
}

#[test]
fn of_any_hosts_that_ask_at_any_time_no_two_get_one_slot_and_the_limit_holds() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let burst = rng.u32(1..=5);
        let pace = pace(["100/s", "7/s", "1000/s"][rng.usize(0..3)], burst);
        let (mut ledger, mut now_ms) = (Ledger::new(pace), 1_000);
        for _ in 0..300 {
            now_ms += rng.u64(0..100);
            ledger.take(["a", "b", "c"][rng.usize(0..3)], rng.u32(1..60), now_ms);
        }
        let interval_ns = pace.interval.as_nanos() as u64;
        let apart = ledger.taken_ns.windows(2).all(|pair| pair[1] >= pair[0] + interval_ns);
        assert!(apart, "seed {seed}: two slots are closer than the interval");
    }
}

#[test]
fn a_document_is_kept_until_its_slots_are_over() {
    let (_, change) = take(None, pace("1/m", 1), Wanted { host: "a", slots: 1, now_ms: 0 });
    let Change::Write(_, kept) = change else { panic!("{change:?}") };
    assert_eq!(kept, Duration::from_secs(120));
}
