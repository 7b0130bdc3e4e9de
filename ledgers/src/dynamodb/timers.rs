//! The timers, in items of the ledger's table: no index, no scan, no partition that all hosts write
//! to. docs/internals/timers.md tells the protocol and its cost.
//!
//! A timer's item is the truth; a hint in one of 64 shards says when to look at it (`rows`), and
//! the directory says when to look into which shard (`shards`). Time is the server's, known within
//! bounds: what is due counts by their middle, and a lease of another host by its later end.

mod change;
mod handle;
mod people;
mod rows;
mod shards;
mod take;

use std::time::Duration;

use async_trait::async_trait;
use futures::future;
use wasq_core::clock;

pub use self::handle::DynamodbTimers;

use self::handle::{VISITED_WAIT, waits};
use self::shards::ShardRow;
use super::time::Bounds;
use crate::ledger::{Fence, LedgerError};
use crate::timers::{
    Cancelled, Counts, Due, List, MESSAGE_MAX_BYTES, NewTimer, Place, Set, TAKE_MAX, TAKE_MAX_BYTES, Timer, TimerId,
    Timers, Update,
};

/// Shards that one call visits at the same time.
const VISITS_AT_ONCE: usize = 4;
/// How often a host visits some shard whose time has not come: it takes away what dead hosts have
/// left there.
const ROUND_EVERY: Duration = Duration::from_secs(60);
impl DynamodbTimers {
    /// Shards whose time has come and that no other host is in, in any order; now and then one
    /// whose time has not.
    fn to_visit(&self, rows: &[ShardRow], now: Bounds) -> Vec<ShardRow> {
        let mut due: Vec<_> =
            rows.iter().filter(|row| row.next <= now.middle() && !row.is_visited(now)).copied().collect();
        fastrand::shuffle(&mut due);
        let mut round = self.round.lock();
        if due.is_empty() && round.elapsed() >= ROUND_EVERY {
            *round = clock::now();
            due.extend(fastrand::choice(rows).filter(|row| !row.is_visited(now)));
        }
        due
    }

    /// Visits shards, some at once, until enough is taken.
    async fn visit_all(&self, mut rows: Vec<ShardRow>, lease: Duration, max: usize) -> Result<Due, LedgerError> {
        let (mut due, mut missed) = (Due::default(), None);
        while !rows.is_empty() {
            let left = max.saturating_sub(due.taken.len());
            let left_bytes =
                TAKE_MAX_BYTES.saturating_sub(due.taken.iter().map(|taken| taken.message.len()).sum::<usize>());
            // Each of them may take one message, however long it is.
            let at_once = rows.len().min(VISITS_AT_ONCE).min(left).min(left_bytes / MESSAGE_MAX_BYTES);
            if at_once == 0 {
                due.next_in = Some(Duration::ZERO);
                break;
            }
            let visits: Vec<_> = rows
                .drain(..at_once)
                .map(|row| async move { self.visit(&row, lease, left / at_once, left_bytes / at_once).await })
                .collect();
            for visited in future::join_all(visits).await {
                match visited {
                    Ok(visited) => {
                        due.taken.extend(visited.due.taken);
                        due.damaged.extend(visited.due.damaged);
                        due.next_in = due.next_in.into_iter().chain(visited.due.next_in).min();
                        missed = missed.or(visited.missed);
                    }
                    Err(error) => missed = Some(error),
                }
            }
        }
        match missed {
            Some(error) if due.taken.is_empty() && due.damaged.is_empty() => return Err(error),
            Some(error) => tracing::warn!(%error, "some timers that are due could not be taken; they are tried again"),
            None => {}
        }
        due.taken.sort_unstable_by(|a, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
        Ok(due)
    }
}

#[async_trait]
impl Timers for DynamodbTimers {
    async fn set_batch(&self, timers: Vec<NewTimer>) -> Vec<Result<Set, LedgerError>> {
        self.set_all(timers).await
    }

    async fn take_due(&self, lease: Duration, max: usize) -> Result<Due, LedgerError> {
        let rows = shards::all(&self.table, &self.scope, false).await?;
        let now = self.table.now()?;
        let (due, later): (Vec<&ShardRow>, Vec<&ShardRow>) = rows.iter().partition(|row| row.next <= now.middle());
        let visited_by_others = due.iter().any(|row| row.is_visited(now)).then_some(VISITED_WAIT);
        let next = later.iter().filter_map(|row| waits(row.next, now)).chain(visited_by_others).min();
        let mut due = self.visit_all(self.to_visit(&rows, now), lease, max.min(TAKE_MAX)).await?;
        due.now = now.middle();
        due.next_in = due.next_in.into_iter().chain(next).min();
        Ok(due)
    }

    async fn done_batch(&self, timers: &[(TimerId, Fence)]) -> Vec<Result<bool, LedgerError>> {
        self.remove_all(timers).await
    }

    async fn update_batch(&self, updates: Vec<Update>) -> Vec<Result<bool, LedgerError>> {
        self.update_all(updates).await
    }

    async fn cancel_batch(&self, ids: &[TimerId]) -> Vec<Result<Cancelled, LedgerError>> {
        self.cancel_all(ids).await
    }

    async fn get(&self, id: &TimerId) -> Result<Option<Timer>, LedgerError> {
        let Some(timer) = self.stored(id).await? else { return Ok(None) };
        let message = self.message(&timer).await.map_err(|error| rows::damaged(id, &error))?;
        let is_held = timer.is_taken && timer.look > self.table.now()?.earliest();
        let fence = (!is_held).then_some(timer.fence);
        Ok(Some(Timer { due: timer.due, queue: timer.queue, message, fence }))
    }

    async fn list(&self, limit: usize, after: Option<&Place>) -> Result<List, LedgerError> {
        people::list(&self.table, &self.scope, limit, after).await
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        people::counts(&self.table, &self.scope).await
    }
}
