//! The message that a dead letter becomes again.

use bytes::Bytes;
use wasq_core::message::{AttributeValue, Attributes, DEPTH_ATTRIBUTE, Delivery, KEY_ATTRIBUTE, KEY_FIELD, Key};
use wasq_queues::{Outgoing, QueueRules};

use super::letter_view::{Envelope, LetterView};
use super::oversized::is_stub;
use super::{AGAIN_ATTRIBUTE, LETTER_ATTRIBUTE, Letter, OWN_KEY_ATTRIBUTE};
use crate::timers::parked::was_parked;

/// The group of a message that goes to a FIFO queue and has none.
const GROUP: &str = "wasq";

/// How a letter is sent again.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// What its key has done already is done again.
    pub again: bool,
    /// It may run under another key if there is no room for its own.
    pub new_key: bool,
    /// A body instead of its own.
    pub body: Option<Bytes>,
}

/// Why a letter cannot be sent again as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "there is no room for its key as `{OWN_KEY_ATTRIBUTE}` ({full}), and under a new key it could run twice; put the key \
         into its body's field `{KEY_FIELD}` with `wasq dlq edit`, or take the new key with --new-key"
    )]
    NoRoomForKey { full: String },
    #[error(
        "there is no room for `{AGAIN_ATTRIBUTE}`, which --again needs ({full}); remove something from it, or leave --again out"
    )]
    NoRoomForAgain { full: String },
    #[error(
        "its queue and its key are not known, and under a new key it could run twice: {0}; take the new key with --new-key"
    )]
    Unreadable(String),
    #[error(
        "what is in the DLQ only stands for its message, which was larger than the DLQ takes: {0}; start the host whose ledger keeps \
         the message (--admin says where it answers), or give the whole body with `wasq dlq edit`"
    )]
    StandsForIt(String),
    #[error("its queue would refuse it: {0}")]
    Refused(String),
}

impl LetterView {
    /// Makes it a message again; see [`replayed`].
    pub fn replayed(&self, rules: &QueueRules, how: &ReplayOptions) -> Result<Outgoing, Unfit> {
        match &self.envelope {
            Envelope::Unreadable(why) if how.body.is_none() && is_stub(&self.delivery.body) => {
                Err(Unfit::StandsForIt(why.clone()))
            }
            Envelope::Unreadable(why) if !how.new_key => Err(Unfit::Unreadable(why.clone())),
            Envelope::Letter(_) | Envelope::MovedBySqs | Envelope::Unreadable(_) => {
                replayed(&self.delivery, self.letter(), rules, how)
            }
        }
    }
}

/// Makes a delivery from the DLQ a message again, for a queue of these rules: its body and
/// attributes, and its key. The key is its letter's. What SQS itself moved has no letter: its key
/// is what it was in its queue, its message id, which SQS keeps. Somebody has decided to send it
/// again, so its outboxes are counted anew.
///
/// # Errors
/// See [`Unfit`].
pub fn replayed(
    delivery: &Delivery,
    letter: Option<&Letter>,
    rules: &QueueRules,
    how: &ReplayOptions,
) -> Result<Outgoing, Unfit> {
    let body = how.body.clone().unwrap_or_else(|| delivery.body.clone());
    let mut attributes = delivery.attributes.clone();
    attributes.remove(LETTER_ATTRIBUTE);
    attributes.remove(DEPTH_ATTRIBUTE);
    let bare = Outgoing { body: body.clone(), attributes, delay_s: 0, group: None, deduplication_id: None };
    if let Some(reason) = rules.refusal(&bare) {
        return Err(Unfit::Refused(reason));
    }
    let mut attributes = bare.attributes;

    add_key(&mut attributes, &body, rules, delivery, letter, how)?;
    if how.again {
        let run = AttributeValue::string(&delivery.message_id.0);
        insert(&mut attributes, &body, rules, AGAIN_ATTRIBUTE, run).map_err(|full| Unfit::NoRoomForAgain { full })?;
    }
    // Fresh, because the first send's id may still be within SQS's five minutes. The letter's own
    // id makes a replay that is run twice the same message; another body or run makes it another.
    let again = attributes.get(AGAIN_ATTRIBUTE).and_then(AttributeValue::text).unwrap_or_default();
    let parts: [&[u8]; 4] = [b"replay", delivery.message_id.0.as_bytes(), again.as_bytes(), &body];
    let deduplication_id = rules.fifo.then(|| Key::derive(&parts).to_hex());
    let group = delivery.group.clone().or_else(|| rules.fifo.then(|| GROUP.to_owned()));
    Ok(Outgoing { body, attributes, delay_s: 0, group, deduplication_id })
}

/// Lets the key go along, unless the message gives it by itself.
fn add_key(
    attributes: &mut Attributes,
    body: &[u8],
    rules: &QueueRules,
    delivery: &Delivery,
    letter: Option<&Letter>,
    how: &ReplayOptions,
) -> Result<(), Unfit> {
    let given = given_key(attributes, body);
    let known = letter.and_then(|letter| letter.key.as_ref());
    let key = match known {
        Some(key) if given.as_ref() == Some(key) => return Ok(()),
        Some(key) => key,
        None if given.is_some() || attributes.contains_key(OWN_KEY_ATTRIBUTE) || was_parked(attributes) => {
            return Ok(());
        }
        // It has none of its own, so it had the id that it had in its queue.
        None => match letter {
            Some(letter) => &letter.message_id.0,
            None => &delivery.message_id.0,
        },
    };
    let full = match rules.takes_text(key) {
        true => insert(attributes, body, rules, OWN_KEY_ATTRIBUTE, AttributeValue::string(key)).err(),
        false => Some("it has characters that the queue takes in no attribute".to_owned()),
    };
    match full {
        Some(full) if !how.new_key => Err(Unfit::NoRoomForKey { full }),
        Some(_) | None => Ok(()),
    }
}

/// The key that its producer gave a message.
fn given_key(attributes: &Attributes, body: &[u8]) -> Option<String> {
    // As the host reads it: an empty one is none.
    let named = |key: Option<&str>| key.filter(|key| !key.is_empty()).map(str::to_owned);
    named(attributes.get(KEY_ATTRIBUTE).and_then(AttributeValue::text)).or_else(|| {
        let json: serde_json::Value = serde_json::from_slice(body).ok()?;
        named(json.get(KEY_FIELD)?.as_str())
    })
}

/// Inserts an attribute if the queue has room for it; else says what is full.
fn insert(
    attributes: &mut Attributes,
    body: &[u8],
    rules: &QueueRules,
    name: &str,
    value: AttributeValue,
) -> Result<(), String> {
    let before = attributes.insert(name.to_owned(), value);
    let Some(full) = rules.size_refusal(body, attributes, 0) else { return Ok(()) };
    match before {
        Some(before) => attributes.insert(name.to_owned(), before),
        None => attributes.remove(name),
    };
    Err(full)
}

#[cfg(test)]
mod tests;
