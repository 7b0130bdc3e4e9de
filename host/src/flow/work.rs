//! What a delivery holds, to be run.

use std::sync::Arc;

use wasq_core::message::{Delivery, Message, UnixMs};

use super::decode::{self, Decoded, Notice, Part};
use crate::config::QueueConfig;
use crate::exit::Exit;
use crate::timers::deliver_at::deliver_at;

/// What a delivery is, to be run.
pub enum Work {
    One(Arc<Message>),
    /// Each record of a batch with the delivery that it would be alone.
    Records(Vec<(Delivery, Arc<Message>)>),
    Notice(Notice, Arc<Message>),
}

impl Work {
    /// What a delivery is; and when its producer wants it delivered, if that is said.
    pub fn of(delivery: &Delivery, queue: &QueueConfig) -> Result<(Self, Option<UnixMs>), Exit> {
        let invalid = |reason| Exit::Invalid { reason };
        let work = match decode::decode(delivery, queue).map_err(invalid)? {
            Decoded::Message(typed) => Self::One(Arc::new(typed.message)),
            Decoded::Notice(notice, typed) => Self::Notice(notice, Arc::new(typed.message)),
            Decoded::Batch(parts) => {
                let record = |part: Part| (part.delivery, Arc::new(part.typed.message));
                Self::Records(parts.into_iter().map(record).collect())
            }
        };
        let wanted = work.message().map_or(Ok(None), |message| deliver_at(&message.attributes)).map_err(invalid)?;
        Ok((work, wanted))
    }

    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::One(message) | Self::Notice(_, message) => Some(message),
            Self::Records(records) => records.first().map(|(_, message)| message.as_ref()),
        }
    }
}

/// What a message that is wanted at `at` waits for, if that is still to come.
pub fn not_due(at: UnixMs, now: UnixMs) -> Option<Exit> {
    let remaining = at.since(now);
    (!remaining.is_zero()).then_some(Exit::NotDue { remaining, at })
}
