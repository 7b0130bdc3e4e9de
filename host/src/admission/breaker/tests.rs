//! Breakers on a clock that the test moves.

use super::status::{BreakerStatus, LISTED_MAX};
use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Breakers that open after two failures and probe after 2 s, and the time.
struct Bench {
    /// Leaked, so that a probe may be under way while the time passes.
    breakers: &'static Breakers,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let limits = Limits { breaker_failures: 2, breaker_probe: S(2), breaker_dependencies: 3, ..Limits::default() };
        Self { breakers: Box::leak(Box::new(Breakers::new(&limits))), now: wasq_core::clock::now() }
    }

    /// One whose breaker for `p` and `api` has just opened.
    fn open() -> Self {
        let bench = Self::new();
        bench.fails("p", "api");
        bench.fails("p", "api");
        bench
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn admit(&self, plugin: &'static str) -> Result<Admitted<'static>, Refused> {
        self.breakers.admit(plugin, self.now)
    }

    /// A run that starts whatever the breakers say, as one that began before they opened.
    fn early(&self, plugin: &'static str) -> Admitted<'static> {
        Admitted { breakers: self.breakers, scope: plugin.into(), probe: None }
    }

    fn fails(&self, plugin: &'static str, dependency: &str) -> Duration {
        self.early(plugin).unavailable(dependency, None, self.now)
    }

    /// The next probe, which must be let through now.
    fn probe(&self, plugin: &'static str) -> Admitted<'static> {
        let admitted = self.admit(plugin).unwrap_or_else(|refused| panic!("{plugin} must wait: {refused:?}"));
        assert!(admitted.probe.is_some(), "a run of {plugin} is no probe");
        admitted
    }

    /// How much longer a run must wait, and for what.
    fn waits(&self, plugin: &'static str) -> (String, Duration) {
        let refused = self.admit(plugin).err().unwrap_or_else(|| panic!("{plugin} may run"));
        (refused.dependency, refused.remaining)
    }

    fn runs(&self, plugin: &'static str) -> bool {
        self.admit(plugin).is_ok_and(|admitted| admitted.probe.is_none())
    }

    /// Plugin, dependency, whether it is open and probed, failures.
    fn listed(&self) -> Vec<(String, String, bool, bool, u32)> {
        let all = self.breakers.status(self.now).into_iter();
        all.map(|one| (one.plugin, one.dependency, one.open, one.probing, one.failures)).collect()
    }
}

fn api(wait: Duration) -> (String, Duration) {
    ("api".into(), wait)
}

#[test]
fn failures_in_a_row_open_a_breaker_and_a_success_closes_it() {
    let bench = Bench::new();
    assert_eq!(bench.fails("p", "api"), S(2));
    assert!(bench.runs("p"), "one failure opens nothing");
    assert_eq!(bench.fails("p", "api"), S(2));
    assert_eq!(bench.waits("p"), api(S(2)));
    bench.early("p").succeeded();
    assert!(bench.runs("p"));
    bench.fails("p", "api");
    assert!(bench.runs("p"), "it counts from the start");
}

#[test]
fn the_wait_doubles_with_each_probe_that_fails_at_once_up_to_a_minute() {
    let mut bench = Bench::open();
    bench.pass(S(2));
    for wait in [4, 8, 16, 32, 60, 60, 60] {
        let probe = bench.probe("p");
        bench.pass(MS(100));
        assert_eq!(probe.unavailable("api", None, bench.now), S(wait));
        assert_eq!(bench.waits("p"), api(S(wait)));
        bench.pass(S(wait) - MS(1));
        assert_eq!(bench.waits("p"), api(MS(1)));
        bench.pass(MS(1));
    }
}

#[test]
fn a_probe_that_succeeds_closes_the_breaker_and_its_wait_begins_anew() {
    let mut bench = Bench::open();
    bench.pass(S(2));
    assert_eq!(bench.probe("p").unavailable("api", None, bench.now), S(4));
    bench.pass(S(4));
    bench.probe("p").succeeded();
    assert!(bench.runs("p") && bench.listed().is_empty());
    bench.fails("p", "api");
    bench.fails("p", "api");
    assert_eq!(bench.waits("p"), api(S(2)));
}

#[test]
fn what_the_dependency_says_of_its_return_moves_the_next_probe() {
    for (after, expect) in [(0, 4), (3, 4), (30, 30), (60, 60), (3_600, 60)] {
        let mut bench = Bench::open();
        bench.pass(S(2));
        let hidden = bench.probe("p").unavailable("api", Some(S(after)), bench.now);
        assert_eq!(bench.waits("p"), api(S(expect)), "after {after} s");
        assert_eq!(hidden, S(expect.max(after)), "its own message waits as long as it was told");
        bench.pass(S(expect));
        assert_eq!(bench.probe("p").unavailable("api", None, bench.now), S(8), "and the wait doubles once");
    }
    let bench = Bench::new();
    bench.fails("p", "api");
    assert_eq!(bench.early("p").unavailable("api", Some(S(20)), bench.now), S(20));
    assert_eq!(bench.waits("p"), api(S(20)), "the first wait, too");
}

#[test]
fn while_a_probe_runs_the_others_wait_however_long_it_takes() {
    let mut bench = Bench::open();
    bench.pass(S(2));
    let probe = bench.probe("p");
    for _ in 0..50 {
        assert_eq!(bench.waits("p"), api(S(4)), "they look again after the wait");
        bench.pass(S(1));
    }
    assert_eq!(bench.listed(), [("p".into(), "api".into(), true, true, 2)]);
    assert_eq!(probe.unavailable("api", None, bench.now), S(4));
    bench.pass(S(1));
    assert_eq!(bench.waits("p"), api(S(3)));
}

#[test]
fn a_probe_that_never_says_how_it_went_is_followed_by_another() {
    let mut bench = Bench::open();
    bench.pass(S(2));
    drop(bench.probe("p"));
    assert_eq!(bench.waits("p"), api(S(4)));
    bench.pass(S(4));
    assert_eq!(bench.probe("p").unavailable("api", None, bench.now), S(4), "it has not doubled the wait");
}

#[test]
fn runs_that_began_before_it_opened_neither_double_its_wait_nor_end_its_probe() {
    let mut bench = Bench::open();
    assert_eq!(bench.fails("p", "api"), S(2));
    bench.pass(S(5));
    assert_eq!(bench.fails("p", "api"), S(2), "late, and before the probe");
    let probe = bench.probe("p");
    bench.fails("p", "api");
    drop(bench.early("p"));
    assert_eq!(bench.waits("p"), api(S(4)), "the probe is under way");
    assert_eq!(probe.unavailable("api", None, bench.now), S(4));
}

#[test]
fn a_late_probe_of_a_breaker_that_was_closed_does_not_end_the_probe_of_the_next() {
    let mut bench = Bench::open();
    bench.pass(S(2));
    let late = bench.probe("p");
    bench.early("p").succeeded();
    bench.fails("p", "api");
    bench.fails("p", "api");
    bench.pass(S(2));
    let probe = bench.probe("p");
    assert_eq!(late.unavailable("api", None, bench.now), S(4));
    bench.pass(S(50));
    assert_eq!(bench.waits("p"), api(S(4)), "the second probe is under way");
    assert_eq!(probe.unavailable("api", None, bench.now), S(4));
}

#[test]
fn a_probe_is_let_through_when_the_waits_of_all_its_dependencies_are_over() {
    let mut bench = Bench::open();
    bench.pass(S(1));
    bench.fails("p", "db");
    bench.fails("p", "db");
    bench.pass(S(1));
    assert_eq!(bench.waits("p"), ("db".into(), S(1)), "and the other's probe is not spent");
    bench.pass(S(1));
    let probe = bench.probe("p");
    assert_eq!(bench.listed().iter().map(|one| one.3).collect::<Vec<_>>(), [true, true]);
    assert_eq!(probe.unavailable("db", None, bench.now), S(4));
    assert_eq!(bench.listed().iter().map(|one| one.3).collect::<Vec<_>>(), [false, false]);
    bench.pass(S(4));
    assert_eq!(bench.probe("p").unavailable("api", None, bench.now), S(4), "it was not the one that failed");
}

#[test]
fn a_plugin_holds_no_other_back_whatever_it_says_of_a_dependency() {
    let bench = Bench::open();
    bench.fails("q", "api");
    assert!(bench.runs("q"), "its own failures count");
    bench.early("q").succeeded();
    assert_eq!(bench.waits("p"), api(S(2)), "another's success closes nothing");
    assert_eq!(bench.listed(), [("p".into(), "api".into(), true, false, 2)]);
}

#[test]
fn a_plugin_has_so_many_breakers_and_forgets_the_closed_one_that_failed_first() {
    let mut bench = Bench::open();
    for name in ["x", "y", "z"] {
        bench.pass(MS(1));
        bench.fails("p", name);
    }
    let names = |bench: &Bench| bench.listed().into_iter().map(|one| one.1).collect::<Vec<_>>();
    assert_eq!(names(&bench), ["api", "y", "z"]);
    for number in 0..1_000 {
        bench.fails("p", &format!("made-up-{number}"));
    }
    assert_eq!(names(&bench).len(), 3);
    assert_eq!(bench.waits("p").0, "api", "what is open is kept");
    assert_eq!(bench.fails("q", "db"), S(2));
    bench.fails("q", "db");
    assert_eq!(bench.waits("q").0, "db", "others have room");
}

#[test]
fn a_dependency_that_failed_again_is_not_the_one_that_is_forgotten() {
    let mut bench = Bench::new();
    let limits = Limits { breaker_failures: 3, breaker_dependencies: 2, ..Limits::default() };
    bench.breakers = Box::leak(Box::new(Breakers::new(&limits)));
    for name in ["x", "y", "x", "z"] {
        bench.pass(MS(1));
        bench.fails("p", name);
    }
    let names: Vec<_> = bench.listed().into_iter().map(|one| one.1).collect();
    assert_eq!(names, ["x", "z"]);
}

#[test]
fn where_all_of_a_plugins_breakers_are_open_one_more_dependency_is_told_to_wait_and_not_kept() {
    let bench = Bench::open();
    for name in ["x", "x", "y", "y"] {
        bench.fails("p", name);
    }
    assert_eq!(bench.early("p").unavailable("z", Some(S(9)), bench.now), S(9));
    assert_eq!(bench.fails("p", "z"), S(2));
    let names: Vec<_> = bench.listed().into_iter().map(|one| (one.1, one.2)).collect();
    assert_eq!(names, ["api", "x", "y"].map(|name| (name.to_owned(), true)));
}

#[test]
fn a_listing_says_how_long_a_breaker_is_open_and_when_it_is_probed() {
    let mut bench = Bench::new();
    bench.fails("q", "db");
    bench.fails("p", "web");
    bench.fails("p", "api");
    bench.fails("p", "api");
    let status = |plugin: &str, dependency: &str, open, open_for_ms, failures, probing, probe_in_ms| BreakerStatus {
        plugin: plugin.into(),
        key: None,
        dependency: dependency.into(),
        open,
        open_for_ms,
        failures,
        probing,
        probe_in_ms,
    };
    bench.pass(MS(500));
    let (web, db) = (status("p", "web", false, 0, 1, false, 0), status("q", "db", false, 0, 1, false, 0));
    let open = status("p", "api", true, 500, 2, false, 1_500);
    assert_eq!(bench.breakers.status(bench.now), [open, web.clone(), db.clone()]);
    bench.pass(S(2));
    let due = status("p", "api", true, 2_500, 2, false, 0);
    assert_eq!(bench.breakers.status(bench.now), [due, web.clone(), db.clone()]);
    let probe = bench.probe("p");
    let probed = status("p", "api", true, 2_500, 2, true, 0);
    assert_eq!(bench.breakers.status(bench.now), [probed, web.clone(), db.clone()]);
    probe.unavailable("api", None, bench.now);
    let again = status("p", "api", true, 2_500, 3, false, 4_000);
    assert_eq!(bench.breakers.status(bench.now), [again, web, db]);
}

#[test]
fn a_key_holds_no_other_key_back() {
    let bench = Bench::new();
    let [one, other] = ["stripe:1", "stripe:2"].map(|key| scope("p", Some(key.into())));
    let told = Admitted { breakers: bench.breakers, scope: one.clone(), probe: None };
    told.unavailable("api", Some(S(30)), bench.now);
    assert_eq!(bench.breakers.standing(&one, bench.now), Standing::Open);
    assert_eq!(bench.breakers.standing(&other, bench.now), Standing::Closed);
    let listed = bench.breakers.status(bench.now);
    assert_eq!((listed.len(), listed[0].plugin.as_str(), listed[0].key.as_deref()), (1, "p", Some("stripe:1")));
    assert_eq!((plugin_of(&one), plugin_of("p")), ("p", "p"));
}

#[test]
fn very_many_keys_cost_bounded_memory_and_the_open_ones_are_listed_first() {
    let limits = Limits { breaker_failures: 2, rate_keys: 200, ..Limits::default() };
    let (breakers, now) = (Breakers::new(&limits), wasq_core::clock::now());
    for key in 0..1_000 {
        let scope = scope("p", Some(key.to_string()));
        let after = (key % 10 == 0).then(|| S(30));
        Admitted { breakers: &breakers, scope, probe: None }.unavailable("api", after, now);
    }
    let listed = breakers.status(now);
    assert_eq!((breakers.lock().by_scope.len(), listed.len()), (200, LISTED_MAX));
    assert!(listed.iter().all(|breaker| breaker.open), "those are more than are listed");
    assert_eq!(breakers.count_open(), 100, "what is open is not forgotten");
    let worst = breakers.by_dependency(now);
    assert_eq!((worst.len(), worst[0].open), (1, true));
}
