//! Looks at all shards, for people. The hints are what is shown: a timer that was changed just now
//! may be shown as it was.

use std::collections::HashMap;

use super::handle::each;
use super::rows::{self, Hint, SHARDS, Scope};
use crate::dynamodb::calls::Range;
use crate::dynamodb::item::ITEM;
use crate::dynamodb::table::Table;
use crate::ledger::{Fence, LedgerError};
use crate::timers::{COUNT_MAX, Counts, LIST_MAX, List, Listed, Place, TimerId};

/// Where counting ends in each shard. Twice its share, since shards differ a little.
const COUNT_MAX_OF_SHARD: usize = 2 * COUNT_MAX as usize / SHARDS as usize;

pub async fn list(table: &Table, scope: &Scope, limit: usize, after: Option<&Place>) -> Result<List, LedgerError> {
    let limit = limit.min(LIST_MAX);
    let (from, now) = (after.map(rows::behind), table.now()?);
    let from = from.as_deref();
    let query = |shard| {
        let range = Range { key: scope.shard(shard), from, to: None, limit: limit + 1, is_consistent: false };
        table.query(range)
    };
    let mut found: Vec<(Place, Hint)> = Vec::new();
    for of_shard in each((0..SHARDS).map(query)).await {
        // One that cannot be read is told by those who take it.
        found.extend(of_shard?.iter().filter_map(|item| {
            let (look, tie) = rows::read_sort_key(item.get(ITEM)?.as_s().ok()?)?;
            Some((Place { look, tie: tie.to_owned() }, Hint::read(item).ok()?))
        }));
    }
    // Of a timer's hints the newest counts.
    let mut newest: HashMap<&TimerId, Fence> = HashMap::new();
    for (_, hint) in &found {
        let fence = newest.entry(&hint.id).or_insert(hint.fence);
        *fence = hint.fence.max(*fence);
    }
    let is_newest: Vec<_> = found.iter().map(|(_, hint)| newest.get(&hint.id) == Some(&hint.fence)).collect();
    let mut is_newest = is_newest.into_iter();
    found.retain(|_| is_newest.next() == Some(true));
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let is_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| is_more).map(|(place, _)| place.clone());
    let listed = |(_, hint): (Place, Hint)| Listed {
        is_taken: hint.is_taken && hint.look > now.earliest(),
        id: hint.id,
        due: hint.due,
        queue: hint.queue,
        bytes: hint.bytes,
    };
    Ok(List { timers: found.into_iter().map(listed).collect(), next })
}

pub async fn counts(table: &Table, scope: &Scope) -> Result<Counts, LedgerError> {
    let now = rows::from(table.now()?.earliest());
    let count = |to| async move {
        let of_shard = |shard| {
            let range =
                Range { key: scope.shard(shard), from: None, to, limit: COUNT_MAX_OF_SHARD, is_consistent: false };
            table.count(range)
        };
        let (mut sum, mut is_cut) = (0, false);
        for answer in each((0..SHARDS).map(of_shard)).await {
            let (count, is_more) = answer?;
            sum += count;
            is_cut |= is_more;
        }
        Ok::<_, LedgerError>((sum, is_cut))
    };
    let ((all, is_cut), (overdue, is_overdue_cut)) = (count(None).await?, count(Some(now.as_str())).await?);
    Ok(Counts {
        all: all.min(COUNT_MAX),
        overdue: overdue.min(COUNT_MAX),
        is_at_least: is_cut || is_overdue_cut || all > COUNT_MAX,
    })
}
