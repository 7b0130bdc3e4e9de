//! The timers, in two tables: a row that changes when the timer does, and its message, which does
//! not. They are due by the machine's wall clock.
//!
//! Which timers are in a host's hand is kept in memory, by monotonic time: there is one process,
//! and when it has ended, so have its leases. An earlier version of wasq reads a store that has the
//! tables: it is no new format.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{OptionalExtension, Row, params};
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::UnixMs;

use super::core::Core;
use super::operation::{Operations, each};
use super::rows::{Batch, failed};
use crate::ledger::{Fence, LedgerError};
use crate::timers::{
    COUNT_MAX, Cancelled, Counts, Due, LIST_MAX, List, Listed, NewTimer, Place, Set, TAKE_MAX, TAKE_MAX_BYTES, Taken,
    Timer, TimerId, Timers, Update, within_bytes,
};

pub const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS timers (
        timer INTEGER PRIMARY KEY,
        service TEXT NOT NULL,
        id TEXT NOT NULL,
        due INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        queue TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (service, id)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS timers_by_due ON timers (service, due, id);
    CREATE TABLE IF NOT EXISTS timer_messages (
        timer INTEGER PRIMARY KEY,
        message BLOB NOT NULL
    ) STRICT;";

/// The longest lease: the clock cannot add up every duration.
const LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// When the lease ends that a timer is taken under, by the timer's number, with its service. It is
/// bounded by the timers that are taken and not done.
#[derive(Default)]
pub struct Held(Mutex<HashMap<i64, (Arc<str>, Instant)>>);

impl Held {
    fn is_held(&self, timer: i64, now: Instant) -> bool {
        self.0.lock().get(&timer).is_some_and(|(_, until)| *until > now)
    }

    fn hold(&self, timer: i64, service: &Arc<str>, until: Instant) {
        self.0.lock().insert(timer, (service.clone(), until));
    }

    fn let_go(&self, timer: i64) {
        self.0.lock().remove(&timer);
    }

    /// Forgets the leases that have ended. How many a service has, and how long the first lasts.
    fn live(&self, service: &str, now: Instant) -> (usize, Option<Duration>) {
        let mut held = self.0.lock();
        held.retain(|_, (_, until)| *until > now);
        let ends = held.values().filter(|(of, _)| **of == *service).map(|(_, until)| *until - now);
        (ends.clone().count(), ends.min())
    }
}

/// The timers of a service in a local ledger.
pub struct LocalTimers {
    operations: Arc<Operations>,
    core: Arc<Core>,
    held: Arc<Held>,
    service: Arc<str>,
    /// Keeps the ledger open.
    _ledger: Arc<dyn Any + Send + Sync>,
}

impl LocalTimers {
    /// `ledger` stays open as long as its timers are there.
    pub fn new(
        operations: Arc<Operations>,
        core: Arc<Core>,
        held: Arc<Held>,
        service: &str,
        ledger: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { operations, core, held, service: service.into(), _ledger: ledger }
    }

    fn of_service(&self) -> OfService {
        OfService { service: self.service.clone(), held: self.held.clone(), core: self.core.clone() }
    }

    /// Does something with each part of a batch, and answers from the disk.
    async fn each<P, T>(
        &self,
        parts: Vec<P>,
        work: fn(&OfService, &Batch<'_>, P) -> Result<T, LedgerError>,
    ) -> Vec<Result<T, LedgerError>>
    where
        P: Send + 'static,
        T: Send + 'static,
    {
        let (count, of_service) = (parts.len(), self.of_service());
        let answers = self.operations.ask(move |batch| each(parts, |part| work(&of_service, batch, part))).await;
        answers.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
    }
}

#[async_trait]
impl Timers for LocalTimers {
    async fn set_batch(&self, timers: Vec<NewTimer>) -> Vec<Result<Set, LedgerError>> {
        self.each(timers, OfService::set).await
    }

    async fn take_due(&self, lease: Duration, max: usize) -> Result<Due, LedgerError> {
        let (of_service, lease, max) = (self.of_service(), lease.min(LEASE_MAX), max.min(TAKE_MAX));
        self.operations.ask(move |batch| of_service.take_due(batch, lease, max)).await
    }

    async fn done_batch(&self, timers: &[(TimerId, Fence)]) -> Vec<Result<bool, LedgerError>> {
        self.each(timers.to_vec(), OfService::done).await
    }

    async fn update_batch(&self, updates: Vec<Update>) -> Vec<Result<bool, LedgerError>> {
        self.each(updates, OfService::update).await
    }

    async fn cancel_batch(&self, ids: &[TimerId]) -> Vec<Result<Cancelled, LedgerError>> {
        self.each(ids.to_vec(), OfService::cancel).await
    }

    async fn get(&self, id: &TimerId) -> Result<Option<Timer>, LedgerError> {
        let (of_service, id) = (self.of_service(), id.clone());
        self.operations.ask(move |batch| of_service.get(batch, &id)).await
    }

    async fn list(&self, limit: usize, after: Option<&Place>) -> Result<List, LedgerError> {
        let (of_service, limit, after) = (self.of_service(), limit.min(LIST_MAX), after.cloned());
        self.operations.ask(move |batch| of_service.list(batch, limit, after)).await
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        let of_service = self.of_service();
        self.operations.ask(move |batch| of_service.counts(batch)).await
    }
}

/// The operations on a service's timers, as the writer does them.
struct OfService {
    service: Arc<str>,
    held: Arc<Held>,
    /// Gives out fences.
    core: Arc<Core>,
}

/// A timer's row.
struct Found {
    timer: i64,
    id: TimerId,
    due: UnixMs,
    fence: Fence,
    queue: String,
    bytes: usize,
}

const COLUMNS: &str = "timer, id, due, fence, queue, bytes";

/// Reads a row. One that cannot be read is damage; the row's number is there all the same.
fn read_found(row: &Row<'_>) -> Result<Result<Found, (i64, LedgerError)>, rusqlite::Error> {
    let timer = row.get(0)?;
    let read = || {
        Ok::<_, rusqlite::Error>(Found {
            timer,
            id: TimerId(row.get(1)?),
            due: UnixMs(row.get::<_, i64>(2)? as u64),
            fence: Fence(row.get::<_, i64>(3)? as u64),
            queue: row.get(4)?,
            bytes: row.get::<_, i64>(5)? as usize,
        })
    };
    Ok(read().map_err(|error| (timer, LedgerError::Damaged(format!("timer number {timer}: {error}")))))
}

/// A moment as its column has it. [`When::from`](crate::timers::When::from) bounds it.
fn column(at: UnixMs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

impl OfService {
    fn set(&self, batch: &Batch<'_>, new: NewTimer) -> Result<Set, LedgerError> {
        new.fits()?;
        let (due, fence) = (new.due.from(clock::unix_ms()), self.core.next_fence());
        let mut insert = batch.prepare(
            "INSERT INTO timers (service, id, due, fence, queue, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO NOTHING RETURNING timer",
        )?;
        let columns = params![self.service, new.id.0, column(due), fence.0 as i64, new.queue, new.message.len() as i64];
        let timer: Option<i64> = insert.query_row(columns, |row| row.get(0)).optional().map_err(failed)?;
        let Some(timer) = timer else { return Ok(Set::Exists) };
        batch.run("INSERT INTO timer_messages VALUES (?1, ?2)", params![timer, &*new.message])?;
        Ok(Set::New)
    }

    fn take_due(&self, batch: &Batch<'_>, lease: Duration, max: usize) -> Result<Due, LedgerError> {
        let (now, today) = (clock::now(), clock::unix_ms());
        let (held, _) = self.held.live(&self.service, now);
        // Those in hand stand among the others, and one more tells whether there are more.
        let free: Vec<_> = {
            let limit = max.saturating_add(held).saturating_add(1) as i64;
            let mut select = batch.prepare(&format!(
                "SELECT {COLUMNS} FROM timers WHERE service = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?3"
            ))?;
            let rows = select.query_map(params![self.service, column(today), limit], read_found).map_err(failed)?;
            let rows = rows.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            let number = |row: &Result<Found, (i64, LedgerError)>| match row {
                Ok(found) => found.timer,
                Err((timer, _)) => *timer,
            };
            rows.into_iter().filter(|row| !self.held.is_held(number(row), now)).collect()
        };
        let lens = free.iter().take(max).map(|row| row.as_ref().map_or(0, |found| found.bytes));
        let taken = within_bytes(lens, TAKE_MAX_BYTES);
        let is_more = free.len() > taken;
        let mut due = Due { now: today, ..Due::default() };
        for row in free.into_iter().take(taken) {
            let read = row.and_then(|found| {
                let number = found.timer;
                self.take(batch, found).map_err(|error| (number, error))
            });
            match read {
                Ok((timer, taken)) => {
                    self.held.hold(timer, &self.service, now + lease);
                    due.taken.push(taken);
                }
                Err((timer, error @ LedgerError::Damaged(_))) => {
                    self.held.hold(timer, &self.service, now + lease);
                    due.damaged.push(error);
                }
                Err((_, error)) => return Err(error),
            }
        }
        due.next_in = if is_more { Some(Duration::ZERO) } else { self.next_in(batch, now, today)? };
        Ok(due)
    }

    fn take(&self, batch: &Batch<'_>, found: Found) -> Result<(i64, Taken), LedgerError> {
        let Found { timer, id, due, queue, .. } = found;
        let (message, fence) = (message(batch, timer, &id)?, self.core.next_fence());
        batch.run("UPDATE timers SET fence = ?2 WHERE timer = ?1", params![timer, fence.0 as i64])?;
        Ok((timer, Taken { id, fence, due, queue, message }))
    }

    /// How long until something is due, or a lease ends.
    fn next_in(&self, batch: &Batch<'_>, now: Instant, today: UnixMs) -> Result<Option<Duration>, LedgerError> {
        let mut select = batch.prepare("SELECT min(due) FROM timers WHERE service = ?1 AND due > ?2")?;
        let next: Option<i64> =
            select.query_row(params![self.service, column(today)], |row| row.get(0)).map_err(failed)?;
        let due_in = next.map(|next| Duration::from_millis((next as u64).saturating_sub(today.0)));
        Ok(due_in.into_iter().chain(self.held.live(&self.service, now).1).min())
    }

    fn find(&self, batch: &Batch<'_>, id: &TimerId) -> Result<Option<Found>, LedgerError> {
        let mut select = batch.prepare(&format!("SELECT {COLUMNS} FROM timers WHERE service = ?1 AND id = ?2"))?;
        let row = select.query_row(params![self.service, id.0], read_found).optional().map_err(failed)?;
        row.transpose().map_err(|(_, error)| error)
    }

    /// The timer, if there is one.
    fn find_by(&self, batch: &Batch<'_>, id: &TimerId, fence: Fence) -> Result<Option<Found>, LedgerError> {
        match self.find(batch, id)? {
            Some(found) if found.fence != fence => Err(LedgerError::Stale),
            found => Ok(found),
        }
    }

    fn done(&self, batch: &Batch<'_>, (id, fence): (TimerId, Fence)) -> Result<bool, LedgerError> {
        let Some(found) = self.find_by(batch, &id, fence)? else { return Ok(false) };
        self.remove(batch, found.timer)?;
        Ok(true)
    }

    fn remove(&self, batch: &Batch<'_>, timer: i64) -> Result<(), LedgerError> {
        batch.run("DELETE FROM timers WHERE timer = ?1", params![timer])?;
        batch.run("DELETE FROM timer_messages WHERE timer = ?1", params![timer])?;
        self.held.let_go(timer);
        Ok(())
    }

    fn update(&self, batch: &Batch<'_>, update: Update) -> Result<bool, LedgerError> {
        update.fits()?;
        let Some(found) = self.find_by(batch, &update.id, update.fence)? else { return Ok(false) };
        let (due, fence) = (update.due.from(clock::unix_ms()), self.core.next_fence());
        let bytes = update.message.as_ref().map_or(found.bytes, Bytes::len);
        batch.run(
            "UPDATE timers SET due = ?2, fence = ?3, bytes = ?4 WHERE timer = ?1",
            params![found.timer, column(due), fence.0 as i64, bytes as i64],
        )?;
        if let Some(message) = update.message {
            let sql = "INSERT OR REPLACE INTO timer_messages VALUES (?1, ?2)";
            batch.run(sql, params![found.timer, &*message])?;
        }
        self.held.let_go(found.timer);
        Ok(true)
    }

    fn cancel(&self, batch: &Batch<'_>, id: TimerId) -> Result<Cancelled, LedgerError> {
        let mut select = batch.prepare("SELECT timer FROM timers WHERE service = ?1 AND id = ?2")?;
        let timer = select.query_row(params![self.service, id.0], |row| row.get(0)).optional().map_err(failed)?;
        let Some(timer) = timer else { return Ok(Cancelled::Gone) };
        let is_held = self.held.is_held(timer, clock::now());
        self.remove(batch, timer)?;
        Ok(if is_held { Cancelled::Taken } else { Cancelled::Waiting })
    }

    fn get(&self, batch: &Batch<'_>, id: &TimerId) -> Result<Option<Timer>, LedgerError> {
        let Some(found) = self.find(batch, id)? else { return Ok(None) };
        let message = message(batch, found.timer, &found.id)?;
        let fence = (!self.held.is_held(found.timer, clock::now())).then_some(found.fence);
        Ok(Some(Timer { due: found.due, queue: found.queue, message, fence }))
    }

    fn list(&self, batch: &Batch<'_>, limit: usize, after: Option<Place>) -> Result<List, LedgerError> {
        let now = clock::now();
        let (due, tie) = after.map_or((-1, String::new()), |place| (column(place.look), place.tie));
        let mut select = batch.prepare(&format!(
            "SELECT {COLUMNS} FROM timers WHERE service = ?1 AND (due, id) > (?2, ?3) ORDER BY due, id LIMIT ?4"
        ))?;
        let parameters = params![self.service, due, tie, limit.saturating_add(1) as i64];
        let rows = select.query_map(parameters, read_found).map_err(failed)?;
        let mut rows = rows.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        // A row that cannot be read is told by those who take it.
        let timers: Vec<_> = rows.into_iter().flatten().collect();
        let next = timers.last().filter(|_| is_more).map(|last| Place { look: last.due, tie: last.id.0.clone() });
        let listed = |found: Found| Listed {
            is_taken: self.held.is_held(found.timer, now),
            id: found.id,
            due: found.due,
            queue: found.queue,
            bytes: found.bytes,
        };
        Ok(List { timers: timers.into_iter().map(listed).collect(), next })
    }

    fn counts(&self, batch: &Batch<'_>) -> Result<Counts, LedgerError> {
        let (now, today) = (clock::now(), clock::unix_ms());
        let count = |sql: &str, until: UnixMs| -> Result<u64, LedgerError> {
            let parameters = params![self.service, column(until), COUNT_MAX as i64 + 1];
            let count: i64 = batch.prepare(sql)?.query_row(parameters, |row| row.get(0)).map_err(failed)?;
            Ok(count as u64)
        };
        let sql = "SELECT count(*) FROM (SELECT 1 FROM timers WHERE service = ?1 AND due <= ?2 LIMIT ?3)";
        let (all, due) = (count(sql, UnixMs(u64::MAX))?, count(sql, today)?);
        let held = self.held.live(&self.service, now).0 as u64;
        let overdue = due.saturating_sub(held).min(COUNT_MAX);
        Ok(Counts { all: all.min(COUNT_MAX), overdue, is_at_least: all > COUNT_MAX })
    }
}

fn message(batch: &Batch<'_>, timer: i64, id: &TimerId) -> Result<Bytes, LedgerError> {
    let mut select = batch.prepare("SELECT message FROM timer_messages WHERE timer = ?1")?;
    let found: Option<Vec<u8>> = select.query_row(params![timer], |row| row.get(0)).optional().map_err(failed)?;
    found.map(Bytes::from).ok_or_else(|| LedgerError::Damaged(format!("timer {:?}: its message is gone", id.0)))
}
