//! Rates: how often runs may start, on all hosts together.
//!
//! A host takes slots from the ledger ([`crate::quotas::rate_document`]) and starts one run in
//! each. The flow asks [`Rates::acquire`] before a message is claimed. A message for which there is
//! a slot soon waits in hand, in a line in which the one that was sent first goes first; it holds
//! no permit meanwhile. Any other is hidden for about as long as it takes. One task
//! ([`Rates::keep`]) asks the ledger for slots, so that a message costs no call of its own.

mod bucket;
mod buckets;
mod keep;
mod slot;
mod status;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::UnixMs;

pub use buckets::BucketId;
pub use slot::Slot;
pub use status::{KeyStatus, RateStatus};

use buckets::Buckets;

use super::in_hand::Claimant;
use super::limit_key::LimitKey;
use super::line::{Answer, InLine, Turn, Waiter};
use crate::config::{self, Config, Limits, OnOutage, RateConfig};
use crate::quotas::rate_document::Pace;

/// The rates of the config, as this host keeps to them.
pub struct Rates {
    rates: Vec<Rate>,
    /// How long a message waits in hand, and how long it is hidden at most.
    wait: Duration,
    hold: Duration,
    state: Mutex<Buckets>,
    /// Something is to be done earlier than the task knows.
    changed: Notify,
}

/// One of the config.
struct Rate {
    name: String,
    config: RateConfig,
    /// What holds now: the config's limit, or one that an operator has set.
    limit: Mutex<config::Rate>,
    interval_ns: AtomicU64,
}

/// There is no slot for long: the message is to be hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    pub rate: String,
    pub remaining: Duration,
}

impl Rates {
    pub fn new(config: &Config) -> Self {
        Self::of(config.rates.iter().map(|(name, rate)| (name.clone(), *rate)), &config.limits)
    }

    pub fn of(rates: impl IntoIterator<Item = (String, RateConfig)>, limits: &Limits) -> Self {
        let rates: Vec<_> = rates.into_iter().map(|(name, config)| Rate::new(name, config)).collect();
        Self {
            state: Mutex::new(Buckets::new(rates.len(), limits.rate_keys)),
            rates,
            wait: limits.rate_wait,
            hold: limits.rate_hold,
            changed: Notify::new(),
        }
    }

    /// What a rate of this name is for this key; none where the config does not have it.
    pub fn bucket(&self, rate: &str, key: LimitKey) -> Option<BucketId> {
        let rate = self.rates.binary_search_by(|known| known.name.as_str().cmp(rate)).ok()?;
        Some(BucketId { rate, key })
    }

    pub fn name(&self, id: &BucketId) -> &str {
        &self.rates[id.rate].name
    }

    /// A rate with its key, as people read it.
    pub fn label(&self, id: &BucketId) -> String {
        format!("{}:{}", self.name(id), id.key)
    }

    /// How many more messages could wait here, and start soon.
    pub fn room(&self, id: &BucketId) -> usize {
        let room = |bucket: &mut bucket::Bucket, now| bucket.room(now);
        self.state.lock().change(id, self.pace(id), clock::now(), room)
    }

    fn pace(&self, id: &BucketId) -> Pace {
        self.rates[id.rate].pace()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rates.iter().map(|rate| rate.name.as_str())
    }

    /// Has the limits hold that operators have set, and the config's for all other rates.
    pub fn set_limits(&self, set: impl Fn(&str) -> Option<config::Rate>) {
        for (index, rate) in self.rates.iter().enumerate() {
            let limit = set(&rate.name).unwrap_or(rate.config.limit);
            if rate.change(limit) {
                self.state.lock().change_pace(index, rate.pace(), clock::now());
                self.changed.notify_one();
            }
        }
    }

    fn is_shared(&self, rate: usize) -> bool {
        self.rates[rate].config.on_outage == OnOutage::LocalShare
    }

    /// A slot of each, where there are some and nobody waits who was sent before.
    pub fn try_acquire(&self, ids: &[BucketId], sent_at: UnixMs) -> Option<Vec<Slot>> {
        self.slots_now(&mut self.state.lock(), ids, (sent_at, 0)).ok()
    }

    /// A slot of each. Waits in hand, where that is not for long.
    ///
    /// # Errors
    /// For how long the message is to be hidden, and because of which rate.
    pub async fn acquire(&self, ids: &[BucketId], claimant: Claimant<'_>) -> Result<Vec<Slot>, Limited> {
        let until = clock::now() + self.wait;
        loop {
            // Who waits for one of them holds none of the others.
            let (lacking, turn, answer) = {
                let state = &mut *self.state.lock();
                let turn = (claimant.sent_at, state.next_turn());
                let lacking = match self.slots_now(state, ids, turn) {
                    Ok(slots) => return Ok(slots),
                    Err(lacking) => lacking,
                };
                match self.join(state, &ids[lacking], turn, claimant, until) {
                    Ok(answer) => (&ids[lacking], turn, answer),
                    Err(remaining) => return Err(self.limited(&ids[lacking], remaining)),
                }
            };
            let in_line = InLine(|| self.leave(lacking, turn));
            let answer = tokio::time::timeout_at(until, claimant.waits_for(answer)).await;
            drop(in_line);
            let state = &mut *self.state.lock();
            if let Ok(Ok(Answer::Granted(slot))) = answer {
                if let [_] = ids {
                    return Ok(vec![slot]);
                }
                // It goes back for a moment, to be taken with the others or by somebody else.
                state.change(lacking, self.pace(lacking), clock::now(), |bucket, _| bucket.put_back(slot));
                if let Ok(slots) = self.slots_now(state, ids, (UnixMs(0), 0)) {
                    return Ok(slots);
                }
                continue;
            }
            let hide = |bucket: &mut bucket::Bucket, now| bucket.hide(claimant.is_returned, self.hold, now);
            let remaining = state.change(lacking, self.pace(lacking), clock::now(), hide);
            return Err(self.limited(lacking, remaining));
        }
    }

    fn leave(&self, id: &BucketId, turn: Turn) {
        let leave = |bucket: &mut bucket::Bucket, _| bucket.line.leave(turn);
        self.state.lock().change(id, self.pace(id), clock::now(), leave);
    }

    /// Has the message wait in line; or says for how long it is to be hidden.
    fn join(
        &self,
        state: &mut Buckets,
        id: &BucketId,
        turn: Turn,
        claimant: Claimant<'_>,
        until: Instant,
    ) -> Result<oneshot::Receiver<Answer<Slot>>, Duration> {
        let joined = state.change(id, self.pace(id), clock::now(), |bucket, now| {
            let waits = bucket.wait_behind(bucket.line.before(turn), now);
            let is_soon = now.checked_add(waits).is_some_and(|at| at <= until);
            // The room of a newer one is there at once: that one is told to leave.
            if !is_soon || !(claimant.in_hand.wait_in(claimant.room) || bucket.line.make_room(turn)) {
                return Err(bucket.hide(claimant.is_returned, self.hold, now));
            }
            let (tell, answer) = oneshot::channel();
            bucket.line.join(turn, Waiter { tell, until });
            Ok(answer)
        });
        self.changed.notify_one();
        joined
    }

    /// A slot of each, or the first that has none for this turn.
    fn slots_now(&self, state: &mut Buckets, ids: &[BucketId], turn: Turn) -> Result<Vec<Slot>, usize> {
        let now = clock::now();
        let lacking = ids.iter().position(|id| {
            let is_ready = |bucket: &mut bucket::Bucket, now| {
                bucket.serve(now);
                bucket.line.would_be_first(turn) && bucket.is_ready(now)
            };
            !state.change(id, self.pace(id), now, is_ready)
        });
        if let Some(lacking) = lacking {
            return Err(lacking);
        }
        let slots =
            ids.iter().filter_map(|id| state.change(id, self.pace(id), now, |bucket, now| bucket.use_slot(now)));
        let slots: Vec<_> = slots.collect();
        if state.is_due_before_known() {
            self.changed.notify_one();
        }
        Ok(slots)
    }

    fn limited(&self, id: &BucketId, remaining: Duration) -> Limited {
        Limited { rate: self.rates[id.rate].name.clone(), remaining }
    }
}

impl Rate {
    fn new(name: String, config: RateConfig) -> Self {
        let rate = Self { name, config, limit: Mutex::new(config.limit), interval_ns: AtomicU64::new(0) };
        rate.keep_pace(config.limit);
        rate
    }

    fn keep_pace(&self, limit: config::Rate) {
        let interval = Pace::new(limit, self.config.burst).interval;
        self.interval_ns.store(interval.as_nanos() as u64, Ordering::Release);
    }

    /// From now on this limit holds. The answer is whether it is another one.
    fn change(&self, limit: config::Rate) -> bool {
        let before = std::mem::replace(&mut *self.limit.lock(), limit);
        if before != limit {
            self.keep_pace(limit);
        }
        before != limit
    }

    fn pace(&self) -> Pace {
        let interval = Duration::from_nanos(self.interval_ns.load(Ordering::Acquire));
        Pace { interval, burst: self.config.burst }
    }
}

#[cfg(test)]
mod tests;
