//! The timers, in a table: one statement an operation, by the server's clock. Hosts that take at
//! the same moment skip each other's rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use wasq_core::message::UnixMs;

use super::rounds::in_rounds;
use super::rows::{column, get, nullable};
use super::sql::Statements;
use super::store::Store;
use super::timer_sql::TimerStatements;
use crate::ledger::{Fence, LedgerError};
use crate::remote::{span_ms, until};
use crate::timers::{
    COUNT_MAX, Cancelled, Counts, Due, END_OF_TIME, LIST_MAX, List, Listed, NewTimer, Place, Set, TAKE_MAX,
    TAKE_MAX_BYTES, Taken, Timer, TimerId, Timers, Update, When,
};

/// The timers of a service in a PostgreSQL database.
pub struct PostgresTimers {
    store: Store,
    statements: Arc<Statements>,
    service: Vec<u8>,
}

impl PostgresTimers {
    pub fn new(store: Store, statements: Arc<Statements>, service: &str) -> Self {
        Self { store, statements, service: service.as_bytes().to_vec() }
    }

    fn statements(&self) -> &TimerStatements {
        &self.statements.timers
    }

    async fn set_all(&self, timers: &[&NewTimer]) -> Result<HashSet<Vec<u8>>, LedgerError> {
        let ids: Vec<&[u8]> = timers.iter().map(|timer| timer.id.0.as_bytes()).collect();
        let (at_ms, wait_ms) = moments(timers.iter().map(|timer| timer.due));
        let queues: Vec<&[u8]> = timers.iter().map(|timer| timer.queue.as_bytes()).collect();
        let messages: Vec<&[u8]> = timers.iter().map(|timer| &*timer.message).collect();
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&self.service, &ids, &at_ms, &wait_ms, &queues, &messages, &moment(END_OF_TIME)];
        let rows = self.store.query(&self.statements().set, &parameters).await?;
        rows.iter().map(|row| get(row, "id")).collect()
    }

    async fn done_all(&self, timers: Vec<&(TimerId, Fence)>) -> Result<Vec<Result<bool, LedgerError>>, LedgerError> {
        let ids: Vec<&[u8]> = timers.iter().map(|(id, _)| id.0.as_bytes()).collect();
        let fences: Vec<i64> = timers.iter().map(|(_, fence)| column(*fence)).collect();
        let rows = self.store.query(&self.statements().done, &[&self.service, &ids, &fences]).await?;
        of_fences(&rows, &ids, &fences)
    }

    async fn update_all(&self, updates: Vec<&Update>) -> Result<Vec<Result<bool, LedgerError>>, LedgerError> {
        let ids: Vec<&[u8]> = updates.iter().map(|update| update.id.0.as_bytes()).collect();
        let fences: Vec<i64> = updates.iter().map(|update| column(update.fence)).collect();
        let (at_ms, wait_ms) = moments(updates.iter().map(|update| update.due));
        let messages: Vec<Option<&[u8]>> = updates.iter().map(|update| update.message.as_deref()).collect();
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&self.service, &ids, &fences, &at_ms, &wait_ms, &messages, &moment(END_OF_TIME)];
        let rows = self.store.query(&self.statements().update, &parameters).await?;
        of_fences(&rows, &ids, &fences)
    }
}

#[async_trait]
impl Timers for PostgresTimers {
    async fn set_batch(&self, timers: Vec<NewTimer>) -> Vec<Result<Set, LedgerError>> {
        let fits: Vec<_> = timers.iter().map(NewTimer::fits).collect();
        let fitting: Vec<_> =
            timers.iter().zip(&fits).filter(|(_, fits)| fits.is_ok()).map(|(timer, _)| timer).collect();
        let mut set = match fitting.is_empty() {
            true => Ok(HashSet::new()),
            false => self.set_all(&fitting).await,
        };
        let answer = |(timer, fits): (&NewTimer, Result<(), LedgerError>)| {
            fits?;
            match &mut set {
                // The first one of an id is the one that was set.
                Ok(new) => Ok(if new.remove(timer.id.0.as_bytes()) { Set::New } else { Set::Exists }),
                Err(error) => Err(error.clone()),
            }
        };
        timers.iter().zip(fits).map(answer).collect()
    }

    async fn take_due(&self, lease: Duration, max: usize) -> Result<Due, LedgerError> {
        let max = max.min(TAKE_MAX) as i64;
        let parameters: [&(dyn ToSql + Sync); 4] = [&self.service, &span_ms(lease), &max, &(TAKE_MAX_BYTES as i64)];
        let rows = self.store.query(&self.statements().take, &parameters).await?;
        let (mut due, mut found, mut next_in) = (Due::default(), 0, None);
        for row in &rows {
            let Some(id) = nullable::<&[u8]>(row, "id")? else {
                found = get::<i64>(row, "fence")?;
                next_in = nullable::<i64>(row, "due_ms")?.map(until);
                due.now = UnixMs(u64::try_from(get::<i64>(row, "now_ms")?).unwrap_or(0));
                continue;
            };
            match taken(row, id) {
                Ok(taken) => due.taken.push(taken),
                Err(error @ LedgerError::Damaged(_)) => due.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        due.taken.sort_unstable_by(|a, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
        let in_hand = due.taken.len() + due.damaged.len();
        let is_more = found == max || found > in_hand as i64;
        let lease_ends = (in_hand > 0).then_some(lease);
        due.next_in = if is_more { Some(Duration::ZERO) } else { next_in.into_iter().chain(lease_ends).min() };
        Ok(due)
    }

    async fn done_batch(&self, timers: &[(TimerId, Fence)]) -> Vec<Result<bool, LedgerError>> {
        let timers: Vec<_> = timers.iter().collect();
        in_rounds(&timers, |(id, _)| id, |timers| self.done_all(timers)).await
    }

    async fn update_batch(&self, updates: Vec<Update>) -> Vec<Result<bool, LedgerError>> {
        let fits: Vec<_> = updates.iter().map(Update::fits).collect();
        let fitting: Vec<_> =
            updates.iter().zip(&fits).filter(|(_, fits)| fits.is_ok()).map(|(update, _)| update).collect();
        let mut answers =
            in_rounds(&fitting, |update| &update.id, |updates| self.update_all(updates)).await.into_iter();
        let missing = || Err(LedgerError::Unavailable("it gave no answer".into()));
        fits.into_iter().map(|fits| fits.and_then(|()| answers.next().unwrap_or_else(missing))).collect()
    }

    async fn cancel_batch(&self, ids: &[TimerId]) -> Vec<Result<Cancelled, LedgerError>> {
        let names: Vec<&[u8]> = ids.iter().map(|id| id.0.as_bytes()).collect();
        let cancelled = async {
            let rows = self.store.query(&self.statements().cancel, &[&self.service, &names]).await?;
            let held = |row: &Row| Ok((get::<Vec<u8>>(row, "id")?, get::<bool>(row, "is_held")?));
            rows.iter().map(held).collect::<Result<HashMap<_, _>, LedgerError>>()
        };
        match cancelled.await {
            Ok(mut held) => {
                let answer = |name: &&[u8]| match held.remove(*name) {
                    None => Cancelled::Gone,
                    Some(true) => Cancelled::Taken,
                    Some(false) => Cancelled::Waiting,
                };
                names.iter().map(answer).map(Ok).collect()
            }
            Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn get(&self, id: &TimerId) -> Result<Option<Timer>, LedgerError> {
        let row = self.store.query_opt(&self.statements().get, &[&self.service, &id.0.as_bytes()]).await?;
        let timer = |row: &Row| -> Result<Timer, LedgerError> {
            let taken = taken(row, id.0.as_bytes())?;
            let fence = (!get::<bool>(row, "is_held")?).then_some(taken.fence);
            Ok(Timer { due: taken.due, queue: taken.queue, message: taken.message, fence })
        };
        row.as_ref().map(timer).transpose()
    }

    async fn list(&self, limit: usize, after: Option<&Place>) -> Result<List, LedgerError> {
        let limit = limit.min(LIST_MAX);
        let (look, tie) = after.map_or((-1, ""), |place| (moment(place.look), place.tie.as_str()));
        let parameters: [&(dyn ToSql + Sync); 4] = [&self.service, &look, &tie.as_bytes(), &(limit as i64 + 1)];
        let rows = self.store.query(&self.statements().list, &parameters).await?;
        let shown = &rows[..rows.len().min(limit)];
        // A row that cannot be read is told by those who take it.
        let listed: Vec<(Listed, i64)> =
            shown.iter().filter_map(|row| listed(row).transpose()).collect::<Result<_, _>>()?;
        let next = listed
            .last()
            .filter(|_| rows.len() > limit)
            .map(|(last, look)| Place { look: UnixMs(u64::try_from(*look).unwrap_or(0)), tie: last.id.0.clone() });
        Ok(List { timers: listed.into_iter().map(|(timer, _)| timer).collect(), next })
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        let row = self.store.query_opt(&self.statements().counts, &[&self.service, &(COUNT_MAX as i64 + 1)]).await?;
        let row = row.ok_or_else(|| LedgerError::Unavailable("it gave no answer".into()))?;
        let (all, overdue): (i64, i64) = (get(&row, "all_of_them")?, get(&row, "overdue")?);
        let cut = |count: i64| u64::try_from(count).unwrap_or(0).min(COUNT_MAX);
        Ok(Counts { all: cut(all), overdue: cut(overdue), is_at_least: all > COUNT_MAX as i64 })
    }
}

/// What became of those that were named by their fences.
fn of_fences(rows: &[Row], ids: &[&[u8]], fences: &[i64]) -> Result<Vec<Result<bool, LedgerError>>, LedgerError> {
    let found = |row| Ok((get::<&[u8]>(row, "id")?, get::<i64>(row, "fence")?));
    let found: HashMap<_, _> = rows.iter().map(found).collect::<Result<_, LedgerError>>()?;
    let answer = |(id, fence)| match found.get(id) {
        None => Ok(false),
        Some(found) if found == fence => Ok(true),
        Some(_) => Err(LedgerError::Stale),
    };
    Ok(ids.iter().zip(fences).map(answer).collect())
}

fn taken(row: &Row, id: &[u8]) -> Result<Taken, LedgerError> {
    Ok(Taken {
        id: TimerId(text(id, "id", id)?),
        fence: Fence(get::<i64>(row, "fence")? as u64),
        due: UnixMs(u64::try_from(get::<i64>(row, "due_ms")?).unwrap_or(0)),
        queue: text(get(row, "queue")?, "queue", id)?,
        message: Bytes::copy_from_slice(get(row, "message")?),
    })
}

/// A row and when it can be taken; none that cannot be read.
fn listed(row: &Row) -> Result<Option<(Listed, i64)>, LedgerError> {
    let id: &[u8] = get(row, "id")?;
    let (Ok(name), Ok(queue)) = (text(id, "id", id), text(get(row, "queue")?, "queue", id)) else { return Ok(None) };
    let listed = Listed {
        id: TimerId(name),
        due: UnixMs(u64::try_from(get::<i64>(row, "due_ms")?).unwrap_or(0)),
        queue,
        bytes: usize::try_from(get::<i64>(row, "bytes")?).unwrap_or(0),
        is_taken: get(row, "is_held")?,
    };
    Ok(Some((listed, get(row, "look_ms")?)))
}

fn text(bytes: &[u8], column: &str, id: &[u8]) -> Result<String, LedgerError> {
    let damaged = |_| {
        let id = String::from_utf8_lossy(id);
        LedgerError::Damaged(format!("timer {id:?}: its {column} is no text"))
    };
    str::from_utf8(bytes).map(str::to_owned).map_err(damaged)
}

/// Moments, and waits where there is none.
fn moments(all: impl Iterator<Item = When>) -> (Vec<Option<i64>>, Vec<i64>) {
    let columns = |when| match when {
        When::At(at) => (Some(moment(at)), 0),
        When::In(wait) => (None, span_ms(wait)),
    };
    all.map(columns).unzip()
}

fn moment(at: UnixMs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
