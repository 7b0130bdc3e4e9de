//! When to look for entries that are due. Redis gives none back by itself.
//!
//! What this host has hidden is known by its name and its time. Everything else that comes due is
//! found by a sweep through the pending entries, once a second: entries of hosts that are gone,
//! leases that nobody has renewed, and what other hosts have hidden. A sweep goes in steps, so that
//! no step keeps the server from others for long.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wasq_core::clock;

use super::consumer::EntryRef;

/// How often a step of a sweep is due.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Pending entries in a step: some 100 µs of the server's time.
pub const SWEEP_STEP: usize = 500;
/// How often consumers of hosts that are gone are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(10 * 60);
/// Entries that are known by their names at once. A sweep finds those beyond it.
const HIDDEN_MAX: usize = 10_000;
/// Where a sweep begins.
const START: &str = "-";

pub struct Looks(Mutex<State>);

struct State {
    sweep_at: Instant,
    /// Where its next step begins.
    from: String,
    /// What this host has hidden, by the time at which it is due. The number tells those of one
    /// time apart.
    hidden: BTreeMap<(Instant, u64), EntryRef>,
    count: u64,
    tidy_at: Instant,
}

/// What to take now, if it is still due.
#[derive(Debug, PartialEq, Eq)]
pub struct Look {
    pub hidden: Vec<EntryRef>,
    /// Where to begin a step of the sweep. None where none is due.
    pub from: Option<String>,
}

impl Looks {
    /// All is due at once.
    pub fn new() -> Self {
        let now = clock::now();
        let state = State { sweep_at: now, from: START.into(), hidden: BTreeMap::new(), count: 0, tidy_at: now };
        Self(Mutex::new(state))
    }

    /// This host has let go of an entry until then. Says whether that is before all else.
    pub fn hide(&self, entry: EntryRef, due: Instant) -> bool {
        let mut state = self.0.lock();
        if state.hidden.len() >= HIDDEN_MAX {
            return false;
        }
        let is_next = due < state.next_at();
        state.count += 1;
        let key = (due, state.count);
        state.hidden.insert(key, entry);
        is_next
    }

    pub fn next_at(&self) -> Instant {
        self.0.lock().next_at()
    }

    /// What is due now, at most `max` of what this host has hidden. Nobody else gets it.
    pub fn begin(&self, max: usize) -> Option<Look> {
        let mut state = self.0.lock();
        let now = clock::now();
        let mut hidden = Vec::new();
        while hidden.len() < max
            && let Some(first) = state.hidden.first_entry()
            && first.key().0 <= now
        {
            hidden.push(first.remove());
        }
        let is_due = state.sweep_at <= now;
        if is_due {
            state.sweep_at = now + SWEEP_EVERY;
        }
        let from = is_due.then(|| state.from.clone());
        (is_due || !hidden.is_empty()).then_some(Look { hidden, from })
    }

    /// A step has ended, and the next one begins there. If it brought as much as it may, there is
    /// more.
    pub fn swept(&self, go_on: String, is_full: bool) {
        let mut state = self.0.lock();
        state.from = go_on;
        if is_full {
            state.sweep_at = clock::now();
        }
    }

    /// Whether the last sweep has been through all that is pending.
    pub fn is_at_start(&self) -> bool {
        self.0.lock().from == START
    }

    /// A step is due now.
    pub fn hurry(&self) {
        self.0.lock().sweep_at = clock::now();
    }

    /// Whether to look for consumers to remove.
    pub fn is_tidying_due(&self) -> bool {
        let (mut state, now) = (self.0.lock(), clock::now());
        let is_due = state.tidy_at <= now;
        if is_due {
            state.tidy_at = now + TIDY_EVERY;
        }
        is_due
    }
}

impl State {
    fn next_at(&self) -> Instant {
        self.hidden.first_key_value().map_or(self.sweep_at, |((due, _), _)| self.sweep_at.min(*due))
    }
}

#[cfg(test)]
mod tests {
    use super::super::consumer::Consumer;
    use super::*;

    fn entry(id: &str) -> EntryRef {
        let consumer = Consumer::new(&uuid::Uuid::nil(), Duration::from_secs(60));
        EntryRef { id: id.into(), consumer, deliveries: 1 }
    }

    fn ids(look: Option<Look>) -> (Vec<String>, Option<String>) {
        let look = look.unwrap_or(Look { hidden: Vec::new(), from: None });
        (look.hidden.into_iter().map(|entry| entry.id).collect(), look.from)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_hidden_is_looked_for_when_it_is_due() {
        let (looks, now) = (Looks::new(), clock::now());
        assert_eq!(ids(looks.begin(10)), (vec![], Some("-".into())));
        assert_eq!(looks.begin(10), None, "the next step is due in a second");
        assert!(!looks.hide(entry("3"), now + Duration::from_secs(3)));
        assert!(looks.hide(entry("1"), now + Duration::from_millis(700)));
        assert!(looks.hide(entry("2"), now + Duration::from_millis(600)));
        assert_eq!(looks.next_at(), now + Duration::from_millis(600));
        tokio::time::advance(Duration::from_millis(700)).await;
        assert_eq!(ids(looks.begin(1)), (vec!["2".into()], None));
        assert_eq!(ids(looks.begin(10)), (vec!["1".into()], None));
        assert_eq!(looks.next_at(), now + SWEEP_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_goes_on_where_it_ended_and_at_once_if_there_is_more() {
        let looks = Looks::new();
        looks.begin(10);
        looks.swept("(7-1".into(), false);
        assert!(!looks.is_at_start());
        assert_eq!(looks.begin(10), None);
        tokio::time::advance(SWEEP_EVERY).await;
        assert_eq!(ids(looks.begin(10)).1.as_deref(), Some("(7-1"));
        looks.swept("-".into(), true);
        assert_eq!(ids(looks.begin(10)).1.as_deref(), Some("-"));
        looks.hurry();
        assert!(looks.begin(10).is_some() && looks.is_at_start());
    }

    #[tokio::test(start_paused = true)]
    async fn consumers_are_tidied_at_once_and_now_and_then() {
        let looks = Looks::new();
        assert!(looks.is_tidying_due() && !looks.is_tidying_due());
        tokio::time::advance(TIDY_EVERY).await;
        assert!(looks.is_tidying_due());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_known_by_its_name_than_there_is_room_for() {
        let looks = Looks::new();
        for _ in 0..HIDDEN_MAX {
            looks.hide(entry("1"), clock::now());
        }
        assert!(!looks.hide(entry("2"), clock::now()));
        assert_eq!(looks.begin(usize::MAX).unwrap().hidden.len(), HIDDEN_MAX);
    }
}
