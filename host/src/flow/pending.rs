//! What the host still owes under a key, recorded beside the handler's own steps: an outbox that is to be sent, or a verdict
//! whose dead letter is. The next attempt finds it and pays it, without a run.
//!
//! `run` asks for it behind each claim, and records an outbox; `record` records a verdict. Both are written under the claim's
//! fence, so that a host whose claim was taken over owes nothing any more.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use wasq_core::message::{Attributes, BodyDigest, MessageId, NamedAttribute};
use wasq_ledgers::{Fresh, LedgerError};

use super::PluginAttempt;
use super::claim::Claimed;
use super::outbox::Finished;
use super::record::insist;
use crate::dlq::Letter;
use crate::exit::Exit;
use crate::sandbox::OutboxMessage;

/// The step under which it is recorded. No guest's step can have this name.
const STEP: &str = "\0outbox";
/// The step that says when a plugin's own delay is over, where several plugins handle the type.
const NOT_BEFORE_STEP: &str = "\0not-before";
/// Bytes of one recorded part. DynamoDB keeps 400 KB in an item.
const PART_BYTES: usize = 256 * 1024;

/// Messages of one key whose verdicts are kept. More of them at once, all waiting for their letters, are not to be expected.
const LETTERS_MAX: usize = 16;

/// What an earlier attempt left to be done.
#[derive(Debug, PartialEq)]
pub enum Pending {
    /// The handler has succeeded. Its outbox is to be sent, then the completion recorded.
    Outbox(Finished),
    /// The message goes to the DLQ. The handler never runs for it again.
    Letter(Box<Letter>),
}

/// What an earlier attempt recorded, if it still counts.
pub async fn load(plugin_attempt: &PluginAttempt<'_>, claim: &mut Claimed) -> Result<Option<Pending>, Exit> {
    if claim.fresh.is_new {
        return Ok(None);
    }
    let Some(mut head) = part(plugin_attempt, claim, 0).await? else { return Ok(None) };
    if head.len() < size_of::<u32>() {
        return Err(damaged("it is too short"));
    }
    let mut json = head.split_off(size_of::<u32>());
    let parts = u32::from_le_bytes(head.try_into().expect("four bytes were left"));
    for index in 1..parts {
        match part(plugin_attempt, claim, index).await? {
            Some(more) => json.extend(more),
            None => return Err(damaged("a part of it is missing")),
        }
    }
    let record: Record = serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))?;
    claim.record = record.outbox_for(&claim.fresh, claim.body, plugin_attempt.digest());
    match record.letter_for(&claim.fresh, &plugin_attempt.delivery.message_id) {
        Some(letter) => Ok(Some(Pending::Letter(letter))),
        None => claim.record.outbox().map(|found| found.map(Pending::Outbox)).map_err(|e| damaged(&e.to_string())),
    }
}

/// Records a success whose outbox is to be sent.
pub async fn keep_outbox(
    plugin_attempt: &PluginAttempt<'_>,
    claim: &mut Claimed,
    finished: &Finished,
) -> Result<(), Exit> {
    claim.record = Record::of_outbox(finished, claim, plugin_attempt.digest());
    keep(plugin_attempt, claim, &claim.record).await.map_err(|error| exit_of(plugin_attempt, error))
}

/// Records that the message goes to the DLQ, beside an outbox that was recorded before: its replay may send that.
pub async fn keep_letter(
    plugin_attempt: &PluginAttempt<'_>,
    claim: &Claimed,
    letter: &Letter,
) -> Result<(), LedgerError> {
    keep(plugin_attempt, claim, &claim.record.with_letter(letter.clone())).await
}

async fn keep(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, record: &Record) -> Result<(), LedgerError> {
    let json = serde_json::to_vec(record).map_err(|error| LedgerError::Damaged(error.to_string()))?;
    let parts: Vec<&[u8]> = json.chunks(PART_BYTES).collect();
    // The first part goes last: where it is, all are.
    for (index, bytes) in parts.iter().enumerate().rev() {
        let index = index as u32;
        let mut value = if index == 0 { (parts.len() as u32).to_le_bytes().to_vec() } else { Vec::new() };
        value.extend_from_slice(bytes);
        put(plugin_attempt, claim, &part_name(index), &value).await?;
    }
    Ok(())
}

/// Records that this plugin is not to run before its own delay is over, whatever brings the message back.
pub async fn keep_not_before(
    plugin_attempt: &PluginAttempt<'_>,
    claim: &Claimed,
    delay: Duration,
) -> Result<(), LedgerError> {
    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let until_ms = plugin_attempt.services.clock.unix_ms().0.saturating_add(delay_ms);
    let value = [until_ms.to_le_bytes(), delay_ms.to_le_bytes()].concat();
    put(plugin_attempt, claim, NOT_BEFORE_STEP, &value).await
}

/// How much of its own delay this plugin has still to wait.
pub async fn backing_off(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed) -> Result<Option<Duration>, Exit> {
    if plugin_attempt.is_only_plugin || claim.fresh.is_new {
        return Ok(None);
    }
    let Some(value) = get(plugin_attempt, claim, NOT_BEFORE_STEP).await? else { return Ok(None) };
    Ok(left_of(&value, plugin_attempt.services.clock.unix_ms().0))
}

/// A wall clock that was set back would make a delay longer than it ever was: then it counts as over.
fn left_of(not_before: &[u8], now_ms: u64) -> Option<Duration> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    let (until_ms, delay_ms) = not_before.split_at_checked(size_of::<u64>())?;
    let left_ms = number(until_ms)?.checked_sub(now_ms).filter(|left_ms| *left_ms > 0)?;
    (left_ms <= number(delay_ms)?).then(|| Duration::from_millis(left_ms))
}

async fn part(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, index: u32) -> Result<Option<Vec<u8>>, Exit> {
    get(plugin_attempt, claim, &part_name(index)).await
}

fn part_name(index: u32) -> String {
    if index == 0 { STEP.to_owned() } else { format!("{STEP}/{index}") }
}

async fn get(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, name: &str) -> Result<Option<Vec<u8>>, Exit> {
    let ask = || plugin_attempt.services.ledger.get_step(claim.key, claim.fresh.fence, name);
    insist(plugin_attempt, ask).await.map_err(|error| exit_of(plugin_attempt, error))
}

async fn put(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, name: &str, value: &[u8]) -> Result<(), LedgerError> {
    insist(plugin_attempt, || plugin_attempt.services.ledger.put_step(claim.key, claim.fresh.fence, name, value)).await
}

fn exit_of(plugin_attempt: &PluginAttempt<'_>, error: LedgerError) -> Exit {
    match error {
        LedgerError::Stale => Exit::LeaseLost,
        LedgerError::Damaged(reason) => Exit::LedgerDamaged { reason },
        LedgerError::TooLarge(reason) => Exit::Outbox { reason },
        LedgerError::Unavailable(reason) => {
            plugin_attempt.services.health.ledger_failed(&reason);
            Exit::LedgerDown { reason }
        }
    }
}

fn damaged(why: &str) -> Exit {
    Exit::Outbox { reason: format!("the outbox that was recorded cannot be read: {why}") }
}

/// What is owed, as the ledger keeps it: JSON, with base64 for bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
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

impl Record {
    fn of_outbox(finished: &Finished, claim: &Claimed, component: Option<&str>) -> Self {
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
            letters: claim.record.letters.clone(),
            result: finished.result.as_deref().map(encode),
            messages: finished.messages.iter().map(message).collect(),
            body: Some(claim.body.to_hex()),
            component: component.map(str::to_owned),
            replays: claim.fresh.replays,
        }
    }

    /// The letter that is owed for a message with this id. A replay starts afresh, so a verdict from before it is over;
    /// unless it is of this very message, whose letter was never sent.
    fn letter_for(&self, fresh: &Fresh, id: &MessageId) -> Option<Box<Letter>> {
        let newest = self.letters.last().filter(|letter| letter.replays == fresh.replays);
        let its_own = || self.letters.iter().find(|letter| letter.message_id == *id);
        newest.or_else(its_own).map(|letter| Box::new(letter.clone()))
    }

    fn with_letter(&self, letter: Letter) -> Self {
        let mut letters: Vec<_> =
            self.letters.iter().filter(|other| other.message_id != letter.message_id).cloned().collect();
        letters.push(letter);
        letters.drain(..letters.len().saturating_sub(LETTERS_MAX));
        Self { letters, ..self.clone() }
    }

    /// The outbox that is owed for this body and this component. It outlasts a replay that changes nothing: the handler has
    /// succeeded. If the body was edited, or the component mended, the handler runs.
    fn outbox_for(&self, fresh: &Fresh, body: BodyDigest, component: Option<&str>) -> Self {
        let same_body = self.body.as_ref().is_none_or(|made_of| *made_of == body.to_hex());
        let same_component = self.component.is_none() || self.component.as_deref() == component;
        match same_body && (self.replays == fresh.replays || same_component) {
            true => self.clone(),
            false => Self { letters: self.letters.clone(), ..Self::default() },
        }
    }

    /// What its outbox is; none where there is none.
    fn outbox(&self) -> Result<Option<Finished>, base64::DecodeError> {
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
    use wasq_core::message::{AttributeData, AttributeValue, Key, UnixMs};
    use wasq_ledgers::Fence;

    use super::*;

    fn fresh(replays: u32) -> Fresh {
        Fresh { attempt: 1, crashes: 0, replays, fence: Fence(7), first_failed_at: None, is_new: false }
    }

    fn claim(replays: u32, body: &str) -> Claimed {
        let body = BodyDigest::of(body.as_bytes());
        Claimed { key: Key([1; 32]), fresh: fresh(replays), body, record: Record::default(), verdict: None }
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

    fn through_json(record: &Record) -> Record {
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
        let record = through_json(&Record::of_outbox(&outbox(), &claim(0, "body"), Some("component")));
        assert_eq!(record.outbox(), Ok(Some(outbox())));
        let verdict = record.with_letter(letter("m", 2));
        let verdict = through_json(&verdict);
        assert_eq!(verdict.letter_for(&fresh(2), &MessageId("m".into())), Some(Box::new(letter("m", 2))));
        assert_eq!(verdict.outbox(), Ok(Some(outbox())), "a verdict leaves the outbox to its replay");
        assert_eq!(Record::default().outbox(), Ok(None));
    }

    #[test]
    fn an_outbox_of_an_earlier_version_is_read() {
        let json = r#"{"messages":[{"queue":"q","kind":"k","body":"aGk=","attributes":[],"delay_s":0,"group":null,"key":"x"}]}"#;
        let record: Record = serde_json::from_str(json).expect("it reads");
        let owed = record.outbox_for(&fresh(3), BodyDigest::of(b"any"), Some("any"));
        assert_eq!(owed.outbox().expect("it reads").expect("it is owed").messages[0].body, "hi");
    }

    #[test]
    fn an_outbox_is_owed_until_a_replay_brings_another_body_or_another_component() {
        let record = Record::of_outbox(&outbox(), &claim(1, "body"), Some("old"));
        let check = |replays, body: &str, component, expect| {
            let owed = record.outbox_for(&fresh(replays), BodyDigest::of(body.as_bytes()), Some(component));
            assert_eq!(owed != Record::default(), expect, "{replays} replays, {body}, {component}");
        };
        check(1, "body", "old", true);
        check(1, "body", "new", true);
        check(2, "body", "old", true);
        check(2, "body", "new", false);
        check(2, "edited", "old", false);
    }

    #[test]
    fn a_verdict_is_final_until_its_letter_comes_back() {
        let record = Record::default().with_letter(letter("first", 0)).with_letter(letter("m", 1));
        let check = |replays, id: &str, expect| {
            let owed = record.letter_for(&fresh(replays), &MessageId(id.into())).is_some();
            assert_eq!(owed, expect, "{replays} replays, {id}");
        };
        check(1, "m", true);
        check(1, "its twin", true);
        check(2, "its replay", false);
        check(2, "m", true);
        check(2, "first", true);
        let many = (0..100).fold(Record::default(), |record, n| record.with_letter(letter(&n.to_string(), n)));
        assert_eq!(many.letters.len(), LETTERS_MAX);
    }

    #[test]
    fn a_delay_is_over_in_time_and_never_longer_than_it_was() {
        let step = [5_000u64.to_le_bytes(), 2_000u64.to_le_bytes()].concat();
        let check = |now_ms, expect| assert_eq!(left_of(&step, now_ms), expect, "at {now_ms}");
        check(3_000, Some(Duration::from_secs(2)));
        check(4_999, Some(Duration::from_millis(1)));
        check(5_000, None);
        check(9_000, None);
        check(2_999, None);
        assert_eq!(left_of(b"", 0), None);
        assert_eq!(left_of(&step[..9], 0), None);
    }
}
