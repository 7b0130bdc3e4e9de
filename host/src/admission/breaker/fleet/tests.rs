//! Two hosts' breakers over one document, on a clock that the test moves.

use super::*;
use crate::admission::breaker::{Admitted, Refused, Standing};
use crate::config::Limits;

const S: fn(u64) -> Duration = Duration::from_secs;
const T: u64 = 1_800_000_000_000;

struct Fleet {
    hosts: [Breakers; 2],
    document: BreakerDocument,
    began: Instant,
    now: Instant,
}

impl Fleet {
    fn new() -> Self {
        let limits = Limits { breaker_failures: 2, breaker_probe: S(2), ..Limits::default() };
        let now = clock::now();
        let hosts = [(); 2].map(|()| Breakers::new(&limits));
        for host in &hosts {
            host.lock().untold = Some(Untold::default());
        }
        Self { hosts, document: BreakerDocument::default(), began: now, now }
    }

    /// As the hosts' tasks do it, both of them.
    fn look(&mut self) {
        for _ in 0..2 {
            for (host, name) in self.hosts.iter().zip(["a", "b"]) {
                let now_ms = T + (self.now - self.began).as_millis() as u64;
                let (_, events) = host.take_events(self.now);
                (self.document, _) = BreakerDocument::apply(Some(self.document.clone()), &events, name, now_ms);
                host.hear(self.document.clone(), name, now_ms, self.now);
            }
        }
    }

    fn admit(&self, host: usize) -> Result<Admitted<'_>, Refused> {
        self.hosts[host].admit("p", self.now)
    }

    fn fails(&self, host: usize, after: Option<Duration>) {
        let admitted = Admitted { breakers: &self.hosts[host], scope: "p".into(), probe: None };
        admitted.unavailable("api", after, self.now);
    }

    fn standing(&self) -> [Standing; 2] {
        [0, 1].map(|host| self.hosts[host].standing("p", self.now))
    }
}

#[test]
fn what_one_host_was_told_the_other_knows() {
    let mut fleet = Fleet::new();
    fleet.fails(0, Some(S(30)));
    fleet.look();
    assert_eq!(fleet.admit(1).err().unwrap(), Refused { dependency: "api".into(), remaining: S(30) });
    fleet.now += S(10);
    fleet.look();
    assert_eq!(fleet.admit(1).err().unwrap().remaining, S(20));
}

#[test]
fn one_host_probes_and_both_hear_how_it_went() {
    let mut fleet = Fleet::new();
    fleet.fails(0, None);
    fleet.fails(0, None);
    fleet.look();
    fleet.now += S(2);
    assert_eq!(fleet.standing(), [Standing::Open; 2], "nobody has leave");
    fleet.look();
    assert_eq!(fleet.standing(), [Standing::ProbeIsDue, Standing::Open]);
    let probe = fleet.admit(0).unwrap();
    assert!(fleet.admit(0).is_err() && fleet.admit(1).is_err(), "it is under way");
    probe.unavailable("api", None, fleet.now);
    fleet.look();
    assert_eq!([0, 1].map(|host| fleet.admit(host).err().unwrap().remaining), [S(4); 2]);

    fleet.now += S(4);
    assert!(fleet.admit(1).is_err(), "it has no leave yet, and asks for it");
    fleet.look();
    assert_eq!(fleet.standing(), [Standing::Open, Standing::ProbeIsDue]);
    fleet.admit(1).unwrap().succeeded();
    fleet.look();
    assert_eq!(fleet.standing(), [Standing::Closed; 2]);
    assert_eq!(fleet.document, BreakerDocument::default());
}

#[test]
fn a_probe_of_a_host_that_died_is_followed_by_another_hosts() {
    let mut fleet = Fleet::new();
    fleet.fails(0, Some(S(2)));
    fleet.look();
    fleet.now += S(2);
    fleet.standing();
    fleet.look();
    assert_eq!(fleet.standing(), [Standing::ProbeIsDue, Standing::Open]);
    fleet.now += S(10);
    assert_eq!(fleet.standing(), [Standing::ProbeIsDue, Standing::Open]);
    let (_, events) = fleet.hosts[1].take_events(fleet.now);
    (fleet.document, _) = BreakerDocument::apply(Some(fleet.document.clone()), &events, "b", T + 12_000);
    fleet.look();
    assert_eq!(fleet.standing(), [Standing::Open, Standing::ProbeIsDue]);
}

#[test]
fn without_the_ledger_each_host_has_its_own_and_tells_what_it_learned_later() {
    let mut fleet = Fleet::new();
    fleet.fails(0, Some(S(2)));
    fleet.look();
    fleet.now += S(2);
    for host in &fleet.hosts {
        let (told, _) = host.take_events(fleet.now);
        host.alone(told);
    }
    assert_eq!(fleet.standing(), [Standing::ProbeIsDue; 2]);
    fleet.admit(1).unwrap().succeeded();
    let (told, events) = fleet.hosts[1].take_events(fleet.now);
    assert_eq!(events, [BreakerEvent::Closed { scope: "p".into() }]);
    fleet.hosts[1].alone(told);
    fleet.look();
    assert_eq!(fleet.standing(), [Standing::Closed; 2]);
}

#[test]
fn what_a_host_learns_while_it_asks_counts_more_than_the_answer() {
    let mut fleet = Fleet::new();
    fleet.fails(0, Some(S(2)));
    fleet.look();
    let asked = fleet.document.clone();
    let success = Admitted { breakers: &fleet.hosts[0], scope: "p".into(), probe: None };
    success.succeeded();
    fleet.hosts[0].hear(asked, "a", T, fleet.now);
    assert_eq!(fleet.standing(), [Standing::Closed, Standing::Open]);
    fleet.look();
    assert_eq!(fleet.standing(), [Standing::Closed; 2]);
}
