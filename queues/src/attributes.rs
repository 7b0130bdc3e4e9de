//! What the flow needs of a queue's attributes. The host reads them when it starts, and the sampler
//! with every sample, so that a change in SQS is known within `telemetry.sample_interval`. Where
//! SQS does not tell them, nothing is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A queue's attributes, by SQS's names.
pub type QueueAttributes = HashMap<String, String>;

/// How long a queue keeps a message that nobody deletes: `MessageRetentionPeriod`, 60 s to 14 days.
#[derive(Debug, Default)]
pub struct Retention {
    /// 0 while it is not known.
    seconds: AtomicU64,
}

impl Retention {
    /// Takes what the attributes say. Without a word on it, what was known holds.
    pub fn update(&self, attributes: &QueueAttributes) {
        update(&self.seconds, attributes, "MessageRetentionPeriod");
    }

    pub fn get(&self) -> Option<Duration> {
        known(&self.seconds).map(Duration::from_secs)
    }
}

/// The largest message that a queue takes, with its attributes: `MaximumMessageSize`, 1 KiB to 1
/// MiB.
///
/// Clones share what is known.
#[derive(Clone, Debug, Default)]
pub struct MaximumMessageSize {
    /// 0 while it is not known.
    bytes: Arc<AtomicU64>,
}

impl MaximumMessageSize {
    /// Takes what another one knows, if it knows anything.
    pub fn learn_from(&self, other: &Self) {
        if let Some(bytes) = known(&other.bytes) {
            self.bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// Takes what the attributes say. Without a word on it, what was known holds.
    pub fn update(&self, attributes: &QueueAttributes) {
        update(&self.bytes, attributes, "MaximumMessageSize");
    }

    pub fn get(&self) -> Option<usize> {
        known(&self.bytes).map(|bytes| bytes as usize)
    }
}

fn update(value: &AtomicU64, attributes: &QueueAttributes, name: &str) {
    if let Some(said) = attributes.get(name).and_then(|text| text.parse().ok()) {
        value.store(said, Ordering::Relaxed);
    }
}

fn known(value: &AtomicU64) -> Option<u64> {
    Some(value.load(Ordering::Relaxed)).filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqs_said_of_a_queue_holds_until_it_says_something_else() {
        let said = |name: &str, value: &str| QueueAttributes::from([(name.to_owned(), value.to_owned())]);
        let (retention, size) = (Retention::default(), MaximumMessageSize::default());
        assert_eq!((retention.get(), size.get()), (None, None));
        retention.update(&said("MessageRetentionPeriod", "345600"));
        size.update(&said("MaximumMessageSize", "262144"));
        retention.update(&QueueAttributes::new());
        size.update(&said("MaximumMessageSize", "many"));
        assert_eq!((retention.get(), size.get()), (Some(Duration::from_secs(345_600)), Some(262_144)));
        retention.update(&said("MessageRetentionPeriod", "60"));
        assert_eq!(retention.get(), Some(Duration::from_secs(60)));
    }
}
