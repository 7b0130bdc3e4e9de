//! What a delivery holds, once it is decoded.

use wasq_core::message::{Delivery, Message};

use super::layer::Notice;
use crate::config::{QueueConfig, TypeSource};

/// What a delivery holds.
#[derive(Debug)]
pub enum Decoded {
    Message(Typed),
    /// The records of a batch, each a delivery of its own: `split = true`.
    Batch(Vec<Part>),
    /// What a service says about itself, with the message that it is in.
    Notice(Notice, Typed),
}

/// A message, and where its type comes from.
#[derive(Debug)]
pub struct Typed {
    pub message: Message,
    pub type_origin: TypeOrigin,
}

/// Where a message's type comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeOrigin {
    /// The queue's `type_from`, by its index.
    Source(usize),
    /// A shape that names no type, as a task token's.
    Shape,
    /// The queue's `default_type`.
    Default,
}

impl TypeOrigin {
    /// As the config names it.
    pub fn name(self, queue: &QueueConfig) -> String {
        match self {
            Self::Source(index) => queue.type_from.0.get(index).map_or_else(String::new, ToString::to_string),
            Self::Shape => TypeSource::Envelope.to_string(),
            Self::Default => "default_type".to_owned(),
        }
    }
}

/// One record of a batch.
#[derive(Debug)]
pub struct Part {
    /// The delivery as it would be with this record alone.
    pub delivery: Delivery,
    pub typed: Typed,
}
