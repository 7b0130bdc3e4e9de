//! What a ledger keeps of an outbox or a dead letter that is still to be sent.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use wasq_core::message::{Attributes, BodyDigest, MessageId, NamedAttribute};
use wasq_ledgers::Fresh;

use super::outbox::Finished;
use crate::dlq::Letter;
use crate::sandbox::OutboxMessage;

/// Messages of one key whose verdicts are kept. More of them at once, all waiting for their letters, are not to be expected.
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
    /// What an outbox was made of: the body's digest and the component's, in hexadecimal, and the replays before it.
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
    group: Option<String>,
    key: String,
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
            group: message.group.clone(),
            key: message.key.clone(),
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

    /// The letter that is owed for a message with this id. A replay starts afresh, so a verdict from before it is over;
    /// unless it is of this very message, whose letter was never sent.
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

    /// The outbox that is owed for this body and this component. It outlasts a replay that changes nothing: the handler has
    /// succeeded. If the body was edited, or the component mended, the handler runs.
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
                group: recorded.group.clone(),
                key: recorded.key.clone(),
            })
        };
        Ok(Some(Finished {
            result: self.result.as_ref().map(decode).transpose()?,
            messages: self.messages.iter().map(message).collect::<Result<_, base64::DecodeError>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wasq_core::message::{AttributeData, AttributeValue, UnixMs};
    use wasq_ledgers::Fence;

    use super::*;

    fn fresh(replays: u32) -> Fresh {
        Fresh { attempt: 1, crashes: 0, replays, fence: Fence(7), first_failed_at: None, is_new: false }
    }

    fn letter(message_id: &str, replays: u32) -> Letter {
        Letter {
            queue: "jobs".into(),
            message_id: MessageId(message_id.into()),
            kind: Some("t".into()),
            plugin: Some("p".into()),
            digest: None,
            class: "reject".into(),
            reason: "no such order".into(),
            attempts: 1,
            receive_count: 1,
            first_failed_at: None,
            last_failed_at: UnixMs(1),
            key: None,
            traceparent: None,
            group: None,
            replays,
            in_ledger: None,
        }
    }

    fn through_json(record: &Owed) -> Owed {
        serde_json::from_slice(&serde_json::to_vec(record).expect("it is JSON")).expect("it was written so")
    }

    fn outbox() -> Finished {
        let binary =
            AttributeValue { data_type: "Binary.png".into(), value: AttributeData::Binary(vec![0, 255].into()) };
        let message = OutboxMessage {
            queue: "emails".into(),
            kind: "receipt".into(),
            body: Bytes::from_static(b"\xff\0body"),
            attributes: [("a".into(), AttributeValue::string("b")), ("image".into(), binary)].into(),
            delay_s: 3,
            group: Some("g".into()),
            key: "k".into(),
        };
        Finished { result: Some(vec![1, 2]), messages: vec![message] }
    }

    #[test]
    fn what_is_recorded_is_what_was_to_be_sent() {
        let record = through_json(&Owed::of_outbox(&outbox(), BodyDigest::of(b"body"), 0, Some("component")));
        assert_eq!(record.outbox(), Ok(Some(outbox())));
        let verdict = record.with_letter(letter("m", 2));
        let verdict = through_json(&verdict);
        assert_eq!(verdict.letter_for(&fresh(2), &MessageId("m".into())), Some(Box::new(letter("m", 2))));
        assert_eq!(verdict.outbox(), Ok(Some(outbox())), "a verdict leaves the outbox to its replay");
        assert_eq!(Owed::default().outbox(), Ok(None));
    }

    #[test]
    fn an_outbox_of_an_earlier_version_is_read() {
        let json = r#"{"messages":[{"queue":"q","kind":"k","body":"aGk=","attributes":[],"delay_s":0,"group":null,"key":"x"}]}"#;
        let record: Owed = serde_json::from_str(json).expect("it reads");
        let owed = record.outbox_for(&fresh(3), BodyDigest::of(b"any"), Some("any"));
        assert_eq!(owed.outbox().expect("it reads").expect("it is owed").messages[0].body, "hi");
    }

    #[test]
    fn an_outbox_is_owed_until_a_replay_brings_another_body_or_another_component() {
        let record = Owed::of_outbox(&outbox(), BodyDigest::of(b"body"), 1, Some("old"));
        let check = |replays, body: &str, component, expect| {
            let owed = record.outbox_for(&fresh(replays), BodyDigest::of(body.as_bytes()), Some(component));
            assert_eq!(owed != Owed::default(), expect, "{replays} replays, {body}, {component}");
        };
        check(1, "body", "old", true);
        check(1, "body", "new", true);
        check(2, "body", "old", true);
        check(2, "body", "new", false);
        check(2, "edited", "old", false);
    }

    #[test]
    fn a_verdict_is_final_until_its_letter_comes_back() {
        let record = Owed::default().with_letter(letter("first", 0)).with_letter(letter("m", 1));
        let check = |replays, id: &str, expect| {
            let owed = record.letter_for(&fresh(replays), &MessageId(id.into())).is_some();
            assert_eq!(owed, expect, "{replays} replays, {id}");
        };
        check(1, "m", true);
        check(1, "its twin", true);
        check(2, "its replay", false);
        check(2, "m", true);
        check(2, "first", true);
        let many = (0..100).fold(Owed::default(), |record, n| record.with_letter(letter(&n.to_string(), n)));
        assert_eq!(many.letters.len(), LETTERS_MAX);
    }
}
