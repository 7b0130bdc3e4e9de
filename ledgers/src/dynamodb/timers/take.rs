//! Taking what is due: a visit to each shard whose time has come, by one host at a time.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use futures::StreamExt;
use wasq_core::message::{Key, UnixMs};

use super::handle::{DynamodbTimers, VISITED_WAIT, fence_after, waits};
use super::rows::{Hint, Stored, damaged, from, read_sort_key};
use super::shards::{self, ShardRow, Visit};
use crate::dynamodb::calls::Range;
use crate::dynamodb::item::{FENCE, ITEM, Item, ItemKey, KEY, LeaseEnd, number, text};
use crate::dynamodb::table::Written;
use crate::dynamodb::time::Bounds;
use crate::dynamodb::update::Update;
use crate::entry::after;
use crate::ledger::{CALLS_AT_ONCE, LedgerError};
use crate::timers::{Due, END_OF_TIME, Taken, within_bytes};

/// A hint without a timer may be of one that is just being set. After so long nobody sets it.
const UNSET_KEPT: Duration = Duration::from_secs(60);

/// Hints that are read beyond what is to be taken: such ones shall not keep others from it.
const EARLY_ROOM: usize = 100;

/// What a visit has brought.
#[derive(Default)]
pub struct Visited {
    pub due: Due,
    /// Why some timers could not be taken; they are taken by the next visit, or when their leases
    /// end.
    pub missed: Option<LedgerError>,
}

/// What a look at a timer has shown.
enum Look {
    /// It is taken, and can be read or not.
    Taken(Result<Stored, LedgerError>),
    /// The hint is of no use: its timer has gone, or moved on. With it go parts that nobody has.
    Useless(Vec<ItemKey>),
    /// Its timer may come yet.
    Early,
    Damaged(LedgerError),
}

/// A hint whose timer is to be taken, and the hint that it has then.
struct Try {
    hint: Hint,
    item: Item,
    taken: Hint,
}

impl DynamodbTimers {
    /// Takes from a shard, if no other host is in it.
    pub(super) async fn visit(
        &self,
        row: &ShardRow,
        lease: Duration,
        max: usize,
        max_bytes: usize,
    ) -> Result<Visited, LedgerError> {
        let mut visited = Visited::default();
        visited.due.next_in = Some(VISITED_WAIT);
        let Some(visit) = shards::begin(&self.table, &self.scope, row).await? else { return Ok(visited) };
        let now = self.table.now()?;
        let shard = self.scope.shard(visit.shard);
        // Behind every hint of this moment.
        let to = format!("{}!", from(now.middle()));
        let limit = max.saturating_add(EARLY_ROOM);
        let range = Range { key: shard, from: None, to: Some(&to), limit, is_consistent: true };
        let found = self.table.query(range).await?;
        let mut is_more = found.len() >= limit;

        let mut tries = Vec::with_capacity(found.len());
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        // As a claim's: one of no length has ended for others at once.
        let look = LeaseEnd::of(lease, now).until;
        for item in found {
            match Hint::read(&item) {
                // Others count its lease until it has surely ended.
                Ok(hint) if hint.is_taken && hint.look > now.earliest() => {}
                Ok(hint) => {
                    let fence = fence_after(hint.fence, now);
                    let taken = Hint { look, fence, is_taken: true, put_at: now.earliest(), ..hint.clone() };
                    tries.push(Try { hint, item, taken });
                }
                Err(error) => {
                    visited.due.damaged.push(error);
                    self.push_away(item, look, &mut puts, &mut deletes);
                }
            }
        }
        let fitting = within_bytes(tries.iter().map(|each| each.hint.bytes).take(max), max_bytes);
        is_more |= fitting < tries.len();
        tries.truncate(fitting);

        self.table.write_batch(tries.iter().map(|each| each.taken.to_item(&self.scope)).collect(), Vec::new()).await?;
        let looks: Vec<_> = tries.iter().map(|each| self.look(each, &visit, now)).collect();
        let looks: Vec<_> = futures::stream::iter(looks).buffered(CALLS_AT_ONCE).collect().await;
        let mut stored = Vec::new();
        for (each, look_at) in tries.into_iter().zip(looks) {
            let (old, new) = (each.hint.item_key(&self.scope), each.taken.item_key(&self.scope));
            match look_at {
                Ok(Look::Taken(timer)) => {
                    deletes.push(old);
                    match timer {
                        Ok(timer) => stored.push(timer),
                        Err(error) => visited.due.damaged.push(error),
                    }
                }
                Ok(Look::Useless(parts)) => deletes.extend([old, new].into_iter().chain(parts)),
                Ok(Look::Early) => deletes.push(new),
                Ok(Look::Damaged(error)) => {
                    visited.due.damaged.push(error);
                    deletes.push(new);
                    self.push_away(each.item, look, &mut puts, &mut deletes);
                }
                // It is taken or not: both hints stay.
                Err(error) => visited.missed = Some(error),
            }
        }
        self.table.write_batch(puts, deletes).await?;
        let next = if is_more { None } else { Some(self.first_of(shard).await?) };
        if !shards::end(&self.table, &self.scope, visit, next).await? {
            shards::look_at(&self.table, &self.scope, [(row.shard, look)]).await?;
        }
        visited.due.next_in = match next {
            // What is early, or another host's, is not looked at all the time.
            Some(next) if next <= now.middle() && stored.is_empty() => Some(VISITED_WAIT),
            Some(next) => waits(next, now),
            None => Some(Duration::ZERO),
        };
        self.take_messages(stored, &mut visited).await;
        Ok(visited)
    }

    /// Takes a timer, if its hint is right.
    async fn look(&self, each: &Try, visit: &Visit, now: Bounds) -> Result<Look, LedgerError> {
        if !visit.may_take() {
            return Ok(Look::Early);
        }
        let (id, hint, fence) = (&each.hint.id, &each.hint, each.taken.fence);
        let item_key = self.scope.timer(id);
        let update =
            Update::default().only_if(FENCE, number(hint.fence.0)).set_all(Stored::taken(each.taken.look, fence));
        let refusal = match self.table.update(&item_key, update, ReturnValue::AllNew).await? {
            Written::Done(item) => return Ok(Look::Taken(Stored::read(id, &item.unwrap_or_default()))),
            Written::Refused(item) => item,
        };
        let found = match refusal {
            Some(item) => Some(item),
            None => self.table.get(&item_key, None).await?,
        };
        let is_old = after(hint.put_at, UNSET_KEPT) <= now.earliest();
        let parts = hint.parts.map(|parts| self.scope.part_keys(id, parts)).unwrap_or_default();
        let Some(item) = found else { return Ok(if is_old { Look::Useless(parts) } else { Look::Early }) };
        let stored = match Stored::read(id, &item) {
            Ok(stored) => stored,
            // Whether it is this hint's nobody can tell.
            Err(error) => return Ok(Look::Damaged(error)),
        };
        Ok(match stored.fence {
            // The answer was lost, and the SDK has tried again.
            current if current == fence => Look::Taken(Ok(stored)),
            // Its parts may be the timer's still.
            current if current > hint.fence || is_old => {
                Look::Useless(if stored.body.message_parts() == hint.parts { Vec::new() } else { parts })
            }
            _ => Look::Early,
        })
    }

    /// When to look into a shard, by its first hint.
    async fn first_of(&self, shard: Key) -> Result<UnixMs, LedgerError> {
        let range = Range { key: shard, from: None, to: None, limit: 1, is_consistent: true };
        let first = self.table.query(range).await?;
        let sort_key = first.first().and_then(|item| item.get(ITEM)).and_then(|item| item.as_s().ok());
        Ok(match sort_key {
            Some(item) => read_sort_key(item).map_or(UnixMs(0), |(look, _)| look),
            None => UnixMs(END_OF_TIME.0 + 1),
        })
    }

    /// Has a hint stand where a lease would end: what cannot be read is told once a lease.
    fn push_away(&self, mut item: Item, look: UnixMs, puts: &mut Vec<Item>, deletes: &mut Vec<ItemKey>) {
        let Some((old, partition)) = sort_key(&item) else { return };
        let tie = read_sort_key(&old).map_or_else(|| old.clone(), |(_, tie)| tie.to_owned());
        let new = format!("{} {tie}", from(look));
        if new == old {
            return;
        }
        item.insert(ITEM.into(), text(&new));
        puts.push(item);
        deletes.push(ItemKey { key: partition, item: old });
    }

    /// Reads the messages that are in items of their own.
    async fn take_messages(&self, stored: Vec<Stored>, visited: &mut Visited) {
        let reads: Vec<_> = stored.iter().map(|timer| self.message(timer)).collect();
        let messages: Vec<_> = futures::stream::iter(reads).buffered(CALLS_AT_ONCE).collect().await;
        for (timer, message) in stored.into_iter().zip(messages) {
            match message {
                Ok(message) => visited.due.taken.push(Taken {
                    id: timer.id,
                    fence: timer.fence,
                    due: timer.due,
                    queue: timer.queue,
                    message,
                }),
                Err(error @ LedgerError::Damaged(_)) => visited.due.damaged.push(damaged(&timer.id, &error)),
                Err(error) => visited.missed = Some(error),
            }
        }
    }
}

/// An item's two keys.
fn sort_key(item: &Item) -> Option<(String, Key)> {
    let key = item.get(KEY)?.as_b().ok()?.as_ref().try_into().ok()?;
    Some((item.get(ITEM)?.as_s().ok()?.clone(), Key(key)))
}
