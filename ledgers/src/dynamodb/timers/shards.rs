//! The directory: a row for each shard, with the earliest moment at which to look into it. An idle
//! host reads the directory once a second, and no shard.
//!
//! A row's moment is never later than the shard's first hint that a timer has. Whoever puts a hint
//! there looks at the row before the timer gets it, and makes its moment earlier if need be.
//! Whoever visits the shard makes it later, on the condition that nobody has put a hint there since
//! the visit began: those who did have *touched* the row. All of that is a comparison with what was
//! read, and needs no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use futures::StreamExt;
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::UnixMs;

use super::rows::{SHARDS, Scope};
use crate::dynamodb::calls::Range;
use crate::dynamodb::item::{ITEM, Item, ItemKey, Reader, number};
use crate::dynamodb::table::{Table, Written};
use crate::dynamodb::time::Bounds;
use crate::dynamodb::update::Update;
use crate::ledger::{CALLS_AT_ONCE, LedgerError};

/// How long a visit keeps others out of a shard, if its host dies in it.
const VISIT: Duration = Duration::from_secs(15);
/// How long into a visit timers are taken. A call of then ends within the visit.
const VISIT_TAKES: Duration = Duration::from_secs(5);
/// How often a row is looked at anew that others change meanwhile. Each time somebody has got on.
const TRIES: u32 = 20;

const NEXT: &str = "next";
const TOUCHED: &str = "touched";
const VISITOR: &str = "visitor";
const VISIT_UNTIL: &str = "visit_until";
/// The visitor of a shard that has none.
const NOBODY: u64 = 0;

/// A shard's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardRow {
    pub shard: u8,
    /// When to look into the shard, at the latest.
    pub next: UnixMs,
    touched: u64,
    visitor: u64,
    visit_until: UnixMs,
}

impl ShardRow {
    fn read(item: &Item) -> Result<Self, LedgerError> {
        let key = wasq_core::message::Key([0; 32]);
        let read = Reader { key, item };
        Ok(Self {
            shard: read.text(ITEM)?.parse().map_err(|_| read.damaged(ITEM, "is no shard"))?,
            next: UnixMs(read.number(NEXT)?),
            touched: read.number(TOUCHED)?,
            visitor: read.number(VISITOR)?,
            visit_until: UnixMs(read.number(VISIT_UNTIL)?),
        })
    }

    /// Whether another host is in the shard.
    pub fn is_visited(&self, now: Bounds) -> bool {
        self.visitor != NOBODY && self.visit_until > now.earliest()
    }
}

/// A visit of a shard: no other host takes from it.
pub struct Visit {
    pub shard: u8,
    visitor: u64,
    touched: u64,
    began: Instant,
}

impl Visit {
    /// Whether there is time to take timers.
    pub fn may_take(&self) -> bool {
        self.began.elapsed() < VISIT_TAKES
    }
}

/// All rows.
pub async fn all(table: &Table, scope: &Scope, is_consistent: bool) -> Result<Vec<ShardRow>, LedgerError> {
    let range = Range { key: scope.directory(), from: None, to: None, limit: SHARDS.into(), is_consistent };
    table.query(range).await?.iter().map(ShardRow::read).collect()
}

fn row_key(scope: &Scope, shard: u8) -> ItemKey {
    ItemKey { key: scope.directory(), item: format!("{shard:02}") }
}

/// Begins a visit, unless another host was faster.
pub async fn begin(table: &Table, scope: &Scope, row: &ShardRow) -> Result<Option<Visit>, LedgerError> {
    let (began, visitor) = (clock::now(), fastrand::u64(1..));
    let until = crate::entry::after(table.now()?.latest(), VISIT);
    let update = Update::default()
        .only_if(VISITOR, number(row.visitor))
        .set_all([(VISITOR, number(visitor)), (VISIT_UNTIL, number(until.0))]);
    let row_key = row_key(scope, row.shard);
    let item = match table.update(&row_key, update, ReturnValue::AllNew).await? {
        Written::Done(item) | Written::Refused(item @ Some(_)) => item,
        Written::Refused(None) => table.get(&row_key, None).await?,
    };
    let now = item.as_ref().map(ShardRow::read).transpose()?;
    // It may be refused as said before: the answer was lost, and the SDK has tried again.
    let ours = now.filter(|row| row.visitor == visitor);
    Ok(ours.map(|ShardRow { shard, touched, .. }| Visit { shard, visitor, touched, began }))
}

/// Ends a visit. `next` is when to look into the shard again, by a look that was taken within the
/// visit. False if the visit was over.
pub async fn end(table: &Table, scope: &Scope, visit: Visit, next: Option<UnixMs>) -> Result<bool, LedgerError> {
    let row_key = row_key(scope, visit.shard);
    let nobody = || Update::default().only_if(VISITOR, number(visit.visitor)).set(VISITOR, number(NOBODY));
    if let Some(next) = next {
        let update = nobody().only_if(TOUCHED, number(visit.touched)).set(NEXT, number(next.0));
        if let Written::Done(_) = table.update(&row_key, update, ReturnValue::None).await? {
            return Ok(true);
        }
    }
    // Somebody has put a hint there meanwhile: the moment stays.
    let ended = table.update(&row_key, nobody(), ReturnValue::None).await?;
    Ok(matches!(ended, Written::Done(_)))
}

/// Has shards looked into at these moments, or before: for hints that stand there already.
pub async fn look_at(
    table: &Table,
    scope: &Scope,
    hints: impl IntoIterator<Item = (u8, UnixMs)>,
) -> Result<(), LedgerError> {
    let mut wanted: BTreeMap<u8, UnixMs> = BTreeMap::new();
    for (shard, look) in hints {
        let earliest = wanted.entry(shard).or_insert(look);
        *earliest = look.min(*earliest);
    }
    for _ in 0..TRIES {
        if wanted.is_empty() {
            return Ok(());
        }
        let rows: BTreeMap<u8, ShardRow> =
            all(table, scope, true).await?.into_iter().map(|row| (row.shard, row)).collect();
        let calls: Vec<_> =
            wanted.iter().map(|(shard, look)| look_at_one(table, scope, *shard, *look, rows.get(shard))).collect();
        let answers: Vec<_> = futures::stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await;
        let shards: Vec<u8> = wanted.keys().copied().collect();
        for (shard, answer) in shards.into_iter().zip(answers) {
            if answer? {
                wanted.remove(&shard);
            }
        }
    }
    Err(LedgerError::Unavailable(format!("others changed the row of a shard of timers {TRIES} times")))
}

/// False if the row has changed meanwhile.
async fn look_at_one(
    table: &Table,
    scope: &Scope,
    shard: u8,
    look: UnixMs,
    row: Option<&ShardRow>,
) -> Result<bool, LedgerError> {
    let (row_key, touch) = (row_key(scope, shard), fastrand::u64(..));
    let written = match row {
        Some(row) if row.next <= look && row.visitor == NOBODY => return Ok(true),
        // A visitor may have looked before the hint was there.
        Some(row) if row.next <= look => {
            let update = Update::default().only_if(VISITOR, number(row.visitor)).set(TOUCHED, number(touch));
            table.update(&row_key, update, ReturnValue::None).await?
        }
        Some(row) => {
            let update = Update::default().only_if(NEXT, number(row.next.0));
            let update = update.set_all([(NEXT, number(look.0)), (TOUCHED, number(touch))]);
            table.update(&row_key, update, ReturnValue::None).await?
        }
        None => {
            let mut item = row_key.to_item();
            let attributes = [(NEXT, look.0), (TOUCHED, touch), (VISITOR, NOBODY), (VISIT_UNTIL, 0)];
            item.extend(attributes.map(|(name, value)| (name.to_owned(), number(value))));
            table.put_new(item).await?
        }
    };
    Ok(matches!(written, Written::Done(_)))
}
