//! All partitions that are ours now, and when the leases of their messages end. It knows nothing of
//! Kafka's client: the intake says what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use wasq_core::message::Receipt;

use super::config::KafkaOrder;
use super::partition::{Gone, Partition};
use super::record::Record;

/// The bytes of messages that a queue has in memory and are not done. Over it nothing more is read
/// until some are.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Assignments of partitions in this process: the number of the newest.
static EPOCHS: AtomicU64 = AtomicU64::new(0);

/// What a receipt says: a message, and which of its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryRef {
    /// The assignment of its partition. No two of a process have the same.
    pub epoch: u64,
    pub partition: i32,
    pub offset: i64,
    pub delivery: u32,
}

impl DeliveryRef {
    pub fn receipt(self) -> Receipt {
        let Self { epoch, partition, offset, delivery } = self;
        Receipt(format!("{epoch}:{partition}:{offset}:{delivery}"))
    }

    pub fn read(receipt: &Receipt) -> Option<Self> {
        let mut numbers = receipt.0.split(':');
        let read = Self {
            epoch: numbers.next()?.parse().ok()?,
            partition: numbers.next()?.parse().ok()?,
            offset: numbers.next()?.parse().ok()?,
            delivery: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(read)
    }
}

/// The partitions that are ours.
pub struct Assignment {
    order: KafkaOrder,
    by_number: BTreeMap<i32, Partition>,
    /// When leases end, and when what is hidden is wanted again.
    due: BTreeSet<(Instant, i32, i64)>,
    /// The partition from which the next message is handed out, or the one after it.
    turn: i32,
    bytes: usize,
}

impl Assignment {
    pub fn new(order: KafkaOrder) -> Self {
        Self { order, by_number: BTreeMap::new(), due: BTreeSet::new(), turn: 0, bytes: 0 }
    }

    /// A partition is ours from here on.
    pub fn assign(&mut self, partition: i32) {
        self.revoke(partition);
        let epoch = EPOCHS.fetch_add(1, Ordering::Relaxed) + 1;
        self.by_number.insert(partition, Partition::new(epoch, self.order));
    }

    /// It is ours no longer: receipts of it are void. The answer is how far the group has come in
    /// it.
    pub fn revoke(&mut self, partition: i32) -> Option<i64> {
        let gone = self.by_number.remove(&partition)?;
        self.bytes -= gone.bytes();
        self.due.retain(|(_, number, _)| *number != partition);
        gone.position()
    }

    /// None is ours.
    pub fn revoke_all(&mut self) {
        self.by_number.clear();
        self.due.clear();
        self.bytes = 0;
    }

    /// A message was read. What comes from a partition that is not ours is dropped.
    pub fn read(&mut self, partition: i32, offset: i64, record: Record) {
        let bytes = record.bytes;
        if let Some(ours) = self.by_number.get_mut(&partition)
            && ours.read(offset, record)
        {
            self.bytes += bytes;
        }
    }

    /// Hands out messages, at most so many, of all partitions in turn.
    pub fn hand_out(&mut self, max: usize, ends_at: Instant) -> Vec<(DeliveryRef, Arc<Record>)> {
        let mut handed = Vec::new();
        while handed.len() < max {
            let after = self.by_number.range_mut(self.turn..).find(|(_, ours)| ours.ready() > 0);
            let next = match after {
                Some((number, _)) => Some(*number),
                None => self.by_number.iter().find(|(_, ours)| ours.ready() > 0).map(|(number, _)| *number),
            };
            let Some(partition) = next else { break };
            let ours = self.by_number.get_mut(&partition).expect("it was found");
            let (offset, delivery, record) = ours.hand_out(ends_at).expect("it has a message that is ready");
            let epoch = ours.epoch;
            self.due.insert((ends_at, partition, offset));
            self.turn = partition.wrapping_add(1).max(0);
            handed.push((DeliveryRef { epoch, partition, offset, delivery }, record));
        }
        handed
    }

    /// A message is done.
    pub fn settle(&mut self, handed: DeliveryRef) -> Result<(), Gone> {
        let (ends_at, bytes) = self.ours(handed)?.settle(handed.offset, handed.delivery)?;
        self.due.remove(&(ends_at, handed.partition, handed.offset));
        self.bytes -= bytes;
        Ok(())
    }

    /// Messages of its partition before it that are not done.
    pub fn open_before(&mut self, handed: DeliveryRef) -> Result<usize, Gone> {
        Ok(self.ours(handed)?.open_before(handed.offset))
    }

    /// Its lease ends then.
    pub fn renew(&mut self, handed: DeliveryRef, ends_at: Instant) -> Result<(), Gone> {
        let before = self.ours(handed)?.renew(handed.offset, handed.delivery, ends_at)?;
        self.move_due(handed, before, ends_at);
        Ok(())
    }

    /// The host lets go of it until then.
    pub fn hide(&mut self, handed: DeliveryRef, until: Instant) -> Result<(), Gone> {
        let before = self.ours(handed)?.hide(handed.offset, handed.delivery, until)?;
        self.move_due(handed, before, until);
        Ok(())
    }

    /// It can be handed out again.
    pub fn show(&mut self, handed: DeliveryRef, now: Instant) -> Result<(), Gone> {
        self.hide(handed, now)?;
        self.due.remove(&(now, handed.partition, handed.offset));
        self.ours(handed)?.show(handed.offset);
        Ok(())
    }

    /// Shows what has come to the end of its lease, or of its time.
    pub fn show_due(&mut self, now: Instant) {
        while let Some(&first) = self.due.first()
            && first.0 <= now
        {
            self.due.remove(&first);
            if let Some(ours) = self.by_number.get_mut(&first.1) {
                ours.show(first.2);
            }
        }
    }

    /// When the next one does.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// How far the group has come since it was asked last, and no other partition.
    pub fn take_progress(&mut self) -> Vec<(i32, i64)> {
        let mut progress = Vec::new();
        for (number, ours) in &mut self.by_number {
            if let Some(position) = ours.position()
                && ours.said != Some(position)
            {
                ours.said = Some(position);
                progress.push((*number, position));
            }
        }
        progress
    }

    /// Whether there is nothing more to be read for now.
    pub fn is_full(&self, prefetch: usize) -> bool {
        self.bytes >= BYTES_MAX || self.by_number.values().map(Partition::ready).sum::<usize>() >= prefetch
    }

    /// The partitions whose gap is as large as it may be.
    pub fn stretched(&self, max_gap: u32) -> BTreeSet<i32> {
        let all = self.by_number.iter();
        all.filter(|(_, ours)| ours.gap() >= u64::from(max_gap)).map(|(number, _)| *number).collect()
    }

    /// The partitions that are ours, each with its assignment and the last offset that was read.
    pub fn partitions(&self) -> impl Iterator<Item = (i32, u64, Option<i64>)> {
        self.by_number.iter().map(|(number, ours)| (*number, ours.epoch, ours.last()))
    }

    /// Messages that were handed out, or are hidden.
    pub fn in_hand(&self) -> usize {
        self.due.len()
    }

    /// Messages that were read and are not done, these included.
    pub fn open(&self) -> usize {
        self.by_number.values().map(Partition::open).sum()
    }

    fn ours(&mut self, handed: DeliveryRef) -> Result<&mut Partition, Gone> {
        self.by_number.get_mut(&handed.partition).filter(|ours| ours.epoch == handed.epoch).ok_or(Gone)
    }

    fn move_due(&mut self, handed: DeliveryRef, before: Instant, at: Instant) {
        self.due.remove(&(before, handed.partition, handed.offset));
        self.due.insert((at, handed.partition, handed.offset));
    }
}

#[cfg(test)]
mod tests;
