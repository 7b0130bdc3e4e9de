//! What a replay is told, what it tells, and what it comes to.

use std::time::Duration;

use wasq_core::message::{MessageId, UnixMs};
use wasq_queues::QueueError;

use super::filter::Filter;
use super::letter_view::LetterView;
use super::replayed_message::ReplayOptions;

/// What is to be replayed, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What failed later is not replayed.
    pub began: UnixMs,
    pub filter: Filter,
    pub limit: Option<u64>,
    /// Letters a second.
    pub rate: Option<u32>,
    pub canary: Option<Canary>,
    /// The share of replayed messages that may fail again, from 0 to 1.
    pub failures_max: f64,
    pub how: ReplayOptions,
}

/// The first messages, which must settle before the others follow.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    pub messages: u64,
    /// How long they may take.
    pub timeout: Duration,
    /// How long the source queues must look empty until the canary counts as settled.
    pub quiet: Duration,
}

/// What happens on the way.
#[derive(Debug)]
pub enum Event<'a> {
    /// It was sent, or settled by the message that another letter of the same one became.
    Replayed {
        view: &'a LetterView,
    },
    /// It stays in the DLQ.
    Kept {
        view: &'a LetterView,
        why: &'a str,
    },
    /// It was sent and could not be deleted: a twin stays in the DLQ.
    Twin {
        id: &'a MessageId,
        why: &'a str,
    },
    CanarySent {
        messages: u64,
        timeout: Duration,
    },
    CanarySettled {
        failed: u64,
        messages: u64,
    },
}

/// How a replay ended.
#[derive(Debug)]
pub enum ReplayEnd {
    /// All that matched are replayed.
    Through,
    /// The limit is reached.
    Limit,
    /// Somebody asked for it.
    Stopped,
    /// Too many have failed again.
    Failures,
    /// The canary did not settle in time; the source queues have so many messages.
    CanaryTimeout { waiting: u64 },
    /// Letter after letter could not be sent.
    Unsendable,
    /// It watches no more letters at once.
    Full,
    /// The DLQ cannot be read.
    Broken(QueueError),
}

/// What a replay came to.
#[derive(Debug)]
pub struct Summary {
    /// Letters that are gone from the DLQ.
    pub replayed: u64,
    /// Messages that these were: a message may have failed several plugins, and has a letter of
    /// each.
    pub messages: u64,
    /// Messages that failed again, as far as the replay has seen.
    pub failed_again: u64,
    /// Letters that matched and could not be sent.
    pub kept: u64,
    pub ended: ReplayEnd,
}

/// Receives what happens.
pub type OnEvent<'a> = &'a mut (dyn FnMut(Event<'_>) + Send);
