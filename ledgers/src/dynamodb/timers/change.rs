//! Setting, changing and removing timers. Each is one conditional write of the timer's item, with
//! its hint before it, and what is of no use any more after it.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValue;
use wasq_core::clock;

use super::handle::{DynamodbTimers, each, fence_after};
use super::rows::{Body, Stored};
use super::shards;
use crate::dynamodb::item::{FENCE, Item, ItemKey, number};
use crate::dynamodb::table::Written;
use crate::dynamodb::time::Bounds;
use crate::dynamodb::update::Update as ItemChange;
use crate::ledger::{Fence, LedgerError};
use crate::timers::{Cancelled, NewTimer, Set, TimerId, Update};

/// How long hints surely last whose timers do not have their fence yet: half of what
/// `take::UNSET_KEPT` gives them. A host that was stopped for longer puts them again.
const HINTS_LAST: Duration = Duration::from_secs(30);

/// A timer as it was found, and as it is to be.
struct Change {
    before: Stored,
    after: Stored,
}

/// What became of setting a timer.
enum Wrote {
    New,
    /// The one that is there, unless it has gone meanwhile.
    Exists(Option<Stored>),
}

impl DynamodbTimers {
    pub(super) async fn stored(&self, id: &TimerId) -> Result<Option<Stored>, LedgerError> {
        let item = self.table.get(&self.scope.timer(id), None).await?;
        item.map(|item| Stored::read(id, &item)).transpose()
    }

    pub(super) async fn set_all(&self, timers: Vec<NewTimer>) -> Vec<Result<Set, LedgerError>> {
        let mut named = HashSet::new();
        let wanted: Vec<_> =
            timers.iter().map(|timer| timer.fits().map(|()| named.insert(&timer.id).then_some(timer))).collect();
        let firsts = wanted.iter().filter_map(|timer| timer.as_ref().ok().copied().flatten()).collect();
        let mut answers = match self.set_each(firsts).await {
            Ok(answers) => answers.into_iter(),
            Err(error) => return wanted.into_iter().map(|timer| timer.and(Err(error.clone()))).collect(),
        };
        let answer = |timer: Result<Option<&NewTimer>, LedgerError>| match timer? {
            Some(_) => answers.next().unwrap_or(Err(LedgerError::Stale)),
            None => Ok(Set::Exists),
        };
        wanted.into_iter().map(answer).collect()
    }

    /// Sets timers of different ids.
    async fn set_each(&self, timers: Vec<&NewTimer>) -> Result<Vec<Result<Set, LedgerError>>, LedgerError> {
        if timers.is_empty() {
            return Ok(Vec::new());
        }
        let (began, now) = (clock::now(), self.table.now()?);
        let fence = fence_after(Fence(0), now);
        let mut parts = Vec::new();
        let stored = |timer: &&NewTimer| {
            let (id, queue, message) = (timer.id.clone(), timer.queue.clone(), timer.message.clone());
            let (bytes, due) = (message.len(), timer.due.from(now.middle()));
            let (body, items) = Body::of(&self.scope, &id, &queue, message, fence);
            parts.extend(items);
            Stored { id, queue, due, look: due, is_taken: false, fence, bytes, body }
        };
        let new: Vec<Stored> = timers.iter().map(stored).collect();
        self.put_parts(parts).await?;
        self.put_hints(&new, now).await?;
        let wrote = each(new.iter().map(|timer| self.set_one(timer))).await;

        let is_late = began.elapsed() > HINTS_LAST;
        let (mut again, mut useless) = (Vec::new(), Vec::new());
        let mut answers = Vec::with_capacity(new.len());
        for (timer, wrote) in new.into_iter().zip(wrote) {
            answers.push(match wrote {
                Ok(Wrote::Exists(found)) => {
                    useless.extend(self.traces(&timer));
                    // Whoever has set it may have been stopped for long, and died.
                    again.extend(found);
                    Ok(Set::Exists)
                }
                // After an error it may be there, too.
                wrote => {
                    again.extend(is_late.then_some(timer));
                    wrote.map(|_| Set::New)
                }
            });
        }
        self.forget(useless).await;
        self.put_hints(&again, now).await?;
        Ok(answers)
    }

    async fn set_one(&self, timer: &Stored) -> Result<Wrote, LedgerError> {
        let refusal = match self.table.put_new(timer.to_item(&self.scope)).await? {
            Written::Done(_) => return Ok(Wrote::New),
            Written::Refused(item) => item,
        };
        let found = match refusal {
            Some(item) => Some(Stored::read(&timer.id, &item)?),
            None => self.stored(&timer.id).await?,
        };
        Ok(match found {
            // The answer was lost, and the SDK has tried again.
            Some(found) if found.fence == timer.fence => Wrote::New,
            found => Wrote::Exists(found),
        })
    }

    /// Puts the hints of timers that are going to be so, and has their shards looked into in time.
    async fn put_hints(&self, timers: &[Stored], now: Bounds) -> Result<(), LedgerError> {
        if timers.is_empty() {
            return Ok(());
        }
        let hints = timers.iter().map(|timer| timer.hint(now.earliest()).to_item(&self.scope));
        self.table.write_batch(hints.collect(), Vec::new()).await?;
        let looks: Vec<_> = timers.iter().map(|timer| (self.scope.shard_of(&timer.id), timer.look)).collect();
        shards::look_at(&self.table, &self.scope, looks).await
    }

    async fn put_parts(&self, parts: Vec<Item>) -> Result<(), LedgerError> {
        each(parts.into_iter().map(|part| self.table.put(part))).await.into_iter().collect()
    }

    /// Removes what is of no use any more. What stays because of an error goes with its hint, when
    /// the hint's time comes.
    async fn forget(&self, useless: Vec<ItemKey>) {
        if let Err(error) = self.table.write_batch(Vec::new(), useless).await {
            tracing::debug!(%error, "traces of timers stay in the table for now");
        }
    }

    pub(super) async fn update_all(&self, updates: Vec<Update>) -> Vec<Result<bool, LedgerError>> {
        let began = clock::now();
        let prepared = each(updates.iter().map(|update| self.prepare(update))).await;
        let all: Vec<Stored> =
            prepared.iter().filter_map(|prepared| Some(prepared.as_ref().ok()?.as_ref()?.after.clone())).collect();
        let put = match self.table.now() {
            Ok(now) => self.put_hints(&all, now).await,
            Err(error) => Err(error),
        };
        let changed = each(prepared.iter().map(|prepared| async {
            match prepared {
                Ok(Some(change)) => match &put {
                    Ok(()) => self.change(change).await,
                    Err(error) => Err(error.clone()),
                },
                Ok(None) => Ok(false),
                Err(error) => Err(error.clone()),
            }
        }))
        .await;
        let mut useless = Vec::new();
        for (prepared, changed) in prepared.iter().zip(&changed) {
            let Ok(Some(Change { before, after })) = prepared else { continue };
            let (left, kept) = match changed {
                Ok(true) => (before, after),
                Ok(false) | Err(LedgerError::Stale) => (after, before),
                // It is one or the other.
                Err(_) => continue,
            };
            let kept: Vec<_> = self.traces(kept).collect();
            useless.extend(self.traces(left).filter(|trace| !kept.contains(trace)));
        }
        self.forget(useless).await;
        if began.elapsed() > HINTS_LAST
            && let Ok(now) = self.table.now()
            && let Err(error) = self.put_hints(&all, now).await
        {
            return changed.into_iter().map(|answer| answer.and(Err(error.clone()))).collect();
        }
        changed
    }

    /// What a timer is to be, with its message where it shall be. None if there is none.
    async fn prepare(&self, update: &Update) -> Result<Option<Change>, LedgerError> {
        update.fits()?;
        let Some(before) = self.stored(&update.id).await? else { return Ok(None) };
        if before.fence != update.fence {
            return Err(LedgerError::Stale);
        }
        let now = self.table.now()?;
        let (due, fence) = (update.due.from(now.middle()), fence_after(before.fence, now));
        let mut after = Stored { due, look: due, is_taken: false, fence, ..before.clone() };
        if let Some(message) = &update.message {
            let (body, parts) = Body::of(&self.scope, &after.id, &after.queue, message.clone(), fence);
            (after.bytes, after.body) = (message.len(), body);
            self.put_parts(parts).await?;
        }
        Ok(Some(Change { before, after }))
    }

    async fn change(&self, Change { before, after }: &Change) -> Result<bool, LedgerError> {
        let mut change = ItemChange::default().only_if(FENCE, number(before.fence.0));
        for (name, value) in after.attributes() {
            change = match value {
                Some(value) => change.set(name, value),
                None => change.remove(name),
            };
        }
        match self.table.update(&self.scope.timer(&after.id), change, ReturnValue::None).await? {
            Written::Done(_) => Ok(true),
            Written::Refused(_) => match self.stored(&after.id).await? {
                None => Ok(false),
                // The answer was lost, and the SDK has tried again.
                Some(found) if found.fence == after.fence => Ok(true),
                Some(_) => Err(LedgerError::Stale),
            },
        }
    }

    pub(super) async fn remove_all(&self, timers: &[(TimerId, Fence)]) -> Vec<Result<bool, LedgerError>> {
        let removed = each(timers.iter().map(|(id, fence)| async move {
            let refusal = match self.table.delete(&self.scope.timer(id), Some(*fence)).await? {
                Written::Done(item) => return Ok(item.map(|item| Stored::read(id, &item))),
                Written::Refused(item) => item,
            };
            match refusal.is_some() || self.table.get(&self.scope.timer(id), None).await?.is_some() {
                true => Err(LedgerError::Stale),
                false => Ok(None),
            }
        }))
        .await;
        let readable = removed.iter().filter_map(|answer| answer.as_ref().ok()?.as_ref()?.as_ref().ok());
        self.forget(readable.flat_map(|timer| self.traces(timer)).collect()).await;
        removed.into_iter().map(|answer| answer.map(|timer| timer.is_some())).collect()
    }

    pub(super) async fn cancel_all(&self, ids: &[TimerId]) -> Vec<Result<Cancelled, LedgerError>> {
        let removed = each(ids.iter().map(|id| async move {
            match self.table.delete(&self.scope.timer(id), None).await? {
                Written::Done(item) | Written::Refused(item) => Ok(item.map(|item| Stored::read(id, &item))),
            }
        }))
        .await;
        let readable = removed.iter().filter_map(|answer| answer.as_ref().ok()?.as_ref()?.as_ref().ok());
        self.forget(readable.flat_map(|timer| self.traces(timer)).collect()).await;
        let cancelled = |timer: Option<Result<Stored, LedgerError>>| match timer {
            None => Ok(Cancelled::Gone),
            Some(Ok(timer)) if timer.is_taken && timer.look > self.table.now()?.earliest() => Ok(Cancelled::Taken),
            Some(_) => Ok(Cancelled::Waiting),
        };
        removed.into_iter().map(|answer: Result<_, LedgerError>| answer.and_then(cancelled)).collect()
    }
}
