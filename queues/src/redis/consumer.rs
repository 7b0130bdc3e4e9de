//! Who has an entry, and for how long: the names of consumers, and receipts.
//!
//! A consumer's name says the visibility that its entries were taken for. So a host that takes them
//! over keeps to what their holder counts on, whatever its own visibility is: hosts before and
//! after a change of the config, and commands that look into a DLQ, leave each other alone.

use std::time::Duration;

use wasq_core::message::Receipt;

use crate::broker::VISIBILITY_MAX;

/// What the names of our consumers begin with. The scripts know it, too.
const PREFIX: &str = "wasq-";

/// A consumer of the group: one for each open queue and visibility.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Consumer {
    name: String,
    visibility_ms: u64,
}

impl Consumer {
    /// `id` is the open queue's own.
    pub fn new(id: &uuid::Uuid, visibility: Duration) -> Self {
        let visibility_ms = u64::try_from(visibility.as_millis()).unwrap_or(u64::MAX);
        Self { name: format!("{PREFIX}{id}-{visibility_ms}ms"), visibility_ms }
    }

    /// Whoever has what was hidden: nobody's receipt is good for it, and it is due as the holder
    /// has said. All hosts share it.
    pub fn hidden(&self) -> Self {
        let visibility_ms = self.visibility_ms;
        Self { name: format!("{PREFIX}hidden-{visibility_ms}ms"), visibility_ms }
    }

    /// Whoever has what waits at its place in a stream whose messages come in their order: for up
    /// to [`VISIBILITY_MAX`], whatever the visibility of who had it.
    pub fn waiting() -> Self {
        let visibility_ms = VISIBILITY_MAX.as_millis() as u64;
        Self { name: format!("{PREFIX}hidden-{visibility_ms}ms"), visibility_ms }
    }

    fn parse(name: &str) -> Option<Self> {
        let (_, visibility) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
        let visibility_ms = visibility.strip_suffix("ms")?.parse().ok()?;
        Some(Self { name: name.to_owned(), visibility_ms })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn visibility_ms(&self) -> u64 {
        self.visibility_ms
    }
}

/// What a receipt says: an entry, who has it, and which of its deliveries it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRef {
    pub id: String,
    pub consumer: Consumer,
    pub deliveries: u32,
}

impl EntryRef {
    pub fn receipt(&self) -> Receipt {
        Receipt(format!("{}:{}:{}", self.id, self.deliveries, self.consumer.name))
    }

    pub fn read(receipt: &Receipt) -> Option<Self> {
        let mut fields = receipt.0.splitn(3, ':');
        let (id, deliveries, consumer) = (fields.next()?, fields.next()?, fields.next()?);
        let (ms, sequence) = id.split_once('-')?;
        let is_id = [ms, sequence].iter().all(|number| number.parse::<u64>().is_ok());
        let consumer = Consumer::parse(consumer)?;
        is_id.then_some(Self { id: id.to_owned(), consumer, deliveries: deliveries.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_names_its_entry_its_consumer_and_its_delivery() {
        let consumer = Consumer::new(&uuid::Uuid::new_v4(), Duration::from_secs(60));
        assert!(consumer.name().starts_with("wasq-") && consumer.name().ends_with("-60000ms"), "{consumer:?}");
        let entry = EntryRef { id: "1700000000000-3".into(), consumer, deliveries: 2 };
        assert_eq!(EntryRef::read(&entry.receipt()), Some(entry));
        let bad =
            ["", "7", "1-1", "1-1:2", "1-1:2:worker", "1-1:x:wasq-a-1ms", "1:2:wasq-a-1ms", "1-1:2:wasq-a-1s", "AQE"];
        for receipt in bad {
            assert_eq!(EntryRef::read(&Receipt(receipt.into())), None, "{receipt}");
        }
    }
}
