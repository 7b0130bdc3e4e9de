//! What a delivery holds, to be run.

use std::sync::Arc;
use std::time::Duration;

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
    pub fn of(delivery: &Delivery, queue: &QueueConfig) -> Result<Self, String> {
        Ok(match decode::decode(delivery, queue)? {
            Decoded::Message(typed) => Self::One(Arc::new(typed.message)),
            Decoded::Notice(notice, typed) => Self::Notice(notice, Arc::new(typed.message)),
            Decoded::Batch(parts) => {
                let record = |part: Part| (part.delivery, Arc::new(part.typed.message));
                Self::Records(parts.into_iter().map(record).collect())
            }
        })
    }

    /// The same, unless its producer wants it delivered later.
    pub fn if_due(self, now: UnixMs) -> Result<Self, Exit> {
        let Some(message) = self.message() else { return Ok(self) };
        let at = deliver_at(&message.attributes).map_err(|reason| Exit::Invalid { reason })?;
        match at.map(|at| (at, Duration::from_millis(at.0.saturating_sub(now.0)))) {
            Some((at, remaining)) if !remaining.is_zero() => Err(Exit::NotDue { remaining, at }),
            Some(_) | None => Ok(self),
        }
    }

    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::One(message) | Self::Notice(_, message) => Some(message),
            Self::Records(records) => records.first().map(|(_, message)| message.as_ref()),
        }
    }
}
