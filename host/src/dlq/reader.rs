//! Reading a DLQ through, and leaving it as it was.
//!
//! SQS has no way to look at a message but to receive it, which hides it from others. What a reader receives it holds,
//! hidden, until it is deleted or put back; so the next receive brings others, and an empty queue has been read through.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::stream::{StreamExt, iter};

use tokio::time::Instant;

use super::Envelopes;
use super::found::Found;
use crate::clock;
use crate::message::{Delivery, MessageId, Receipt, UnixMs};
use crate::queue::sqs::SqsQueue;
use crate::queue::{BATCH_MAX_ENTRIES, Queue, QueueError, VISIBILITY_MAX};

/// Letters that a reader holds hidden at most. SQS allows 120,000 in flight, others' among them (SQS quotas).
pub const HELD_MAX: usize = 100_000;
/// How long a letter in hand is hidden at least.
pub const HIDE_MIN: Duration = Duration::from_secs(60);
/// Letters a second that even a slow line reads: a long queue's are hidden for longer, until all of it is read.
const READ_PER_S: u64 = 100;
/// Empty answers in a row after which the queue counts as read. SQS may answer empty although there is something.
const EMPTY_MAX: u32 = 3;
/// The same, while the queue's count says that there is something.
const EMPTY_DOUBTED_MAX: u32 = 8;
/// Letters in a row that failed after the reader was opened, after which the queue counts as read: what was there before
/// lies before them, and a queue into which letters pour has no other end.
const NEWCOMERS_MAX: usize = 1_000;
/// The long poll after an empty answer: unlike a short one it asks all of SQS's servers.
const EMPTY_WAIT: Duration = Duration::from_secs(1);
/// How often a receive or a delete is tried, and the wait after the first failure; it doubles.
const TRIES: u32 = 4;
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Calls under way at once when letters are put back.
const CALLS: usize = 8;

/// Reads each letter of a DLQ once. Whoever opens one calls [`Reader::put_back`], whatever happened in between.
pub struct Reader<'a> {
    dlq: &'a SqsQueue,
    envelopes: &'a dyn Envelopes,
    hide: Duration,
    /// Messages in the DLQ when it was opened, hidden ones among them.
    total_at_open: u64,
    seen: HashSet<MessageId>,
    held: HashMap<MessageId, Held>,
    /// When to look which of them must be hidden for longer.
    renew_at: Instant,
    opened_at: UnixMs,
    /// Letters in a row that were seen before: their hiding ran out before all was read.
    repeats: usize,
    /// Letters in a row that failed since it was opened.
    newcomers: usize,
    deleted: u64,
}

/// A letter in hand.
#[derive(Clone)]
struct Held {
    receipt: Receipt,
    received_at: Instant,
    hidden_until: Instant,
}

/// What a reader could not see, in words for its user.
pub type Notes = Vec<String>;

impl<'a> Reader<'a> {
    /// A reader that hides what it has in hand for `hide`; by default for [`HIDE_MIN`], and longer on a long queue.
    pub async fn open(
        dlq: &'a SqsQueue,
        envelopes: &'a dyn Envelopes,
        hide: Option<Duration>,
    ) -> Result<Self, QueueError> {
        let total_at_open = Counts::of(dlq).await?.total();
        let long = HIDE_MIN + Duration::from_secs(total_at_open / READ_PER_S);
        let hide = hide.unwrap_or(long).clamp(Duration::from_secs(1), VISIBILITY_MAX);
        let (seen, held) = (HashSet::new(), HashMap::new());
        let renew_at = clock::now() + hide / 2;
        Ok(Self {
            dlq,
            envelopes,
            hide,
            total_at_open,
            seen,
            held,
            renew_at,
            opened_at: clock::unix_ms(),
            repeats: 0,
            newcomers: 0,
            deleted: 0,
        })
    }

    /// The next letters, at most `max` and at most ten, hidden and held. None when the queue has been read through, or
    /// [`HELD_MAX`] are held.
    pub async fn next(&mut self, max: usize) -> Result<Option<Vec<Found>>, QueueError> {
        let mut empty = 0;
        while !self.has_enough() {
            self.renew().await;
            let wait = if empty == 0 || self.dlq.is_exact() { Duration::ZERO } else { EMPTY_WAIT };
            let deliveries = self.receive(max, wait).await?;
            if deliveries.is_empty() {
                empty += 1;
                if empty == EMPTY_MAX && !self.is_doubtful().await? || empty == EMPTY_DOUBTED_MAX {
                    return Ok(None);
                }
                continue;
            }
            let mut found = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                let (receipt, received_at) = (delivery.receipt.clone(), delivery.received_at);
                let held = Held { receipt, received_at, hidden_until: received_at + self.hide };
                self.held.insert(delivery.message_id.clone(), held);
                if self.seen.insert(delivery.message_id.clone()) {
                    found.push(Found::read(delivery, self.envelopes).await);
                } else {
                    self.repeats += 1;
                }
            }
            if !found.is_empty() {
                self.repeats = 0;
                let old = found.iter().rposition(|found| found.failed_at() <= self.opened_at);
                self.newcomers = old.map_or(self.newcomers + found.len(), |old| found.len() - 1 - old);
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whether to end although there may be more: it holds too many, has gone round, or meets only what came since.
    fn has_enough(&self) -> bool {
        self.held.len() >= HELD_MAX
            || self.repeats > self.held.len() + BATCH_MAX_ENTRIES
            || self.newcomers >= NEWCOMERS_MAX
    }

    /// Reads on to the end. What `keep` does not want is put back, to be read again.
    pub async fn scan(&mut self, mut keep: impl FnMut(&Found) -> bool) -> Result<(), QueueError> {
        let mut unread = Vec::new();
        let read = loop {
            match self.next(BATCH_MAX_ENTRIES).await {
                Ok(Some(batch)) => unread.extend(batch.iter().filter(|found| !keep(found)).map(|f| f.id().clone())),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let receipts: Vec<_> = unread.iter().filter_map(|id| Some(self.held.remove(id)?.receipt)).collect();
        for id in &unread {
            self.seen.remove(id);
        }
        // What stays hidden is read later, when it shows again.
        hide_for(self.dlq, receipts, 0).await;
        read
    }

    /// Deletes letters that are held. The answer names those that could not be, and why.
    pub async fn delete(&mut self, ids: &[MessageId]) -> Vec<(MessageId, QueueError)> {
        let mut left: Vec<(MessageId, QueueError)> = Vec::new();
        for batch in ids.chunks(BATCH_MAX_ENTRIES) {
            let held = batch.iter().filter_map(|id| Some((id.clone(), self.held.get(id)?.receipt.clone())));
            let mut batch: Vec<(MessageId, Receipt)> = held.collect();
            let mut wait = TRY_AGAIN;
            for attempt in 1..=TRIES {
                let receipts: Vec<_> = batch.iter().map(|(_, receipt)| receipt.clone()).collect();
                let answers = self.dlq.delete(&receipts).await;
                let mut failed = Vec::new();
                for ((id, receipt), answer) in batch.into_iter().zip(answers) {
                    match answer {
                        Ok(()) => {
                            self.held.remove(&id);
                            self.deleted += 1;
                        }
                        Err(QueueError::Transient { .. }) if attempt < TRIES => failed.push((id, receipt)),
                        Err(error) => left.push((id, error)),
                    }
                }
                if failed.is_empty() {
                    break;
                }
                batch = failed;
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
        left
    }

    /// Hides what is held for longer, when half of its time is over, up to SQS's 12 hours. To be called while nothing is
    /// read. What shows again all the same is met again, and known.
    pub async fn renew(&mut self) {
        let now = clock::now();
        if now < self.renew_at {
            return;
        }
        self.renew_at = now + self.hide / 4;
        let (hide, mut receipts) = (self.hide, Vec::new());
        for held in self.held.values_mut() {
            let room = (held.received_at + VISIBILITY_MAX).saturating_duration_since(now);
            if held.hidden_until < now + hide / 2 && room > hide {
                held.hidden_until = now + hide;
                receipts.push(held.receipt.clone());
            }
        }
        for error in hide_for(self.dlq, receipts, hide.as_secs() as u32).await {
            tracing::warn!(%error, "a letter in hand cannot be hidden for longer");
        }
    }

    /// Shows all that is held to others again. The answer says what stays hidden.
    pub async fn put_back(&mut self) -> Notes {
        let receipts: Vec<_> = self.held.drain().map(|(_, held)| held.receipt).collect();
        let hide = humantime_serde::re::humantime::format_duration(self.hide);
        let errors = hide_for(self.dlq, receipts, 0).await;
        let note = |error: &QueueError| format!("{} letters stay hidden for up to {hide}: {error}", errors.len());
        errors.first().map(note).into_iter().collect()
    }

    /// What this reader did not see although it read to the end. To be asked before all is put back.
    pub async fn unseen(&self) -> Result<Notes, QueueError> {
        let counts = Counts::of(self.dlq).await?;
        let name = self.dlq.name();
        let mut notes = Vec::new();
        if self.held.len() >= HELD_MAX {
            notes.push(format!(
                "stopped after {HELD_MAX} letters, as many as may be hidden at once; the rest of {name} was not looked at. \
                 Replay or discard some, and look again"
            ));
        } else if self.dlq.is_fifo() && counts.visible > 0 && !self.held.is_empty() {
            notes.push(format!(
                "{} more letters stand behind these in their groups: SQS shows none of a group but its first ten while \
                 these are in hand. They come when those before them are replayed or discarded",
                counts.visible
            ));
        }
        let elsewhere = counts.hidden.saturating_sub(self.held.len() as u64);
        if elsewhere > 0 {
            notes.push(format!(
                "{elsewhere} letters of {name} are hidden at the moment: another command has them in hand, or one was \
                 killed, and they show again when their visibility ends (by default {} s)",
                HIDE_MIN.as_secs()
            ));
        }
        Ok(notes)
    }

    /// Letters in hand.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Letters that came into the DLQ since it was opened, by its counts.
    pub async fn newcomers(&self) -> Result<u64, QueueError> {
        let total = Counts::of(self.dlq).await?.total();
        Ok(total.saturating_sub(self.total_at_open.saturating_sub(self.deleted)))
    }

    /// Messages in the DLQ when it was opened.
    pub fn total_at_open(&self) -> u64 {
        self.total_at_open
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let mut pause = TRY_AGAIN;
        for _ in 1..TRIES {
            match self.dlq.receive(max, wait, self.hide).await {
                Err(QueueError::Transient { code, message }) => {
                    tracing::warn!(code, message, "cannot read the DLQ; trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
        self.dlq.receive(max, wait, self.hide).await
    }

    /// Whether an empty answer contradicts the queue's count. In a FIFO queue letters behind one in hand count, and are
    /// not to be had.
    async fn is_doubtful(&self) -> Result<bool, QueueError> {
        Ok(!self.dlq.is_fifo() && Counts::of(self.dlq).await?.visible > 0)
    }
}

/// How many messages a queue has, as SQS counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub visible: u64,
    pub hidden: u64,
    pub delayed: u64,
}

impl Counts {
    pub async fn of(queue: &dyn Queue) -> Result<Self, QueueError> {
        let attributes = queue.attributes().await?;
        let number = |name: &str| attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or_default();
        Ok(Self {
            visible: number("ApproximateNumberOfMessages"),
            hidden: number("ApproximateNumberOfMessagesNotVisible"),
            delayed: number("ApproximateNumberOfMessagesDelayed"),
        })
    }

    pub fn total(self) -> u64 {
        self.visible + self.hidden + self.delayed
    }
}

/// Hides letters for so many seconds from now; 0 shows them. Gives the errors of those that are as they were. A letter whose
/// receipt has run out shows already.
async fn hide_for(dlq: &SqsQueue, receipts: Vec<Receipt>, visibility_s: u32) -> Vec<QueueError> {
    let mut pause = TRY_AGAIN;
    let mut left = receipts;
    let mut errors = Vec::new();
    for attempt in 1..=TRIES {
        let batches = left.chunks(BATCH_MAX_ENTRIES).map(|batch| async move {
            let changes: Vec<_> = batch.iter().map(|receipt| (receipt.clone(), visibility_s)).collect();
            let answers = dlq.change_visibility(&changes).await;
            batch.iter().cloned().zip(answers).collect::<Vec<_>>()
        });
        let answers: Vec<_> = iter(batches).buffer_unordered(CALLS).concat().await;
        let mut failed = Vec::new();
        for (receipt, answer) in answers {
            match answer {
                Ok(()) | Err(QueueError::LeaseLost { .. }) => {}
                Err(QueueError::Transient { .. }) if attempt < TRIES => failed.push(receipt),
                Err(error) => errors.push(error),
            }
        }
        if failed.is_empty() {
            break;
        }
        left = failed;
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    errors
}
