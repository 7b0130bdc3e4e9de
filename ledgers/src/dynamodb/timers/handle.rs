//! A handle of the timers, and what all operations on them share.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::UnixMs;

use super::rows::{Body, Scope, Stored, hint_key};
use crate::dynamodb::item::{ItemKey, Reader, VALUE};
use crate::dynamodb::table::Table;
use crate::dynamodb::time::Bounds;
use crate::ledger::{CALLS_AT_ONCE, Fence, LedgerError};
use crate::timers::END_OF_TIME;

/// When to look again into a shard that another host visits, or that shows nothing to take, though
/// its time has come.
pub const VISITED_WAIT: Duration = Duration::from_millis(200);

/// The timers of a service in a table.
pub struct DynamodbTimers {
    pub table: Table,
    pub scope: Scope,
    /// When this host last visited a shard out of turn.
    pub round: Mutex<Instant>,
}

impl DynamodbTimers {
    pub fn new(table: Table, service: &str) -> Self {
        Self { table, scope: Scope { service: service.to_owned() }, round: Mutex::new(clock::now()) }
    }

    /// What there is of a timer beside its item.
    pub fn traces(&self, timer: &Stored) -> impl Iterator<Item = ItemKey> + use<> {
        let parts = timer.body.message_parts().map(|parts| self.scope.part_keys(&timer.id, parts));
        let hint = hint_key(&self.scope, &timer.id, timer.look, timer.fence);
        std::iter::once(hint).chain(parts.into_iter().flatten())
    }

    pub async fn message(&self, timer: &Stored) -> Result<Bytes, LedgerError> {
        let parts = match &timer.body {
            Body::Within(message) => return Ok(message.clone()),
            Body::Apart(parts) => self.scope.part_keys(&timer.id, *parts),
        };
        let mut message = Vec::with_capacity(timer.bytes);
        for part in parts {
            let item = self.table.get(&part, None).await?;
            let item = item.ok_or_else(|| LedgerError::Damaged("a part of its message is gone".into()))?;
            message.extend(Reader { key: part.key, item: &item }.bytes(VALUE)?);
        }
        Ok(message.into())
    }
}

/// A fence after `last`, and after those of earlier timers of the id, as far as their hosts' bounds
/// on the time are alike. No other host gives it out at the same moment: whoever finds it knows
/// that the write was its own.
pub fn fence_after(last: Fence, now: Bounds) -> Fence {
    Fence(last.0.max(now.latest_us()).saturating_add(fastrand::u64(1..=u32::MAX.into())))
}

/// How long until then; None where nothing is awaited.
pub fn waits(look: UnixMs, now: Bounds) -> Option<Duration> {
    (look <= END_OF_TIME).then(|| look.since(now.middle()))
}

/// Does something for each of many, some at once, and answers in their order.
pub async fn each<R>(all: impl IntoIterator<Item = impl Future<Output = R> + Send>) -> Vec<R> {
    let all: Vec<_> = all.into_iter().collect();
    futures::stream::iter(all).buffered(CALLS_AT_ONCE).collect().await
}
