//! What is to be sent when: a durable store of messages that wait for their time.
//!
//! A timer is set once under its id. When it is due, one host takes it under a fence and a lease,
//! sends its message, and says that it is done. A host that dies with it gives it back when the
//! lease ends. Every change of a timer gives it another fence; a change with an older one is
//! refused.
//!
//! Time is the store's own: the server's clock, or the machine's where the store is local. So hosts
//! with clocks that differ agree on what is due.

mod timetable;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use wasq_core::message::UnixMs;

use crate::error::LedgerError;
use crate::fence::Fence;

pub use self::timetable::Timetable;

/// The longest id, in bytes.
pub const ID_MAX_BYTES: usize = 1024;
/// The longest name of a queue, in bytes.
pub const QUEUE_MAX_BYTES: usize = 1024;
/// The longest message, in bytes: SQS's 1 MiB, and what its serialization adds to it.
pub const MESSAGE_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Timers that one call takes, lists or counts at most.
pub const TAKE_MAX: usize = 1_000;
pub const LIST_MAX: usize = 1_000;
pub const COUNT_MAX: u64 = 10_000;
/// Messages that one call takes, in bytes; one that is longer is taken alone.
pub const TAKE_MAX_BYTES: usize = 8 * 1024 * 1024;
/// The end of time: what is due later is due then, in some 71,000 years. It is exact in a double,
/// which is what Redis counts in.
pub const END_OF_TIME: UnixMs = UnixMs(1 << 51);

/// The timers of one service.
///
/// What a call answers with `Ok` is durable as a completion is. A call that fails as
/// [`LedgerError::Unavailable`] may have been done, or in part. To say it again is always right: a
/// timer that is there already answers [`Set::Exists`], one that is gone `false`, and one whose
/// fence has moved on [`LedgerError::Stale`].
///
/// Batches answer one by one, in their order; one that fails does not keep the others from theirs.
#[async_trait]
pub trait Timers: Send + Sync + 'static {
    /// Sets each timer, unless there is one under its id: the first one stays as it is.
    async fn set_batch(&self, timers: Vec<NewTimer>) -> Vec<Result<Set, LedgerError>>;

    /// Takes what is due and in no host's hand, what can be taken longest first: at most `max`
    /// timers, and [`TAKE_MAX_BYTES`] of messages. They are told in the order of their times. They
    /// are this host's for `lease`; then they are due again, for any host.
    ///
    /// To an idle host this is one read. It makes it every second, or when
    /// [`next_in`](Due::next_in) has passed, if that is sooner.
    async fn take_due(&self, lease: Duration, max: usize) -> Result<Due, LedgerError>;

    /// Removes each timer, whose message is in its queue. False where there is none: it was said
    /// before, or somebody cancelled the timer.
    async fn done_batch(&self, timers: &[(TimerId, Fence)]) -> Vec<Result<bool, LedgerError>>;

    /// Changes each timer, and has it wait again if it was taken. False where there is none.
    async fn update_batch(&self, updates: Vec<Update>) -> Vec<Result<bool, LedgerError>>;

    /// Removes each timer, whoever has it.
    async fn cancel_batch(&self, ids: &[TimerId]) -> Vec<Result<Cancelled, LedgerError>>;

    /// Sets one timer, as [`set_batch`](Self::set_batch) does.
    async fn set(&self, timer: NewTimer) -> Result<Set, LedgerError> {
        only(self.set_batch(vec![timer]).await)
    }

    /// Changes one timer, as [`update_batch`](Self::update_batch) does.
    async fn update(&self, update: Update) -> Result<bool, LedgerError> {
        only(self.update_batch(vec![update]).await)
    }

    /// Removes one timer, as [`cancel_batch`](Self::cancel_batch) does.
    async fn cancel(&self, id: &TimerId) -> Result<Cancelled, LedgerError> {
        only(self.cancel_batch(std::slice::from_ref(id)).await)
    }

    /// A timer as it stands.
    async fn get(&self, id: &TimerId) -> Result<Option<Timer>, LedgerError>;

    /// Timers in the order in which they can be taken, behind the place where another list ended.
    /// At most `limit`, and never more than [`LIST_MAX`].
    async fn list(&self, limit: usize, after: Option<&Place>) -> Result<List, LedgerError>;

    /// How many timers there are.
    async fn counts(&self) -> Result<Counts, LedgerError>;
}

/// What tells a timer from its service's others. Any text of up to [`ID_MAX_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub String);

impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// By the store's clock. What has passed is due at once.
    At(UnixMs),
    /// So much later than the store's now.
    In(Duration),
}

impl When {
    pub const NOW: Self = Self::In(Duration::ZERO);

    /// The moment, by a clock that shows `now`.
    pub fn from(self, now: UnixMs) -> UnixMs {
        let moment = match self {
            Self::At(at) => at,
            Self::In(wait) => crate::entry::after(now, wait),
        };
        moment.min(END_OF_TIME)
    }
}

/// A timer that is to be set.
#[derive(Clone, Debug)]
pub struct NewTimer {
    pub id: TimerId,
    pub due: When,
    pub queue: String,
    /// What is sent then; the store does not look into it.
    pub message: Bytes,
}

impl NewTimer {
    /// # Errors
    /// [`LedgerError::TooLarge`] names what no store takes of its size.
    pub fn fits(&self) -> Result<(), LedgerError> {
        fits("a timer's id", self.id.0.len(), ID_MAX_BYTES)?;
        fits("a timer's queue", self.queue.len(), QUEUE_MAX_BYTES)?;
        fits("a timer's message", self.message.len(), MESSAGE_MAX_BYTES)
    }
}

/// A change of the timer that has `fence`.
#[derive(Clone, Debug)]
pub struct Update {
    pub id: TimerId,
    /// From [`Timers::take_due`] or [`Timers::get`].
    pub fence: Fence,
    pub due: When,
    /// None leaves the message as it is.
    pub message: Option<Bytes>,
}

impl Update {
    /// # Errors
    /// [`LedgerError::TooLarge`] if no store takes the message.
    pub fn fits(&self) -> Result<(), LedgerError> {
        fits("a timer's message", self.message.as_ref().map_or(0, Bytes::len), MESSAGE_MAX_BYTES)
    }
}

/// The answer to a batch of one.
fn only<T>(mut answers: Vec<Result<T, LedgerError>>) -> Result<T, LedgerError> {
    answers.pop().unwrap_or_else(|| Err(LedgerError::Unavailable("it has not answered".into())))
}

fn fits(what: &str, bytes: usize, max_bytes: usize) -> Result<(), LedgerError> {
    if bytes <= max_bytes {
        return Ok(());
    }
    Err(LedgerError::TooLarge(format!("{what} has {bytes} bytes, and may have {max_bytes}")))
}

/// What became of setting a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    New,
    /// There is one under the id. It stays as it is, whatever is asked for now.
    Exists,
}

/// What became of cancelling a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be sent.
    Waiting,
    /// A host has it in hand: it may have been sent, and is not sent again.
    Taken,
    /// There is none: it was sent, cancelled, or never set.
    Gone,
}

/// What [`Timers::take_due`] has found.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// The store's time, by which they were due.
    pub now: UnixMs,
    pub taken: Vec<Taken>,
    /// Timers that cannot be read. Each is told once a lease, stays where it is, and keeps no other
    /// from being taken.
    pub damaged: Vec<LedgerError>,
    /// How long until there is more to take, as far as is known now: no time if there is more
    /// already, None if nothing waits.
    pub next_in: Option<Duration>,
}

/// A timer in this host's hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub id: TimerId,
    pub fence: Fence,
    pub due: UnixMs,
    pub queue: String,
    pub message: Bytes,
}

/// A timer as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub due: UnixMs,
    pub queue: String,
    pub message: Bytes,
    /// What [`Timers::update_batch`] and [`Timers::done_batch`] ask for; None while a host has the
    /// timer in hand, and nobody else may change it.
    pub fence: Option<Fence>,
}

/// A part of all timers, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub timers: Vec<Listed>,
    /// Behind which the list goes on; None at its end.
    pub next: Option<Place>,
}

/// A timer in a [`List`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: TimerId,
    pub due: UnixMs,
    pub queue: String,
    /// The message's length.
    pub bytes: usize,
    /// Whether a host has it in hand.
    pub is_taken: bool,
}

/// Where a timer stands among the others. As a text it goes out and comes back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From when it can be taken.
    pub(crate) look: UnixMs,
    /// Which of those of one moment it is.
    pub(crate) tie: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.look, self.tie)
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (look, tie) = text.split_once(' ').ok_or(NoPlace)?;
        Ok(Self { look: UnixMs(look.parse().map_err(|_| NoPlace)?), tie: tie.to_owned() })
    }
}

/// A text that is no [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no place in a list of timers; take it from the list before")]
pub struct NoPlace;

/// How many timers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them: those that wait, and those that a host has in hand.
    pub all: u64,
    /// Those that are due, and no host has taken yet.
    pub overdue: u64,
    /// Whether counting ended at [`COUNT_MAX`], and there may be more.
    pub is_at_least: bool,
}

/// How many of the first ones have at most so many bytes together; the first one in any case.
#[cfg(any(feature = "dynamodb", feature = "local"))]
pub(crate) fn within_bytes(lens: impl Iterator<Item = usize>, max_bytes: usize) -> usize {
    let mut sum: usize = 0;
    lens.enumerate()
        .take_while(|(n, len)| {
            sum = sum.saturating_add(*len);
            *n == 0 || sum <= max_bytes
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_no_later_than_the_end_of_time() {
        let check = |when: When, expect: u64| assert_eq!(when.from(UnixMs(1_000)), UnixMs(expect), "{when:?}");
        check(When::NOW, 1_000);
        check(When::In(Duration::from_secs(1)), 2_000);
        check(When::In(Duration::MAX), END_OF_TIME.0);
        check(When::At(UnixMs(7)), 7);
        check(When::At(UnixMs(u64::MAX)), END_OF_TIME.0);
    }

    #[test]
    fn a_place_goes_out_and_comes_back() {
        let place = Place { look: UnixMs(17), tie: "a b \u{1f9fe}".into() };
        assert_eq!(place.to_string().parse(), Ok(place));
        assert_eq!("seventeen a".parse::<Place>(), Err(NoPlace));
        assert_eq!("17".parse::<Place>(), Err(NoPlace));
    }
}
