//! A queue's attributes: which there are, what they may hold, and what they mean.

mod redrive;

use std::collections::BTreeMap;

pub use self::redrive::{Redrive, RedriveAllow};
use super::{
    error::{Code, SqsError, SqsResult},
    message::MAX_MESSAGE_BYTES,
};

/// A queue's settable attributes, as text, by name.
pub type QueueAttributes = BTreeMap<String, String>;

/// What a queue's attributes mean. Defaults: CreateQueue in the SQS API reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub visibility_s: u64,
    pub delay_s: u64,
    pub wait_s: u64,
    pub retention_s: u64,
    pub max_message_bytes: usize,
    pub content_dedup: bool,
    /// Deduplication ids count within a message group, not the queue.
    pub dedup_per_group: bool,
    pub redrive: Option<Redrive>,
}

/// Longest visibility timeout, and longest time from receipt that it may reach: 12 hours.
pub const MAX_VISIBILITY_S: u64 = 43_200;
/// Longest delay of a message.
pub const MAX_DELAY_S: u64 = 900;
/// Longest long poll.
pub const MAX_WAIT_S: u64 = 20;

/// Bytes of a policy at most (SQS quotas, "Policies"), of whichever kind.
pub const MAX_POLICY_BYTES: usize = 8_192;
/// Characters of a KMS key's id, ARN or alias at most (`KeyId` in the KMS API reference).
const MAX_KEY_ID_CHARS: usize = 2_048;

/// Attributes that only the service sets.
pub const READ_ONLY: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

const SETTABLE: [(&str, Kind, Option<&str>); 15] = [
    ("VisibilityTimeout", Kind::Number(0, MAX_VISIBILITY_S), Some("30")),
    ("DelaySeconds", Kind::Number(0, MAX_DELAY_S), Some("0")),
    ("ReceiveMessageWaitTimeSeconds", Kind::Number(0, MAX_WAIT_S), Some("0")),
    ("MessageRetentionPeriod", Kind::Number(60, 1_209_600), Some("345600")),
    ("MaximumMessageSize", Kind::Number(1_024, MAX_MESSAGE_BYTES as u64), Some("1048576")),
    ("SqsManagedSseEnabled", Kind::Flag, Some("true")),
    ("KmsMasterKeyId", Kind::Text(MAX_KEY_ID_CHARS), None),
    ("KmsDataKeyReusePeriodSeconds", Kind::Number(60, 86_400), None),
    ("Policy", Kind::Json, None),
    ("RedrivePolicy", Kind::Json, None),
    ("RedriveAllowPolicy", Kind::Json, None),
    ("FifoQueue", Kind::FifoFlag, None),
    ("ContentBasedDeduplication", Kind::FifoFlag, None),
    ("DeduplicationScope", Kind::FifoWord(&["queue", "messageGroup"]), None),
    ("FifoThroughputLimit", Kind::FifoWord(&["perQueue", "perMessageGroupId"]), None),
];

#[derive(Clone, Copy)]
enum Kind {
    Number(u64, u64),
    Flag,
    /// At most this many characters.
    Text(usize),
    /// At most [`MAX_POLICY_BYTES`].
    Json,
    /// `true` or `false`, on FIFO queues only.
    FifoFlag,
    /// One of these words, on FIFO queues only.
    FifoWord(&'static [&'static str]),
}

/// Seconds for which a data key is used unless the queue says otherwise (CreateQueue).
const DATA_KEY_REUSE_S: &str = "300";

/// Whether an attribute of this name exists.
pub fn is_known(name: &str) -> bool {
    READ_ONLY.contains(&name) || SETTABLE.iter().any(|(known, ..)| *known == name)
}

/// Whether a queue with these attributes is to be a FIFO queue.
pub fn wants_fifo(attributes: &QueueAttributes) -> bool {
    attributes.get("FifoQueue").and_then(|value| flag(value)) == Some(true)
}

/// The attributes of a queue that was created with nothing said.
pub fn defaults(fifo: bool) -> QueueAttributes {
    let mut attributes: QueueAttributes =
        SETTABLE.iter().filter_map(|(name, _, default)| Some(((*name).to_owned(), (*default)?.to_owned()))).collect();
    if fifo {
        for (name, value) in [
            ("FifoQueue", "true"),
            ("ContentBasedDeduplication", "false"),
            ("DeduplicationScope", "queue"),
            ("FifoThroughputLimit", "perQueue"),
        ] {
            attributes.insert(name.to_owned(), value.to_owned());
        }
    }
    attributes
}

/// Checks attributes that a client wants to set, and gives them as SQS writes them: flags in lower
/// case, counts as numbers.
///
/// # Errors
/// `InvalidAttributeName` for one that does not exist or cannot be set here,
/// `InvalidAttributeValue` for a bad value, `InvalidParameterValue` for a bad redrive policy.
pub fn checked(attributes: QueueAttributes, fifo: bool) -> SqsResult<QueueAttributes> {
    let checked = attributes.into_iter().map(|(name, value)| {
        let value = checked_value(&name, value, fifo)?;
        Ok((name, value))
    });
    let checked: QueueAttributes = checked.collect::<SqsResult<_>>()?;
    let is = |name: &str, word: &str| checked.get(name).is_some_and(|value| value == word);
    if is("SqsManagedSseEnabled", "true") && checked.get("KmsMasterKeyId").is_some_and(|key| !key.is_empty()) {
        let message = "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS \
                       SSE or SQS SSE.";
        return Err(SqsError::new(Code::InvalidAttributeName, message));
    }
    Ok(checked)
}

fn checked_value(name: &str, value: String, fifo: bool) -> SqsResult<String> {
    let unknown = || SqsError::new(Code::InvalidAttributeName, format!("Unknown Attribute {name}."));
    let invalid = || SqsError::new(Code::InvalidAttributeValue, format!("Invalid value for the parameter {name}."));
    let (_, kind, _) = SETTABLE.iter().find(|(known, ..)| *known == name).ok_or_else(unknown)?;
    match *kind {
        Kind::Number(min, max) => {
            let number: Option<u64> = value.parse().ok();
            number.filter(|number| (min..=max).contains(number)).map(|_| value).ok_or_else(invalid)
        }
        Kind::Text(max_chars) if value.chars().count() > max_chars => Err(invalid()),
        Kind::Text(_) => Ok(value),
        Kind::Json if value.len() > MAX_POLICY_BYTES => Err(invalid()),
        Kind::Json if value.is_empty() => Ok(value),
        Kind::Json => match name {
            "RedrivePolicy" => Redrive::checked(value),
            "RedriveAllowPolicy" => RedriveAllow::parse(&value).map(|_| value),
            _ if serde_json::from_str::<serde_json::Value>(&value).is_ok_and(|json| json.is_object()) => Ok(value),
            _ => Err(invalid()),
        },
        Kind::FifoFlag if !fifo => Err(unknown()),
        Kind::FifoWord(_) if !fifo => {
            let message = format!("You can specify the {name} only when FifoQueue is set to true.");
            Err(SqsError::new(Code::InvalidAttributeName, message))
        }
        Kind::Flag | Kind::FifoFlag => match flag(&value) {
            Some(false) if name == "FifoQueue" => {
                let message =
                    "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.";
                Err(SqsError::new(Code::InvalidAttributeValue, message))
            }
            Some(flag) => Ok(flag.to_string()),
            None => Err(invalid()),
        },
        Kind::FifoWord(words) if words.contains(&value.as_str()) => Ok(value),
        Kind::FifoWord(_) => Err(invalid()),
    }
}

/// `true` or `false` in any letter case.
fn flag(value: &str) -> Option<bool> {
    let is = |word: &str| value.eq_ignore_ascii_case(word);
    (is("true") || is("false")).then(|| is("true"))
}

/// Sets checked attributes; an empty value removes one. Of SQS's two kinds of encryption the one
/// that is set turns off the other.
pub fn merge(attributes: &mut QueueAttributes, new: QueueAttributes) {
    let with_key = new.get("KmsMasterKeyId").is_some_and(|key| !key.is_empty());
    let with_sqs_key = new.get("SqsManagedSseEnabled").is_some_and(|value| value == "true");
    attributes.extend(new);
    attributes.retain(|_, value| !value.is_empty());
    if with_key {
        attributes.insert("SqsManagedSseEnabled".to_owned(), "false".to_owned());
        let reuse = attributes.entry("KmsDataKeyReusePeriodSeconds".to_owned());
        reuse.or_insert_with(|| DATA_KEY_REUSE_S.to_owned());
    }
    if with_sqs_key {
        attributes.remove("KmsMasterKeyId");
    }
    if !attributes.contains_key("KmsMasterKeyId") {
        attributes.remove("KmsDataKeyReusePeriodSeconds");
    }
}

/// The first of these checked attributes that a queue does not have as it is.
pub fn difference<'a>(has: &QueueAttributes, wanted: &'a QueueAttributes) -> Option<&'a str> {
    let mut merged = has.clone();
    merge(&mut merged, wanted.clone());
    let same = |name: &str| match (has.get(name), merged.get(name)) {
        (Some(has), Some(wanted)) => {
            let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            has == wanted || json(has).is_some_and(|has| json(wanted) == Some(has))
        }
        (has, wanted) => has == wanted,
    };
    wanted.keys().map(String::as_str).find(|name| !same(name))
}

impl Settings {
    /// What these checked attributes mean.
    pub fn of(attributes: &QueueAttributes) -> Self {
        let number = |name: &str| attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or_default();
        let is = |name: &str, word: &str| attributes.get(name).is_some_and(|value| value == word);
        Self {
            visibility_s: number("VisibilityTimeout"),
            delay_s: number("DelaySeconds"),
            wait_s: number("ReceiveMessageWaitTimeSeconds"),
            retention_s: number("MessageRetentionPeriod"),
            max_message_bytes: number("MaximumMessageSize") as usize,
            content_dedup: is("ContentBasedDeduplication", "true"),
            dedup_per_group: is("DeduplicationScope", "messageGroup"),
            redrive: attributes.get("RedrivePolicy").and_then(|policy| Redrive::parse(policy).ok()),
        }
    }
}

#[cfg(test)]
mod tests;
