//! The messages that were handed out and are not settled, by their delivery tags.
//!
//! RabbitMQ gives a message to a channel for as long as the channel is open. So the host keeps the
//! time: a lease that nobody renews ends, and its message is to go back. A host that has lost a run,
//! or let go of a message for a while, leaves nothing behind.

use std::collections::HashMap;

use tokio::time::Instant;
use wasq_core::message::Receipt;

use super::nameless::Named;

/// What a receipt says: a channel, and a delivery on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryRef {
    /// The channel. No two channels of a process have the same.
    pub epoch: u64,
    pub tag: u64,
}

impl DeliveryRef {
    pub fn receipt(self) -> Receipt {
        Receipt(format!("{}:{}", self.epoch, self.tag))
    }

    pub fn read(receipt: &Receipt) -> Option<Self> {
        let (epoch, tag) = receipt.0.split_once(':')?;
        Some(Self { epoch: epoch.parse().ok()?, tag: tag.parse().ok()? })
    }
}

/// The leases of one channel.
#[derive(Default)]
pub struct Leases {
    by_tag: HashMap<u64, Lease>,
    /// The end of a lease for which somebody waits already.
    awaited: Option<Instant>,
}

struct Lease {
    ends_at: Instant,
    /// The host has let go of it: nobody renews it.
    is_hidden: bool,
    /// What it was called, where its producer gave it no id.
    named: Option<Named>,
}

/// There is no such lease: its message was settled, or has gone back.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

impl Leases {
    /// A message is handed out.
    pub fn insert(&mut self, tag: u64, ends_at: Instant, named: Option<Named>) {
        self.by_tag.insert(tag, Lease { ends_at, is_hidden: false, named });
    }

    /// Its lease ends later, or earlier, than it did.
    pub fn renew(&mut self, tag: u64, ends_at: Instant) -> Result<(), Gone> {
        match self.by_tag.get_mut(&tag) {
            Some(lease) if !lease.is_hidden => {
                lease.ends_at = ends_at;
                Ok(())
            }
            Some(_) | None => Err(Gone),
        }
    }

    /// The host lets go of it.
    pub fn hide(&mut self, tag: u64, ends_at: Instant) -> Result<(), Gone> {
        let lease = self.by_tag.get_mut(&tag).ok_or(Gone)?;
        (lease.ends_at, lease.is_hidden) = (ends_at, true);
        Ok(())
    }

    /// It is settled.
    pub fn remove(&mut self, tag: u64) -> Result<Option<Named>, Gone> {
        self.by_tag.remove(&tag).map(|lease| lease.named).ok_or(Gone)
    }

    /// Those that have ended. They are leases no more.
    pub fn take_ended(&mut self, now: Instant) -> Vec<(u64, Option<Named>)> {
        let ended = self.by_tag.extract_if(|_, lease| lease.ends_at <= now);
        ended.map(|(tag, lease)| (tag, lease.named)).collect()
    }

    /// All of them: their channel has ended.
    pub fn take_all(&mut self) -> impl Iterator<Item = Option<Named>> {
        std::mem::take(&mut self.by_tag).into_values().map(|lease| lease.named)
    }

    /// When the next one ends. Whoever asks waits for it.
    pub fn await_next(&mut self) -> Option<Instant> {
        self.awaited = self.by_tag.values().map(|lease| lease.ends_at).min();
        self.awaited
    }

    /// Whether a lease that ends then ends before what is waited for.
    pub fn is_before_awaited(&self, ends_at: Instant) -> bool {
        self.awaited.is_none_or(|awaited| ends_at < awaited)
    }

    pub fn len(&self) -> usize {
        self.by_tag.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasq_core::clock;

    use super::*;

    #[test]
    fn a_receipt_names_its_channel_and_its_delivery() {
        let handed = DeliveryRef { epoch: 7, tag: 41 };
        assert_eq!(DeliveryRef::read(&handed.receipt()), Some(handed));
        for receipt in ["", "7", ":", "7:", ":41", "7:41:1", "7:-1", "AQEB…"] {
            assert_eq!(DeliveryRef::read(&Receipt(receipt.into())), None, "{receipt}");
        }
    }

    #[test]
    fn a_lease_that_is_not_renewed_ends() {
        let now = clock::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut leases = Leases::default();
        for tag in 1..=4 {
            leases.insert(tag, at(30), None);
        }
        assert_eq!(leases.await_next(), Some(at(30)));
        assert!(leases.is_before_awaited(at(29)) && !leases.is_before_awaited(at(30)));
        leases.renew(1, at(60)).unwrap();
        leases.hide(2, at(5)).unwrap();
        assert_eq!(leases.renew(2, at(60)), Err(Gone), "the host has let go of it");
        assert_eq!(leases.remove(3), Ok(None));
        assert_eq!(leases.await_next(), Some(at(5)));
        assert_eq!(leases.take_ended(at(5)), [(2, None)]);
        assert_eq!(leases.take_ended(at(30)), [(4, None)]);
        for gone in [2, 3, 4, 5] {
            assert_eq!((leases.renew(gone, at(90)), leases.hide(gone, at(90))), (Err(Gone), Err(Gone)));
            assert_eq!(leases.remove(gone), Err(Gone));
        }
        assert_eq!((leases.len(), leases.take_all().count(), leases.len()), (1, 1, 0));
        assert_eq!(leases.await_next(), None);
        assert!(leases.is_before_awaited(at(1_000)));
    }
}
