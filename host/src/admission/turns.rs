//! Turns: which key's message goes next, of those that wait on one queue. There are as many turns
//! at once as the queue's `concurrency`, and a message has its turn until it is settled.
//!
//! The key with the fewest turns goes first, and of equal ones the one that was served longest ago;
//! within a key the message that was sent first. A part of the turns is kept for keys that have
//! less than an equal share. So whoever has few messages finds a turn at once, although another
//! key's messages would take all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasq_core::clock;

use super::departures::Departures;
use super::limit_key::LimitKey;
use super::line::{Answer, Line, Turn, Waiter};
use super::remembered::Remembered;
use super::returns::Returns;

/// One turn of so many is kept for keys that have less than an equal share.
const KEPT_OF: usize = 4;

/// The turns of one queue.
pub struct Turns(Mutex<State>);

pub struct State {
    limit: usize,
    /// Below 0 while more have their turn than a smaller limit allows.
    free: isize,
    /// Keys with messages that have a turn or wait for one.
    active: BTreeMap<LimitKey, Active>,
    /// What is remembered of keys, those that are not active now too.
    past: Remembered<LimitKey, Past>,
    /// When the messages that were hidden come back.
    hidden: BinaryHeap<Reverse<Instant>>,
    hidden_max: usize,
    counter: u64,
}

#[derive(Default)]
pub struct Active {
    pub running: usize,
    /// When it was served last.
    served: u64,
    pub line: Line<KeyTurn>,
}

pub struct Past {
    returns: Returns,
    departures: Departures,
    pub started: u64,
    pub hidden: u64,
}

/// A message's turn. It ends when it is dropped.
pub struct KeyTurn {
    turns: Option<Arc<Turns>>,
    key: LimitKey,
}

/// A message that asks for its turn.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub key: &'a LimitKey,
    pub turn: Turn,
    pub is_returned: bool,
    /// When it is hidden if it has no turn by then, and for how long at most.
    pub until: Instant,
    pub hold: Duration,
}

impl Turns {
    pub fn new(limit: usize, keys_max: usize, hidden_max: usize) -> Self {
        Self(Mutex::new(State {
            limit,
            free: limit as isize,
            active: BTreeMap::new(),
            past: Remembered::new(keys_max),
            hidden: BinaryHeap::new(),
            hidden_max,
            counter: 0,
        }))
    }

    pub fn limit(&self) -> usize {
        self.0.lock().limit
    }

    /// Turns that messages have now.
    pub fn running(&self) -> usize {
        let state = self.0.lock();
        (state.limit as isize - state.free).max(0) as usize
    }

    /// There are so many from now on. No message loses its turn.
    pub fn set_limit(self: &Arc<Self>, limit: usize) {
        let state = &mut *self.0.lock();
        state.free += limit as isize - state.limit as isize;
        state.limit = limit;
        self.serve(state);
    }

    /// A number that grows, for messages that were sent at the same time.
    pub fn next(&self) -> u64 {
        self.0.lock().next()
    }

    /// The message's turn, where it has one now; else a place in its key's line. `has_room` goes
    /// over to the room of those that wait, if there is any left.
    ///
    /// # Errors
    /// For how long the message is to be hidden.
    pub fn take(
        self: &Arc<Self>,
        asking: Asking<'_>,
        has_room: impl FnOnce() -> bool,
    ) -> Result<Result<KeyTurn, oneshot::Receiver<Answer<KeyTurn>>>, Duration> {
        let (state, now) = (&mut *self.0.lock(), clock::now());
        state.active.entry(asking.key.clone()).or_default();
        if state.may_run(asking.key) && state.active[asking.key].line.would_be_first(asking.turn) {
            return Ok(Ok(self.grant(state, asking.key, now)));
        }
        let joined = state.join(asking, has_room, now);
        state.forget_if_gone(asking.key);
        joined.map(Err)
    }

    /// The message waits no more.
    pub fn leave(&self, key: &LimitKey, turn: Turn) {
        let state = &mut *self.0.lock();
        if let Some(active) = state.active.get_mut(key) {
            active.line.leave(turn);
        }
        state.forget_if_gone(key);
    }

    /// For how long a message is to be hidden that has waited in vain.
    pub fn hide(&self, asking: Asking<'_>) -> Duration {
        self.0.lock().hide(asking, clock::now())
    }

    /// Reads what there is.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&BTreeMap<LimitKey, Active>, &Remembered<LimitKey, Past>, usize) -> T,
    ) -> T {
        let state = &mut *self.0.lock();
        state.forget_returned(clock::now());
        read(&state.active, &state.past, state.hidden.len())
    }

    fn grant(self: &Arc<Self>, state: &mut State, key: &LimitKey, now: Instant) -> KeyTurn {
        state.start(key, now);
        KeyTurn { turns: Some(self.clone()), key: key.clone() }
    }

    /// Gives free turns to those who wait.
    fn serve(self: &Arc<Self>, state: &mut State) {
        let now = clock::now();
        while let Some(key) = state.next_key() {
            let turn = self.grant(state, &key, now);
            let Some(active) = state.active.get_mut(&key) else { return };
            match active.line.serve_first(turn) {
                Ok(()) => state.past(&key, now).departures.note(now),
                Err(mut unwanted) => {
                    // Those who waited are gone.
                    unwanted.turns = None;
                    state.end(&key);
                }
            }
        }
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Whether a message of this key may have a turn now.
    fn may_run(&self, key: &LimitKey) -> bool {
        let running = self.active.get(key).map_or(0, |active| active.running);
        let share = (self.limit / (self.active.len() + 1)).max(1);
        self.free > 0 && (running < share || self.free > (self.limit / KEPT_OF) as isize)
    }

    /// The key whose turn it is.
    fn next_key(&self) -> Option<LimitKey> {
        let waiting = self.active.iter().filter(|(key, active)| !active.line.is_empty() && self.may_run(key));
        waiting.min_by_key(|(_, active)| (active.running, active.served)).map(|(key, _)| key.clone())
    }

    fn start(&mut self, key: &LimitKey, now: Instant) {
        self.free -= 1;
        let served = self.next();
        let active = self.active.entry(key.clone()).or_default();
        active.running += 1;
        active.served = served;
        self.past(key, now).started += 1;
    }

    fn end(&mut self, key: &LimitKey) {
        self.free += 1;
        if let Some(active) = self.active.get_mut(key) {
            active.running -= 1;
        }
        self.forget_if_gone(key);
    }

    /// Has a message wait in its key's line.
    fn join(
        &mut self,
        asking: Asking<'_>,
        has_room: impl FnOnce() -> bool,
        now: Instant,
    ) -> Result<oneshot::Receiver<Answer<KeyTurn>>, Duration> {
        self.forget_returned(now);
        let Some(own) = self.active.get(asking.key) else { return Err(asking.hold) };
        let (is_first, before) = (own.line.is_empty(), own.line.before(asking.turn));
        let departures = &mut self.past(asking.key, now).departures;
        if is_first {
            departures.begin(now);
        }
        let waits = departures.behind(before);
        let is_soon = now.checked_add(waits).is_some_and(|at| at <= asking.until);
        // Without leave to hide any more, it keeps what it has in hand: then less is received.
        let must_stay = self.hidden.len() >= self.hidden_max;
        if !must_stay && !(is_soon && (has_room() || self.make_room(asking))) {
            return Err(self.hide(asking, now));
        }
        let (tell, answer) = oneshot::channel();
        if let Some(own) = self.active.get_mut(asking.key) {
            own.line.join(asking.turn, Waiter { tell, until: asking.until });
        }
        Ok(answer)
    }

    /// Sends the newest of the longest line away for this message. The answer is whether there is
    /// one.
    fn make_room(&mut self, asking: Asking<'_>) -> bool {
        let own = self.active.get(asking.key).map_or(0, |own| own.line.len());
        let longest = self.active.iter_mut().max_by_key(|(_, active)| active.line.len());
        match longest {
            Some((key, active)) if key != asking.key && active.line.len() > own + 1 => active.line.hide_newest(),
            Some(_) | None => self.active.get_mut(asking.key).is_some_and(|own| own.line.make_room(asking.turn)),
        }
    }

    fn hide(&mut self, asking: Asking<'_>, now: Instant) -> Duration {
        let before = self.active.get(asking.key).map_or(0, |own| own.line.len());
        let past = self.past(asking.key, now);
        past.hidden += 1;
        let (least, interval) = (past.departures.hide(before, now), past.departures.interval());
        let hide = past.returns.book(asking.is_returned, least, interval, asking.hold, now);
        self.hidden.extend(now.checked_add(hide).map(Reverse));
        hide
    }

    fn past(&mut self, key: &LimitKey, now: Instant) -> &mut Past {
        // Those that are active stay in use, so they are never the oldest for long. What is
        // forgotten of one is only how long its messages wait.
        let _room = self.past.make_room(key, |_| true);
        self.past.touch(key, || Past {
            returns: Returns::new(now),
            departures: Departures::new(now),
            started: 0,
            hidden: 0,
        })
    }

    fn forget_returned(&mut self, now: Instant) {
        while self.hidden.peek().is_some_and(|Reverse(at)| *at <= now) {
            self.hidden.pop();
        }
    }

    fn forget_if_gone(&mut self, key: &LimitKey) {
        if self.active.get(key).is_some_and(|active| active.running == 0 && active.line.is_empty()) {
            self.active.remove(key);
        }
    }
}

impl Drop for KeyTurn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            let state = &mut *turns.0.lock();
            state.end(&self.key);
            turns.serve(state);
        }
    }
}

impl std::fmt::Debug for KeyTurn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyTurn").field("key", &self.key).finish_non_exhaustive()
    }
}
