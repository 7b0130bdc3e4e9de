//! The message that a dead letter becomes again.

use bytes::Bytes;
use wasq_core::message::{
    AttributeValue, Attributes, DEPTH_ATTRIBUTE, Delivery, KEY_ATTRIBUTE, KEY_FIELD, Key, size_bytes,
};
use wasq_queues::{MESSAGE_MAX_ATTRIBUTES, MESSAGE_MAX_BYTES, Outgoing, size_limit_error, takes_char};

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
    #[error("SQS would refuse it: {0}")]
    Refused(String),
}

impl LetterView {
    /// Makes it a message again; see [`replayed`].
    pub fn replayed(&self, fifo: bool, how: &ReplayOptions) -> Result<Outgoing, Unfit> {
        match &self.envelope {
            Envelope::Unreadable(why) if how.body.is_none() && is_stub(&self.delivery.body) => {
                Err(Unfit::StandsForIt(why.clone()))
            }
            Envelope::Unreadable(why) if !how.new_key => Err(Unfit::Unreadable(why.clone())),
            Envelope::Letter(_) | Envelope::MovedBySqs | Envelope::Unreadable(_) => {
                replayed(&self.delivery, self.letter(), fifo, how)
            }
        }
    }
}

/// Makes a delivery from the DLQ a message again, for a FIFO queue or a standard one: its body and
/// attributes, and its key. The key is its letter's. What SQS itself moved has no letter: its key
/// is what it was in its queue, its message id, which SQS keeps. Somebody has decided to send it
/// again, so its outboxes are counted anew.
///
/// # Errors
/// See [`Unfit`].
pub fn replayed(
    delivery: &Delivery,
    letter: Option<&Letter>,
    fifo: bool,
    how: &ReplayOptions,
) -> Result<Outgoing, Unfit> {
    let body = how.body.clone().unwrap_or_else(|| delivery.body.clone());
    let mut attributes = delivery.attributes.clone();
    attributes.remove(LETTER_ATTRIBUTE);
    attributes.remove(DEPTH_ATTRIBUTE);
    if let Some(character) = std::str::from_utf8(&body).ok().and_then(|text| text.chars().find(|c| !takes_char(*c))) {
        return Err(Unfit::Refused(format!("its body has the character {character:?}")));
    }
    if let Some(reason) = size_limit_error(&body, &attributes, 0) {
        return Err(Unfit::Refused(reason));
    }

    add_key(&mut attributes, &body, delivery, letter, how)?;
    if how.again {
        let run = AttributeValue::string(&delivery.message_id.0);
        insert(&mut attributes, &body, AGAIN_ATTRIBUTE, run).map_err(|full| Unfit::NoRoomForAgain { full })?;
    }
    // Fresh, because the first send's id may still be within SQS's five minutes. The letter's own
    // id makes a replay that is run twice the same message; another body or run makes it another.
    let again = attributes.get(AGAIN_ATTRIBUTE).and_then(AttributeValue::text).unwrap_or_default();
    let parts: [&[u8]; 4] = [b"replay", delivery.message_id.0.as_bytes(), again.as_bytes(), &body];
    let deduplication_id = fifo.then(|| Key::derive(&parts).to_hex());
    let group = delivery.group.clone().or_else(|| fifo.then(|| GROUP.to_owned()));
    Ok(Outgoing { body, attributes, delay_s: 0, group, deduplication_id })
}

/// Lets the key go along, unless the message gives it by itself.
fn add_key(
    attributes: &mut Attributes,
    body: &[u8],
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
    let full = match key.chars().all(takes_char) {
        true => insert(attributes, body, OWN_KEY_ATTRIBUTE, AttributeValue::string(key)).err(),
        false => Some("it has characters that SQS refuses in an attribute".to_owned()),
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

/// Inserts an attribute if SQS's limits leave room for it; else says what is full.
fn insert(attributes: &mut Attributes, body: &[u8], name: &str, value: AttributeValue) -> Result<(), String> {
    let before = attributes.insert(name.to_owned(), value);
    let full = if attributes.len() > MESSAGE_MAX_ATTRIBUTES {
        Some(format!("it has {MESSAGE_MAX_ATTRIBUTES} attributes, and SQS takes no more"))
    } else {
        let bytes = size_bytes(body, attributes);
        (bytes > MESSAGE_MAX_BYTES).then(|| format!("it would have {bytes} bytes, and SQS takes {MESSAGE_MAX_BYTES}"))
    };
    let Some(full) = full else { return Ok(()) };
    match before {
        Some(before) => attributes.insert(name.to_owned(), before),
        None => attributes.remove(name),
    };
    Err(full)
}

#[cfg(test)]
mod tests;
