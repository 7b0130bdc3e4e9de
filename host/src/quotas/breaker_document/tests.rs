use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;
const T: u64 = 1_800_000_000_000;

fn opened(scope: &str, dependency: &str, remaining: Duration) -> BreakerEvent {
    BreakerEvent::Opened { scope: scope.into(), dependency: dependency.into(), remaining, wait: S(4), failures: 5 }
}

fn closed(scope: &str) -> BreakerEvent {
    BreakerEvent::Closed { scope: scope.into() }
}

fn wanted(scope: &str) -> BreakerEvent {
    BreakerEvent::ProbeWanted { scope: scope.into() }
}

fn after(document: BreakerDocument, events: &[BreakerEvent], host: &str, now_ms: u64) -> BreakerDocument {
    BreakerDocument::apply(Some(document), events, host, now_ms).0
}

/// Who may probe each of a scope's.
fn probers(document: &BreakerDocument, scope: &str) -> Vec<Option<String>> {
    let open = document.open.get(scope).into_iter().flat_map(BTreeMap::values);
    open.map(|breaker| breaker.probe.as_ref().map(|probe| probe.host.clone())).collect()
}

#[test]
fn one_host_probes_when_the_wait_is_over() {
    let open = after(BreakerDocument::default(), &[opened("p", "api", S(2)), opened("p", "db", S(3))], "a", T);
    let early = after(open.clone(), &[wanted("p")], "b", T + 2_500);
    assert_eq!(probers(&early, "p"), [None, None], "one of them is not to be probed yet");
    let b = after(open, &[wanted("p")], "b", T + 3_000);
    assert_eq!(probers(&b, "p"), [Some("b".into()), Some("b".into())]);
    assert_eq!(after(b.clone(), &[wanted("p")], "c", T + 12_999), b, "another one probes");
    let c = after(b, &[wanted("p")], "c", T + 13_000);
    assert_eq!(probers(&c, "p"), [Some("c".into()), Some("c".into())], "it has taken too long");
}

#[test]
fn a_probe_that_fails_lets_all_wait_longer_and_one_that_succeeds_none() {
    let open = after(BreakerDocument::default(), &[opened("p", "api", S(2)), opened("q", "api", S(2))], "a", T);
    let probed = after(open, &[wanted("p")], "b", T + 2_000);
    let failed = after(probed.clone(), &[opened("p", "api", S(4))], "b", T + 2_100);
    assert_eq!(probers(&failed, "p"), [None]);
    assert_eq!((failed.open["p"]["api"].since_ms, failed.open["p"]["api"].until_ms), (T, T + 6_100));
    let succeeded = after(probed, &[closed("p")], "b", T + 2_100);
    assert_eq!(succeeded.open.keys().collect::<Vec<_>>(), ["q"]);
}

#[test]
fn who_says_the_same_again_changes_nothing() {
    let (open, _) = BreakerDocument::apply(None, &[opened("p", "api", S(2))], "a", T);
    let again = BreakerDocument::apply(Some(open.clone()), &[opened("p", "api", S(2))], "b", T);
    assert_eq!(again, (open.clone(), Change::Leave));
    assert_eq!(BreakerDocument::apply(Some(open.clone()), &[closed("q"), wanted("q")], "b", T), (open, Change::Leave));
}

#[test]
fn what_nobody_probes_is_forgotten_and_there_is_room_for_so_many() {
    let many: Vec<_> = (0..300).map(|n| opened(&format!("p{n}"), "api", S(2))).collect();
    let full = after(BreakerDocument::default(), &many, "a", T);
    assert_eq!(full.open.len(), BREAKERS_MAX);
    let last = T + 2_000 + KEPT.as_millis() as u64;
    assert_eq!(after(full.clone(), &[], "b", last - 1).open.len(), BREAKERS_MAX);
    assert_eq!(after(full, &[], "b", last), BreakerDocument::default());
}
