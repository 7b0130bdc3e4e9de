//! One partition while it is ours: the messages that were read from it and are not done.
//!
//! Kafka knows one number of a partition: how far the group has come. Whoever reads it next begins
//! there. So the number may grow only as far as everything before it is done; what is done beyond
//! the first message that is not, the host's ledger knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::config::KafkaOrder;
use super::record::Record;

/// There is no such lease: its message is done, is another's now, or was handed out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// One partition, from its assignment to its end.
pub struct Partition {
    /// Which assignment it is. No two of a process have the same.
    pub epoch: u64,
    order: KafkaOrder,
    /// What is not done, by offsets.
    open: BTreeMap<i64, Entry>,
    /// The offset that was read last.
    last: Option<i64>,
    /// How far the group has come, as it was said last.
    pub said: Option<i64>,
    /// The offsets of each key that are not done. Only with [`KafkaOrder::Key`].
    of_keys: HashMap<Bytes, BTreeSet<i64>>,
    /// What can be handed out now.
    ready: BTreeSet<i64>,
}

struct Entry {
    record: Arc<Record>,
    state: EntryState,
    /// How often it was handed out.
    deliveries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryState {
    Waiting,
    /// Somebody works on it until then, or longer if it is renewed.
    Leased(Instant),
    /// The host has let go of it, and wants it again then.
    Hidden(Instant),
}

impl Partition {
    pub fn new(epoch: u64, order: KafkaOrder) -> Self {
        Self {
            epoch,
            order,
            open: BTreeMap::new(),
            last: None,
            said: None,
            of_keys: HashMap::new(),
            ready: BTreeSet::new(),
        }
    }

    /// A message was read. False where it is here already.
    pub fn read(&mut self, offset: i64, record: Record) -> bool {
        if self.open.contains_key(&offset) {
            return false;
        }
        // The group has come as far as where it begins.
        self.said.get_or_insert(offset);
        self.last = Some(offset);
        if let Some(key) = self.line_of(&record) {
            self.of_keys.entry(key).or_default().insert(offset);
        }
        self.open.insert(offset, Entry { record: Arc::new(record), state: EntryState::Waiting, deliveries: 0 });
        self.show_if_first(offset);
        true
    }

    /// Hands out the first message that can be: its offset, how often it was handed out with this
    /// time, and itself.
    pub fn hand_out(&mut self, ends_at: Instant) -> Option<(i64, u32, Arc<Record>)> {
        let offset = self.ready.pop_first()?;
        let entry = self.open.get_mut(&offset).expect("what is ready is open");
        entry.state = EntryState::Leased(ends_at);
        entry.deliveries = entry.deliveries.saturating_add(1);
        Some((offset, entry.deliveries, entry.record.clone()))
    }

    /// A message is done. The answer is when its lease would have ended, and its size.
    pub fn settle(&mut self, offset: i64, delivery: u32) -> Result<(Instant, usize), Gone> {
        let (ends_at, _) = self.lease(offset, delivery)?;
        let entry = self.open.remove(&offset).expect("it has a lease");
        if let Some(key) = self.line_of(&entry.record)
            && let Some(line) = self.of_keys.get_mut(&key)
        {
            line.remove(&offset);
            match line.first().copied() {
                Some(next) => self.show_if_first(next),
                None => drop(self.of_keys.remove(&key)),
            }
        }
        Ok((ends_at, entry.record.bytes))
    }

    /// Its lease ends then. The answer is when it would have ended.
    pub fn renew(&mut self, offset: i64, delivery: u32, ends_at: Instant) -> Result<Instant, Gone> {
        match self.lease(offset, delivery)? {
            (before, state @ EntryState::Leased(_)) => {
                *state = EntryState::Leased(ends_at);
                Ok(before)
            }
            (_, EntryState::Hidden(_) | EntryState::Waiting) => Err(Gone),
        }
    }

    /// The host lets go of it until then. The answer is when its lease would have ended.
    pub fn hide(&mut self, offset: i64, delivery: u32, until: Instant) -> Result<Instant, Gone> {
        let (before, state) = self.lease(offset, delivery)?;
        *state = EntryState::Hidden(until);
        Ok(before)
    }

    /// Its time is over: it can be handed out again.
    pub fn show(&mut self, offset: i64) {
        if let Some(entry) = self.open.get_mut(&offset) {
            entry.state = EntryState::Waiting;
            self.show_if_first(offset);
        }
    }

    /// The lease of a delivery.
    fn lease(&mut self, offset: i64, delivery: u32) -> Result<(Instant, &mut EntryState), Gone> {
        let entry = self.open.get_mut(&offset).filter(|entry| entry.deliveries == delivery).ok_or(Gone)?;
        match entry.state {
            EntryState::Leased(at) | EntryState::Hidden(at) => Ok((at, &mut entry.state)),
            EntryState::Waiting => Err(Gone),
        }
    }

    /// How far the group has come: what is to be read first if another reads on here.
    pub fn position(&self) -> Option<i64> {
        let first = self.open.first_key_value().map(|(offset, _)| *offset);
        first.or_else(|| Some(self.last? + 1))
    }

    /// Messages before this one that are not done.
    pub fn open_before(&self, offset: i64) -> usize {
        self.open.range(..offset).count()
    }

    /// From the first message that is not done to the last that was read.
    pub fn gap(&self) -> u64 {
        match (self.open.first_key_value(), self.last) {
            (Some((first, _)), Some(last)) => u64::try_from(last - first + 1).unwrap_or(0),
            (None, _) | (_, None) => 0,
        }
    }

    /// The last offset that was read.
    pub fn last(&self) -> Option<i64> {
        self.last
    }

    /// Messages that can be handed out now.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Messages that are not done.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// The bytes of these.
    pub fn bytes(&self) -> usize {
        self.open.values().map(|entry| entry.record.bytes).sum()
    }

    /// The key whose messages this one stands in line with.
    fn line_of(&self, record: &Record) -> Option<Bytes> {
        match self.order {
            KafkaOrder::Key => record.key.clone(),
            KafkaOrder::None => None,
        }
    }

    /// Makes a message ready, unless one of its key before it is not done.
    fn show_if_first(&mut self, offset: i64) {
        let Some(entry) = self.open.get(&offset) else { return };
        let line = self.line_of(&entry.record).and_then(|key| self.of_keys.get(&key));
        let is_first = line.is_none_or(|line| line.first() == Some(&offset));
        if is_first && entry.state == EntryState::Waiting {
            self.ready.insert(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasq_core::clock;

    use super::*;

    fn record(key: &str) -> Record {
        let key = (!key.is_empty()).then(|| Bytes::from(key.to_owned()));
        Record { key, bytes: 10, ..Record::default() }
    }

    fn with(order: KafkaOrder, keys: &[&str]) -> Partition {
        let mut partition = Partition::new(1, order);
        for (offset, key) in (100..).zip(keys) {
            assert!(partition.read(offset, record(key)));
        }
        partition
    }

    fn at(seconds: u64) -> Instant {
        clock::now() + Duration::from_secs(seconds)
    }

    fn all(partition: &mut Partition) -> Vec<i64> {
        std::iter::from_fn(|| partition.hand_out(at(60))).map(|(offset, ..)| offset).collect()
    }

    #[test]
    fn the_group_has_come_as_far_as_everything_is_done() {
        let mut partition = with(KafkaOrder::None, &["", "", "", ""]);
        assert_eq!((partition.position(), partition.said, partition.gap()), (Some(100), Some(100), 4));
        assert_eq!(all(&mut partition), [100, 101, 102, 103]);
        for (offset, position, gap) in [(101, 100, 4), (103, 100, 4), (100, 102, 2), (102, 104, 0)] {
            partition.settle(offset, 1).unwrap();
            assert_eq!((partition.position(), partition.gap()), (Some(position), gap), "{offset} is done");
        }
        assert_eq!(partition.settle(101, 1), Err(Gone), "once is enough");
        assert_eq!(Partition::new(1, KafkaOrder::None).position(), None, "nothing was read");
    }

    #[test]
    fn offsets_that_are_no_messages_leave_no_gap() {
        let mut partition = Partition::new(1, KafkaOrder::Key);
        for offset in [7, 9, 15] {
            partition.read(offset, record(""));
        }
        assert_eq!(all(&mut partition), [7, 9, 15]);
        partition.settle(7, 1).unwrap();
        assert_eq!(partition.position(), Some(9));
        partition.settle(9, 1).unwrap();
        partition.settle(15, 1).unwrap();
        assert_eq!(partition.position(), Some(16));
    }

    #[test]
    fn a_message_waits_for_those_of_its_key_before_it() {
        let mut partition = with(KafkaOrder::Key, &["a", "a", "b", "", "a", ""]);
        assert_eq!(all(&mut partition), [100, 102, 103, 105]);
        partition.hide(100, 1, at(5)).unwrap();
        assert_eq!(all(&mut partition), [0; 0], "one that is hidden keeps its place");
        partition.show(100);
        assert_eq!(all(&mut partition), [100]);
        partition.settle(100, 2).unwrap();
        assert_eq!(all(&mut partition), [101]);
        partition.settle(101, 1).unwrap();
        assert_eq!(all(&mut partition), [104]);
        assert_eq!(all(&mut with(KafkaOrder::None, &["a", "a"])), [100, 101]);
    }

    #[test]
    fn a_delivery_ends_with_the_next_one() {
        let mut partition = with(KafkaOrder::Key, &["a"]);
        let (offset, first, _) = partition.hand_out(at(1)).unwrap();
        partition.show(offset);
        assert_eq!(partition.renew(offset, first, at(2)), Err(Gone), "it is nobody's");
        let (_, second, _) = partition.hand_out(at(3)).unwrap();
        assert_eq!((first, second), (1, 2));
        assert_eq!(partition.settle(offset, first), Err(Gone), "it is another's");
        assert_eq!(partition.hide(offset, first, at(9)), Err(Gone));
        partition.hide(offset, second, at(9)).unwrap();
        assert_eq!(partition.renew(offset, second, at(10)), Err(Gone), "the host has let go of it");
        assert_eq!(partition.settle(offset, second).map(|(_, bytes)| bytes), Ok(10));
        assert_eq!((partition.open(), partition.bytes(), partition.position()), (0, 0, Some(101)));
    }

    #[test]
    fn what_is_read_twice_is_there_once() {
        let mut partition = with(KafkaOrder::Key, &["a", "b"]);
        assert!(!partition.read(100, record("a")));
        assert_eq!((partition.open(), partition.ready()), (2, 2));
    }

    #[test]
    fn a_log_that_was_cut_is_read_on_from_where_it_ends() {
        let mut partition = with(KafkaOrder::None, &["", "", ""]);
        for offset in all(&mut partition) {
            partition.settle(offset, 1).unwrap();
        }
        assert!(partition.read(101, record("")), "its offset is another message's now");
        assert_eq!(partition.position(), Some(101));
        partition.hand_out(at(1)).unwrap();
        partition.settle(101, 1).unwrap();
        assert_eq!(partition.position(), Some(102));
    }
}
