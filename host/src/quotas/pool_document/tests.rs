use wasq_core::clock;

use super::*;

fn document(hosts: &[(&str, usize, usize)]) -> PoolDocument {
    let hosts = hosts
        .iter()
        .map(|(host, permits, wants)| ((*host).to_owned(), HostLease { permits: *permits, wants: *wants, beat: 1 }));
    PoolDocument { hosts: hosts.collect(), beats: 1 }
}

#[test]
fn a_host_gets_what_it_can_use_of_what_others_leave() {
    let check = |others: &[(&str, usize, usize)], (leased, wants), expect| {
        let part = document(others).part("me", 32, Need { leased, wants });
        assert_eq!((part.permits, part.is_contended), expect, "{others:?} {leased} {wants}");
    };
    // Alone: what it needs and a few more, and what it has.
    check(&[], (0, 5), (7, false));
    check(&[], (7, 6), (7, false));
    check(&[], (7, 0), (7, false));
    check(&[], (0, 100), (32, true));
    // Others have some, and enough.
    check(&[("a", 30, 30)], (0, 5), (2, true));
    check(&[("a", 20, 10)], (0, 5), (7, false));
    // Others wait: each has its share, also of what is in use.
    check(&[("a", 0, 9)], (32, 32), (16, true));
    check(&[("a", 0, 9)], (32, 3), (3, true));
    check(&[("a", 0, 9)], (7, 0), (0, true));
    check(&[("a", 10, 99), ("b", 11, 99)], (10, 99), (11, true));
    // Others have taken what it still uses.
    check(&[("a", 32, 32)], (4, 4), (0, true));
}

#[test]
fn whatever_hosts_ask_for_the_pool_is_never_exceeded() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let size = rng.usize(1..=40);
        let mut document = PoolDocument::default();
        let mut hosts = [(0, 0); 4];
        for _ in 0..200 {
            let at = rng.usize(0..4);
            let (leased, in_use) = hosts[at];
            let me = format!("host-{at}");
            let wants = in_use.max(rng.usize(0..=30));
            let part = document.part(&me, size, Need { leased, wants });
            let has = part.permits.max(in_use);
            document = document.renewed(&me, has, wants, &[], UnixMs(0));
            hosts[at] = (has, rng.usize(0..=has));
            let leased: usize = document.hosts.values().map(|lease| lease.permits).sum();
            assert!(leased <= size, "seed {seed}: {leased} of {size}");
        }
    }
}

#[test]
fn a_host_whose_beat_stands_still_is_dead_after_a_lease() {
    let began = clock::now();
    let mut observed = Observed::default();
    let mut ledger = document(&[("me", 1, 1), ("a", 4, 4), ("b", 4, 4)]);
    assert_eq!(observed.note(&ledger, "me", began), [""; 0]);
    ledger = ledger.renewed("a", 4, 4, &[], UnixMs(0));
    assert_eq!(observed.note(&ledger, "me", began + DEAD), [""; 0]);
    let late = began + DEAD + Duration::from_millis(1);
    assert_eq!(observed.note(&ledger, "me", late), ["b"]);
    let without = ledger.without(&["b".into()]);
    let need = Need { leased: 1, wants: 9 };
    assert_eq!(without.part("me", 8, need).permits, 4, "what it had is free");
    ledger = without.renewed("me", 4, 9, &["b".into()], UnixMs(0));
    assert_eq!(ledger.hosts.keys().collect::<Vec<_>>(), ["a", "me"]);
    assert_eq!(observed.note(&ledger, "me", began + 2 * DEAD), [""; 0]);
}

#[test]
fn who_has_and_wants_nothing_is_gone() {
    let ledger = document(&[("me", 3, 0)]).renewed("me", 0, 0, &[], UnixMs(0));
    assert_eq!(ledger.hosts, BTreeMap::new());
}

#[test]
fn a_host_that_has_left_and_come_back_does_not_stand_still() {
    let began = clock::now();
    let mut observed = Observed::default();
    let ledger = PoolDocument::default().renewed("a", 1, 1, &[], UnixMs(5));
    observed.note(&ledger, "me", began);
    for back in [ledger.renewed("a", 0, 0, &[], UnixMs(5)), PoolDocument::default()] {
        let ledger = back.renewed("a", 1, 1, &[], UnixMs(6));
        assert_eq!(observed.note(&ledger, "me", began + 2 * DEAD), [""; 0]);
    }
}
