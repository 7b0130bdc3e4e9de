//! Schedules: each is one timer, which stands for its next tick. Whoever takes it sends the tick's
//! message and has the timer wait for the tick after that, under its fence. So a tick is one host's
//! to send, and which ticks are due is the store's clock to say. A host that dies in between has
//! the message sent once more, under the same key.

pub mod outcome;
mod record;
mod ticks;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use wasq_core::message::{AttributeValue, Key, OWN_KEY_ATTRIBUTE, TYPE_ATTRIBUTE, UnixMs};
use wasq_ledgers::LedgerError;
use wasq_ledgers::timers::{Cancelled, END_OF_TIME, NewTimer, Set, Taken, Timer, TimerId, Timers, Update, When};
use wasq_queues::Outgoing;

pub use record::{Last, Record};

use ticks::{Ticks, jittered, ticks};

use crate::config::{Rule, ScheduleConfig};

/// The attribute that says for which tick a message was sent: a time as RFC 3339 has it.
pub const SCHEDULED_AT_ATTRIBUTE: &str = "wasq-scheduled-at";
/// What the ids of schedules' timers begin with.
const PREFIX: &str = "schedule/";
/// What the ids of timers begin with that send a message of a schedule out of turn.
const RUN_PREFIX: &str = "schedule-run/";
/// After so long a timer goes whose schedule no host's config has.
const FORGOTTEN_AFTER_MS: u64 = 10 * 60 * 1_000;
/// For how long a tick is left to the hosts with the later one of two configs.
const LATER_CONFIG_MS: u64 = 60 * 1_000;
/// When a host that does not know the schedule, or cannot send its message, has it looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// The schedules of a host's config.
#[derive(Default)]
pub struct Schedules {
    by_name: BTreeMap<String, Schedule>,
    /// When the host first looked, by the store's clock: of two configs that differ the later one
    /// counts.
    since: OnceLock<UnixMs>,
}

/// A schedule, as its config has it.
pub struct Schedule {
    pub rule: Rule,
    pub config: ScheduleConfig,
    /// A digest of what decides over its ticks: where it differs, the ticks are others.
    spec: String,
    is_fifo: bool,
}

/// What came of a schedule's timer that was due.
pub enum Turn {
    /// These messages are to be sent to the queue, and then the timer is to be changed.
    Send { queue: String, messages: Vec<Outgoing>, then: Update },
    /// Nothing is sent.
    Change(Update),
    /// No config has the schedule.
    Forget,
}

impl Schedules {
    /// `is_fifo` says of a queue's name in the config whether it is a FIFO queue.
    ///
    /// # Panics
    /// If a schedule is none that the config's checks let through.
    pub fn new(all: &BTreeMap<String, ScheduleConfig>, is_fifo: impl Fn(&str) -> bool) -> Self {
        let schedule = |(name, config): (&String, &ScheduleConfig)| {
            let rule = config.rule().expect("the config was checked");
            let spec = format!("{:?} {:?} {:?} {:?}", config.cron, config.timezone, config.every, config.jitter);
            let spec = Key::derive(&[spec.as_bytes()]).to_hex();
            (name.clone(), Schedule { rule, config: config.clone(), spec, is_fifo: is_fifo(&config.queue) })
        };
        Self { by_name: all.iter().map(schedule).collect(), since: OnceLock::new() }
    }

    pub fn get(&self, name: &str) -> Option<&Schedule> {
        self.by_name.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Schedule)> {
        self.by_name.iter()
    }

    fn since(&self, now: UnixMs) -> UnixMs {
        *self.since.get_or_init(|| now)
    }

    /// Sets the timers that are not there, and changes those that an older config has set.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn keep(&self, timers: &dyn Timers, now: UnixMs) -> Result<(), LedgerError> {
        for (name, schedule) in &self.by_name {
            let (id, record) = (timer_id(name), schedule.begin(now, self.since(now)));
            // A look costs less than a write that changes nothing.
            let Some(timer) = timers.get(&id).await? else {
                let due = When::At(schedule.due(name, &record));
                let queue = schedule.config.queue.clone();
                let timer = NewTimer { id, due, queue, message: record.to_bytes() };
                if timers.set(timer).await? == Set::New {
                    tracing::info!(schedule = name, next = shown(record.tick), "a schedule is kept");
                }
                continue;
            };
            // While a host has it in hand, that host changes it.
            let Timer { fence: Some(fence), message, .. } = timer else { continue };
            let found = Record::read(&message);
            let is_ours =
                found.as_ref().is_some_and(|found| found.spec == schedule.spec || found.since > self.since(now));
            if is_ours {
                continue;
            }
            let record = Record { is_paused: found.as_ref().is_some_and(|f| f.is_paused), ..record };
            let record = Record { last: found.and_then(|found| found.last), ..record };
            let due = When::At(schedule.due(name, &record));
            let update = Update { id, fence, due, message: Some(record.to_bytes()) };
            match timers.update(update).await {
                Ok(true) => tracing::info!(schedule = name, next = shown(record.tick), "a schedule has changed"),
                // Another host was faster.
                Ok(false) | Err(LedgerError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is to be done about a schedule's timer that is due.
    pub fn turn(&self, taken: &Taken, now: UnixMs) -> Turn {
        let name = taken.id.0.strip_prefix(PREFIX).unwrap_or_default();
        let found = Record::read(&taken.message);
        // When it was due first: to give it back makes it due anew.
        let tick = found.as_ref().and_then(|found| found.tick).unwrap_or(taken.due);
        let overdue_ms = now.0.saturating_sub(tick.0);
        let later = || {
            let (id, fence) = (taken.id.clone(), taken.fence);
            Turn::Change(Update { id, fence, due: When::In(AGAIN), message: None })
        };
        let Some(schedule) = self.by_name.get(name) else {
            return if overdue_ms > FORGOTTEN_AFTER_MS { Turn::Forget } else { later() };
        };
        let record = match found {
            Some(found) if found.spec == schedule.spec => found,
            // A host with a later config may take it.
            Some(found) if found.since > self.since(now) && overdue_ms < LATER_CONFIG_MS => return later(),
            // What another config has set, or nobody can read, begins anew.
            Some(_) | None => schedule.begin(now, self.since(now)),
        };
        let Ticks { sent, skipped, next } = match (record.is_paused, record.tick) {
            (false, Some(tick)) => {
                let due = |tick| jittered(tick, name, schedule.config.jitter);
                ticks(&schedule.rule, schedule.config.catch_up, tick, due, schedule.config.jitter, now)
            }
            (true, tick) => Ticks { sent: Vec::new(), skipped: None, next: tick },
            (false, None) => Ticks { sent: Vec::new(), skipped: None, next: None },
        };
        if let Some(first) = skipped {
            tracing::warn!(
                schedule = name,
                first = shown(Some(first)),
                "ticks were missed while no host was there, and are not sent"
            );
        }
        let last = sent.last().map(|tick| Last { tick: *tick, sent_at: now }).or(record.last);
        let after = Record { tick: next, spec: schedule.spec.clone(), since: self.since(now), last, ..record };
        let due = When::At(schedule.due(name, &after));
        let then = Update { id: taken.id.clone(), fence: taken.fence, due, message: Some(after.to_bytes()) };
        let messages: Vec<_> = sent.into_iter().map(|tick| schedule.message(name, &key(name, tick), tick)).collect();
        match messages.is_empty() {
            true => Turn::Change(then),
            false => Turn::Send { queue: schedule.config.queue.clone(), messages, then },
        }
    }

    /// What is done where a turn's messages could not be sent.
    pub fn again(then: &Update) -> Update {
        Update { due: When::In(AGAIN), message: None, ..then.clone() }
    }
}

impl Schedule {
    /// From this moment on.
    fn begin(&self, now: UnixMs, since: UnixMs) -> Record {
        Record { tick: self.rule.next_after(now), spec: self.spec.clone(), since, is_paused: false, last: None }
    }

    fn due(&self, name: &str, record: &Record) -> UnixMs {
        match record.tick {
            Some(tick) if !record.is_paused => jittered(tick, name, self.config.jitter),
            Some(_) | None => END_OF_TIME,
        }
    }

    fn message(&self, name: &str, key: &str, at: UnixMs) -> Outgoing {
        let attributes = [
            (TYPE_ATTRIBUTE, self.config.kind.clone()),
            (OWN_KEY_ATTRIBUTE, key.to_owned()),
            (SCHEDULED_AT_ATTRIBUTE, shown(Some(at))),
        ];
        let attributes = attributes.map(|(name, text)| (name.to_owned(), AttributeValue::string(text)));
        let group = self.config.group.clone().or_else(|| self.is_fifo.then(|| name.to_owned()));
        Outgoing {
            body: self.config.body().into(),
            attributes: attributes.into(),
            delay_s: 0,
            group,
            deduplication_id: self.is_fifo.then(|| Key::derive(&[key.as_bytes()]).to_hex()),
        }
    }
}

/// What somebody wants of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Pause,
    Resume,
}

/// How often a schedule's timer is asked for while a host has it in hand.
const TRIES: u32 = 20;
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// Pauses a schedule, or has it go on with its next tick. The answer is what it is then, and when
/// it is due; none if the ledger has none of this name.
///
/// # Errors
/// The ledger does not answer, or another host keeps the schedule all the time.
pub async fn change(
    timers: &dyn Timers,
    schedules: &Schedules,
    name: &str,
    change: Change,
    now: UnixMs,
) -> Result<Option<(Record, UnixMs)>, LedgerError> {
    let id = timer_id(name);
    for _ in 0..TRIES {
        let Some(timer) = timers.get(&id).await? else { return Ok(None) };
        if let (Some(fence), Some(record)) = (timer.fence, Record::read(&timer.message)) {
            let is_paused = change == Change::Pause;
            if record.is_paused == is_paused {
                return Ok(Some((record, timer.due)));
            }
            let schedule = schedules.get(name);
            let tick = match schedule {
                Some(schedule) if !is_paused => schedule.rule.next_after(now),
                Some(_) | None => record.tick,
            };
            let record = Record { is_paused, tick, ..record };
            let due = match schedule {
                Some(schedule) => schedule.due(name, &record),
                None if is_paused => END_OF_TIME,
                None => record.tick.unwrap_or(END_OF_TIME),
            };
            let update = Update { id: id.clone(), fence, due: When::At(due), message: Some(record.to_bytes()) };
            match timers.update(update).await {
                Ok(true) => return Ok(Some((record, due))),
                Ok(false) | Err(LedgerError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    Err(LedgerError::Unavailable(format!("a host has the schedule `{name}` in hand; try again")))
}

/// Sends a schedule's message out of turn, by the host that is next to look. The answer is its key.
///
/// # Errors
/// The ledger does not answer.
pub async fn run_now(timers: &dyn Timers, name: &str, schedule: &Schedule, now: UnixMs) -> Result<String, LedgerError> {
    let key = format!("{RUN_PREFIX}{name}/{}", shown(Some(now)));
    let timer = NewTimer {
        id: TimerId(key.clone()),
        due: When::NOW,
        queue: schedule.config.queue.clone(),
        message: super::stored_message::encode(&schedule.message(name, &key, now), None),
    };
    timers.set(timer).await?;
    Ok(key)
}

/// Removes a schedule that no config has any more.
///
/// # Errors
/// The ledger does not answer.
pub async fn remove(timers: &dyn Timers, name: &str) -> Result<bool, LedgerError> {
    Ok(timers.cancel(&timer_id(name)).await? != Cancelled::Gone)
}

pub fn timer_id(name: &str) -> TimerId {
    TimerId(format!("{PREFIX}{name}"))
}

/// Whether a timer is a schedule's.
pub fn is_one(id: &TimerId) -> bool {
    id.0.starts_with(PREFIX)
}

/// The key of a tick's message: the schedule and the tick, whichever host sends it.
fn key(name: &str, tick: UnixMs) -> String {
    format!("{PREFIX}{name}/{}", shown(Some(tick)))
}

fn shown(at: Option<UnixMs>) -> String {
    let time = at.and_then(|at| Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok());
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests;
