//! Reading a DLQ through, and leaving it as it was.
//!
//! SQS has no way to look at a message but to receive it, which hides it from others. What a reader
//! receives it holds, hidden, until it is deleted or put back; so the next receive brings others,
//! and an empty queue has been read through.

use std::collections::HashSet;
use std::time::Duration;

use wasq_core::clock;
use wasq_core::message::{Delivery, MessageId, UnixMs};
use wasq_queues::{BATCH_MAX_ENTRIES, Queue, QueueError};

use super::Envelopes;
use super::hidden_letters::{HiddenLetters, waits};
use super::letter_view::LetterView;

/// Letters that a reader holds hidden at most. SQS allows 120,000 in flight, others' among them
/// (SQS quotas).
pub const HIDDEN_MAX: usize = 100_000;
/// How long a letter in hand is hidden at least.
pub const HIDE_MIN: Duration = Duration::from_secs(60);
/// Letters a second that even a slow line reads: a long queue's are hidden for longer, until all of
/// it is read.
const READ_PER_S: u64 = 100;
/// Empty answers in a row after which the queue counts as read. SQS may answer empty although there
/// is something.
const EMPTY_MAX: u32 = 3;
/// The same, while the queue's count says that there is something.
const EMPTY_DOUBTED_MAX: u32 = 8;
/// Letters in a row that failed after the reader was opened, after which the queue counts as read:
/// what was there before lies before them, and a queue into which letters pour has no other end.
const NEWCOMERS_MAX: usize = 1_000;
/// The long poll after an empty answer: unlike a short one it asks all of SQS's servers.
const EMPTY_WAIT: Duration = Duration::from_secs(1);

/// Reads each letter of a DLQ once. Whoever opens one calls [`Reader::put_back`], whatever happened
/// in between.
pub struct Reader<'a> {
    dlq: &'a dyn Queue,
    envelopes: &'a dyn Envelopes,
    hidden: HiddenLetters<'a>,
    /// Messages in the DLQ when it was opened, hidden ones among them.
    total_at_open: u64,
    seen: HashSet<MessageId>,
    opened_at: UnixMs,
    /// Letters in a row that were seen before: their hiding ran out before all was read.
    repeats: usize,
    /// Letters in a row that failed since it was opened.
    newcomers: usize,
    deleted: u64,
}

/// What a reader could not see, in words for its user.
pub type Notes = Vec<String>;

impl<'a> Reader<'a> {
    /// A reader that hides what it has in hand for `hide`; by default for [`HIDE_MIN`], and longer
    /// on a long queue.
    pub async fn open(
        dlq: &'a dyn Queue,
        envelopes: &'a dyn Envelopes,
        hide: Option<Duration>,
    ) -> Result<Self, QueueError> {
        let total_at_open = QueueDepth::of(dlq).await?.total();
        let long = HIDE_MIN.max(Duration::from_secs(total_at_open / READ_PER_S));
        Ok(Self {
            dlq,
            envelopes,
            hidden: HiddenLetters::new(dlq, hide.unwrap_or(long)),
            total_at_open,
            seen: HashSet::new(),
            opened_at: clock::unix_ms(),
            repeats: 0,
            newcomers: 0,
            deleted: 0,
        })
    }

    /// The next letters, at most `max` and at most ten, hidden and held. None when the queue has
    /// been read through, or [`HIDDEN_MAX`] are held.
    pub async fn next(&mut self, max: usize) -> Result<Option<Vec<LetterView>>, QueueError> {
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
            let mut view = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                self.hidden.take(&delivery);
                if self.seen.insert(delivery.message_id.clone()) {
                    view.push(LetterView::read(delivery, self.envelopes).await);
                } else {
                    self.repeats += 1;
                }
            }
            if !view.is_empty() {
                self.repeats = 0;
                let old = view.iter().rposition(|view| view.failed_at() <= self.opened_at);
                self.newcomers = old.map_or(self.newcomers + view.len(), |old| view.len() - 1 - old);
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// Whether to end although there may be more: it holds too many, has gone round, or meets only
    /// what came since.
    fn has_enough(&self) -> bool {
        self.hidden.len() >= HIDDEN_MAX
            || self.repeats > self.hidden.len() + BATCH_MAX_ENTRIES
            || self.newcomers >= NEWCOMERS_MAX
    }

    /// Reads on to the end. What `keep` does not want is put back, to be read again.
    pub async fn scan(&mut self, mut keep: impl FnMut(&LetterView) -> bool) -> Result<(), QueueError> {
        let mut unread = Vec::new();
        let read = loop {
            match self.next(BATCH_MAX_ENTRIES).await {
                Ok(Some(batch)) => unread.extend(batch.iter().filter(|view| !keep(view)).map(|f| f.id().clone())),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        for id in &unread {
            self.seen.remove(id);
        }
        // What stays hidden is read later, when it shows again.
        for error in self.hidden.put_back(Some(&unread)).await {
            tracing::warn!(%error, "a letter stays hidden for a while");
        }
        read
    }

    /// Which of these could not be deleted if all of them were, and why. Nothing is deleted.
    pub fn refused_deletes(&self, ids: &[MessageId]) -> Vec<(MessageId, QueueError)> {
        self.hidden.refused_deletes(ids)
    }

    /// Deletes letters that are held. The answer names those that could not be, and why.
    pub async fn delete(&mut self, ids: &[MessageId]) -> Vec<(MessageId, QueueError)> {
        let left = self.hidden.delete(ids).await;
        self.deleted += (ids.len() - left.len()) as u64;
        left
    }

    /// Hides what is held for longer, when half of its time is over. To be called while nothing is
    /// read.
    pub async fn renew(&mut self) {
        self.hidden.renew().await;
    }

    /// Shows all that is held to others again. The answer says what stays hidden.
    pub async fn put_back(&mut self) -> Notes {
        let hide = humantime_serde::re::humantime::format_duration(self.hidden.hide());
        let errors = self.hidden.put_back(None).await;
        let note = |error: &QueueError| format!("{} letters stay hidden for up to {hide}: {error}", errors.len());
        errors.first().map(note).into_iter().collect()
    }

    /// What this reader did not see although it read to the end. To be asked before all is put
    /// back.
    pub async fn unseen(&self) -> Result<Notes, QueueError> {
        let counts = QueueDepth::of(self.dlq).await?;
        let name = self.dlq.name();
        let mut notes = Vec::new();
        if self.hidden.len() >= HIDDEN_MAX {
            notes.push(format!(
                "stopped after {HIDDEN_MAX} letters, as many as may be hidden at once; the rest of {name} was not looked at. \
                 Replay or discard some, and look again"
            ));
        } else if self.dlq.is_fifo() && counts.visible > 0 && self.hidden.len() > 0 {
            notes.push(format!(
                "{} more letters stand behind these in their groups: SQS shows none of a group but its first ten while \
                 these are in hand. They come when those before them are replayed or discarded",
                counts.visible
            ));
        }
        let elsewhere = counts.hidden.saturating_sub(self.hidden.len() as u64);
        if elsewhere > 0 {
            notes.push(format!(
                "{elsewhere} letters of {name} are hidden at the moment: another command has them in hand, or one was \
                 killed, and they show again when their visibility ends (by default {} s)",
                HIDE_MIN.as_secs()
            ));
        }
        Ok(notes)
    }

    /// Letters that this command hides from others now.
    pub fn hidden(&self) -> usize {
        self.hidden.len()
    }

    /// Letters that came into the DLQ since it was opened, by its counts.
    pub async fn newcomers(&self) -> Result<u64, QueueError> {
        let total = QueueDepth::of(self.dlq).await?.total();
        Ok(total.saturating_sub(self.total_at_open.saturating_sub(self.deleted)))
    }

    /// Messages in the DLQ when it was opened.
    pub fn total_at_open(&self) -> u64 {
        self.total_at_open
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        for pause in waits() {
            match self.dlq.receive(max, wait, self.hidden.hide()).await {
                Err(QueueError::Transient { code, message }) => {
                    tracing::warn!(code, message, "cannot read the DLQ; trying again");
                    tokio::time::sleep(pause).await;
                }
                answer => return answer,
            }
        }
        self.dlq.receive(max, wait, self.hidden.hide()).await
    }

    /// Whether an empty answer contradicts the queue's count. In a FIFO queue letters behind one in
    /// hand count, and are not to be had.
    async fn is_doubtful(&self) -> Result<bool, QueueError> {
        Ok(!self.dlq.is_fifo() && QueueDepth::of(self.dlq).await?.visible > 0)
    }
}

/// How many messages a queue has, as SQS counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    pub visible: u64,
    pub hidden: u64,
    pub delayed: u64,
}

impl QueueDepth {
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
