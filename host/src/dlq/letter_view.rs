//! A message in the DLQ, as it is found there.

use wasq_core::message::{AttributeValue, Delivery, Key, MessageId, TYPE_ATTRIBUTE, UnixMs, size_bytes};
use wasq_queues::{MESSAGE_MAX_ATTRIBUTES, MESSAGE_MAX_BYTES};

use super::fingerprint::fingerprint;
use super::oversized::is_stub;
use super::{Envelopes, Letter, LetterError, read};
use crate::config::bounds::{KEY_BYTES_MAX, REASON_BYTES_MAX};

/// The class of a message that SQS itself moved to the DLQ.
pub const MOVED_CLASS: &str = "moved-by-sqs";
/// The class of a message whose envelope cannot be read.
pub const UNREADABLE_CLASS: &str = "unreadable";
/// Bytes of a letter beside its key, its reason and what it has from the message itself: names of
/// SQS and of plugins, digests, times and counts, with the JSON around them.
const LETTER_REST_BYTES: usize = 8 * 1024;
/// More bytes than any letter has of its own, whatever the limits are set to. In JSON a quotation
/// mark or a backslash takes two bytes. A control character takes six; a reason has none, and in a
/// key it has taken as many in the message's own body.
const LETTER_MAX_BYTES: usize = 2 * (KEY_BYTES_MAX + REASON_BYTES_MAX) + LETTER_REST_BYTES;

/// A message in the DLQ, in hand.
#[derive(Clone, Debug)]
pub struct LetterView {
    pub delivery: Delivery,
    pub envelope: Envelope,
}

/// What is known of a dead letter's end.
#[derive(Clone, Debug)]
pub enum Envelope {
    Letter(Box<Letter>),
    /// It has none: SQS's redrive policy moved it here.
    MovedBySqs,
    /// It has one that cannot be read, or may have one that cannot be had: why.
    Unreadable(String),
}

impl LetterView {
    /// Reads the envelope of a delivery from the DLQ.
    pub async fn read(mut delivery: Delivery, envelopes: &dyn Envelopes) -> Self {
        let envelope = match read(&delivery, envelopes).await {
            Ok(Some(letter)) => match restore(&letter, &mut delivery, envelopes).await {
                Ok(()) => Envelope::Letter(Box::new(letter)),
                Err(error) => Envelope::Unreadable(error.to_string()),
            },
            Ok(None) => Envelope::MovedBySqs,
            Err(LetterError::Ledger(_) | LetterError::NoHost(_)) if has_room_for_a_letter(&delivery) => {
                Envelope::MovedBySqs
            }
            Err(error) => Envelope::Unreadable(error.to_string()),
        };
        Self { delivery, envelope }
    }

    pub fn id(&self) -> &MessageId {
        &self.delivery.message_id
    }

    pub fn letter(&self) -> Option<&Letter> {
        match &self.envelope {
            Envelope::Letter(letter) => Some(letter),
            Envelope::MovedBySqs | Envelope::Unreadable(_) => None,
        }
    }

    /// Names the message that the letter was; none where it does not say. A type's plugins each
    /// send a letter of a message that fails them all.
    pub fn message(&self) -> Option<Key> {
        let letter = self.letter()?;
        let parts = [letter.queue.as_bytes(), letter.message_id.0.as_bytes(), &self.delivery.body];
        Some(Key::derive(&parts))
    }

    /// The type, by its letter or its attribute.
    pub fn kind(&self) -> Option<&str> {
        match self.letter() {
            Some(letter) => letter.kind.as_deref(),
            None => self.delivery.attributes.get(TYPE_ATTRIBUTE).and_then(AttributeValue::text),
        }
    }

    pub fn plugin(&self) -> Option<&str> {
        self.letter()?.plugin.as_deref()
    }

    pub fn class(&self) -> &str {
        match &self.envelope {
            Envelope::Letter(letter) => &letter.class,
            Envelope::MovedBySqs => MOVED_CLASS,
            Envelope::Unreadable(_) => UNREADABLE_CLASS,
        }
    }

    pub fn reason(&self) -> &str {
        match &self.envelope {
            Envelope::Letter(letter) => &letter.reason,
            Envelope::MovedBySqs => "received too often for its queue's redrive policy",
            Envelope::Unreadable(reason) => reason,
        }
    }

    /// See [`fingerprint`].
    pub fn fingerprint(&self) -> String {
        fingerprint(self.reason())
    }

    /// When it failed last; without a letter when it was sent, as SQS has it.
    pub fn failed_at(&self) -> UnixMs {
        self.letter().map_or(self.delivery.sent_at, |letter| letter.last_failed_at)
    }

    /// When it failed first, as far as is known.
    pub fn first_failed_at(&self) -> UnixMs {
        self.letter().and_then(|letter| letter.first_failed_at).unwrap_or_else(|| self.failed_at())
    }

    /// Its message group: on a FIFO queue the ordered one.
    pub fn group(&self) -> Option<&str> {
        self.delivery.group.as_deref()
    }
}

/// What was larger than its DLQ takes is the whole message again.
async fn restore(letter: &Letter, delivery: &mut Delivery, envelopes: &dyn Envelopes) -> Result<(), LetterError> {
    match &letter.in_ledger {
        Some(in_ledger) => in_ledger.restore(delivery, envelopes).await,
        None => Ok(()),
    }
}

/// A message that leaves so much room has its letter with it, or has none. Its key and its type are
/// in the letter again.
fn has_room_for_a_letter(delivery: &Delivery) -> bool {
    let own = size_bytes(&delivery.body, &delivery.attributes);
    !is_stub(&delivery.body)
        && delivery.attributes.len() < MESSAGE_MAX_ATTRIBUTES
        && own + 2 * own + LETTER_MAX_BYTES <= MESSAGE_MAX_BYTES
}

#[cfg(test)]
mod tests;
