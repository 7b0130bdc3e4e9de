//! What a ledger keeps of an outbox or a dead letter that is still to be sent.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use wasq_core::message::{Attributes, BodyDigest, MessageId, NamedAttribute, UnixMs};
use wasq_ledgers::Fresh;

use super::outbox::Finished;
use crate::dlq::Letter;
use crate::groups::GroupPart;
use crate::sandbox::OutboxMessage;

/// Messages of one key whose verdicts are kept. More of them at once, all waiting for their
/// letters, are not to be expected.
const LETTERS_MAX: usize = 16;

/// What is owed, as the ledger keeps it: JSON, with base64 for bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// Of the key's messages that are to be dead-lettered, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    letters: Vec<Letter>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    result: Option<String>,
    /// Empty where no outbox is recorded.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    messages: Vec<RecordedMessage>,
    /// What an outbox was made of: the body's digest and the component's, in hexadecimal, and the
    /// replays before it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    component: Option<String>,
    #[serde(default)]
    replays: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RecordedMessage {
    queue: String,
    kind: String,
    body: String,
    attributes: Vec<NamedAttribute>,
    delay_s: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    asked_at: Option<UnixMs>,
    group: Option<String>,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    part: Option<Box<GroupPart>>,
}

impl Owed {
    pub fn of_outbox(finished: &Finished, body: BodyDigest, replays: u32, component: Option<&str>) -> Self {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let message = |message: &OutboxMessage| RecordedMessage {
            queue: message.queue.clone(),
            kind: message.kind.clone(),
            body: encode(&message.body),
            attributes: message.attributes.iter().map(|(name, value)| NamedAttribute::of(name, value)).collect(),
            delay_s: message.delay_s,
            asked_at: message.asked_at,
            group: message.group.clone(),
            key: message.key.clone(),
            part: message.part.clone(),
        };
        Self {
            letters: Vec::new(),
            result: finished.result.as_deref().map(encode),
            messages: finished.messages.iter().map(message).collect(),
            body: Some(body.to_hex()),
            component: component.map(str::to_owned),
            replays,
        }
    }

    /// The same, with the letters of an earlier record.
    pub fn with_letters_of(self, earlier: &Self) -> Self {
        Self { letters: earlier.letters.clone(), ..self }
    }

    /// The letter that is owed for a message with this id. A replay starts afresh, so a verdict
    /// from before it is over; unless it is of this very message, whose letter was never sent.
    pub fn letter_for(&self, fresh: &Fresh, id: &MessageId) -> Option<Box<Letter>> {
        let newest = self.letters.last().filter(|letter| letter.replays == fresh.replays);
        let its_own = || self.letters.iter().find(|letter| letter.message_id == *id);
        newest.or_else(its_own).map(|letter| Box::new(letter.clone()))
    }

    pub fn with_letter(&self, letter: Letter) -> Self {
        let mut letters: Vec<_> =
            self.letters.iter().filter(|other| other.message_id != letter.message_id).cloned().collect();
        letters.push(letter);
        letters.drain(..letters.len().saturating_sub(LETTERS_MAX));
        Self { letters, ..self.clone() }
    }

    /// The outbox that is owed for this body and this component. It outlasts a replay that changes
    /// nothing: the handler has succeeded. If the body was edited, or the component corrected, the
    /// handler runs.
    pub fn outbox_for(&self, fresh: &Fresh, body: BodyDigest, component: Option<&str>) -> Self {
        let same_body = self.body.as_ref().is_none_or(|made_of| *made_of == body.to_hex());
        let same_component = self.component.is_none() || self.component.as_deref() == component;
        match same_body && (self.replays == fresh.replays || same_component) {
            true => self.clone(),
            false => Self { letters: self.letters.clone(), ..Self::default() },
        }
    }

    /// What its outbox is; none where there is none.
    pub fn outbox(&self) -> Result<Option<Finished>, base64::DecodeError> {
        if self.messages.is_empty() {
            return Ok(None);
        }
        let decode = |text: &String| BASE64_STANDARD.decode(text);
        let message = |recorded: &RecordedMessage| {
            let attributes = recorded.attributes.iter().cloned().map(NamedAttribute::read);
            Ok(OutboxMessage {
                queue: recorded.queue.clone(),
                kind: recorded.kind.clone(),
                body: decode(&recorded.body)?.into(),
                attributes: attributes.collect::<Result<Attributes, _>>()?,
                delay_s: recorded.delay_s,
                asked_at: recorded.asked_at,
                group: recorded.group.clone(),
                key: recorded.key.clone(),
                part: recorded.part.clone(),
            })
        };
        Ok(Some(Finished {
            result: self.result.as_ref().map(decode).transpose()?,
            messages: self.messages.iter().map(message).collect::<Result<_, base64::DecodeError>>()?,
        }))
    }
}

#[cfg(test)]
mod tests;
