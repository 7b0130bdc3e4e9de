//! A queue's attributes: which there are, what they may hold, and what they mean.

use std::collections::BTreeMap;

use serde::Deserialize;

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

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The dead-letter queue's name.
    pub target: String,
    pub max_receives: u32,
}

/// Longest visibility timeout, and longest time from receipt that it may reach: 12 hours.
pub const MAX_VISIBILITY_S: u64 = 43_200;
/// Longest delay of a message.
pub const MAX_DELAY_S: u64 = 900;
/// Longest long poll.
pub const MAX_WAIT_S: u64 = 20;

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
    ("KmsMasterKeyId", Kind::Text, None),
    ("KmsDataKeyReusePeriodSeconds", Kind::Number(60, 86_400), None),
    ("Policy", Kind::Json, None),
    ("RedrivePolicy", Kind::Json, None),
    ("RedriveAllowPolicy", Kind::Json, None),
    ("FifoQueue", Kind::Flag, None),
    ("ContentBasedDeduplication", Kind::Fifo(&["true", "false"]), None),
    ("DeduplicationScope", Kind::Fifo(&["queue", "messageGroup"]), None),
    ("FifoThroughputLimit", Kind::Fifo(&["perQueue", "perMessageGroupId"]), None),
];

#[derive(Clone, Copy)]
enum Kind {
    Number(u64, u64),
    Flag,
    Text,
    Json,
    /// One of these words, on FIFO queues only.
    Fifo(&'static [&'static str]),
}

/// Whether an attribute of this name exists.
pub fn is_known(name: &str) -> bool {
    READ_ONLY.contains(&name) || SETTABLE.iter().any(|(known, ..)| *known == name)
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

/// Checks attributes that a client wants to set.
///
/// # Errors
/// `InvalidAttributeName` for one that does not exist or cannot be set here,
/// `InvalidAttributeValue` for a bad value.
pub fn check(attributes: &QueueAttributes, fifo: bool) -> SqsResult<()> {
    for (name, value) in attributes {
        let unknown = || SqsError::new(Code::InvalidAttributeName, format!("Unknown Attribute {name}."));
        let (_, kind, _) = SETTABLE.iter().find(|(known, ..)| known == name).ok_or_else(unknown)?;
        let valid = match *kind {
            Kind::Number(min, max) => value.parse().is_ok_and(|number| (min..=max).contains(&number)),
            Kind::Flag => matches!(value.as_str(), "true" | "false"),
            Kind::Text => true,
            Kind::Json => value.is_empty() || serde_json::from_str::<serde_json::Value>(value).is_ok(),
            Kind::Fifo(_) if !fifo => return Err(unknown()),
            Kind::Fifo(words) => words.contains(&value.as_str()),
        };
        // SQS knows FifoQueue only as "true", and only for names that end in .fifo.
        if name == "FifoQueue" && !(fifo && value == "true") {
            return Err(unknown());
        }
        if !valid {
            let message = format!("Invalid value for the parameter {name}.");
            return Err(SqsError::new(Code::InvalidAttributeValue, message));
        }
    }
    if let Some(policy) = attributes.get("RedrivePolicy") {
        redrive(policy)?;
    }
    if let Some(policy) = attributes.get("RedriveAllowPolicy") {
        RedriveAllow::parse(policy)?;
    }
    Ok(())
}

impl Settings {
    /// What these checked attributes mean.
    pub fn of(attributes: &QueueAttributes) -> Self {
        let number = |name: &str| attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or_default();
        let is = |name: &str, word: &str| attributes.get(name).is_some_and(|value| value == word);
        let policy = attributes.get("RedrivePolicy").map(|policy| redrive(policy));
        Self {
            visibility_s: number("VisibilityTimeout"),
            delay_s: number("DelaySeconds"),
            wait_s: number("ReceiveMessageWaitTimeSeconds"),
            retention_s: number("MessageRetentionPeriod"),
            max_message_bytes: number("MaximumMessageSize") as usize,
            content_dedup: is("ContentBasedDeduplication", "true"),
            dedup_per_group: is("DeduplicationScope", "messageGroup"),
            redrive: policy.and_then(|policy| policy.ok().flatten()),
        }
    }
}

/// The queue's name in an ARN. Region and account are not compared: there is one of each here.
pub fn name_in_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let (arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, _account, name) = (parts.next()?, parts.next()?, parts.next()?);
    (arn == "arn" && service == "sqs" && parts.next().is_none()).then_some(name)
}

fn redrive(policy: &str) -> SqsResult<Option<Redrive>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        dead_letter_target_arn: String,
        // Clients write it as a number or as text.
        max_receive_count: serde_json::Value,
    }
    const MAX_RECEIVES: std::ops::RangeInclusive<u32> = 1..=1_000;

    if policy.is_empty() {
        return Ok(None);
    }
    let invalid = |reason: &str| SqsError::invalid_value("RedrivePolicy", policy, reason);
    let parsed: Policy = serde_json::from_str(policy).map_err(|error| invalid(&error.to_string()))?;
    let max_receives = match &parsed.max_receive_count {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let max_receives = max_receives
        .filter(|max| MAX_RECEIVES.contains(max))
        .ok_or_else(|| invalid("Invalid value for maxReceiveCount: it must be between 1 and 1000."))?;
    let target = name_in_arn(&parsed.dead_letter_target_arn)
        .ok_or_else(|| invalid("Invalid value for deadLetterTargetArn."))?
        .to_owned();
    Ok(Some(Redrive { target, max_receives }))
}

/// Which queues may use a queue as their dead-letter queue.
#[derive(Debug, PartialEq, Eq)]
pub enum RedriveAllow {
    All,
    None,
    /// Those with these names.
    Only(Vec<String>),
}

impl RedriveAllow {
    /// Reads the attribute's value; empty means all.
    ///
    /// # Errors
    /// `InvalidParameterValue` for what is no such policy.
    pub fn parse(policy: &str) -> SqsResult<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Policy {
            redrive_permission: String,
            #[serde(default)]
            source_queue_arns: Vec<String>,
        }
        const MAX_SOURCES: usize = 10;

        if policy.is_empty() {
            return Ok(Self::All);
        }
        let invalid = |reason: &str| SqsError::invalid_value("RedriveAllowPolicy", policy, reason);
        let parsed: Policy = serde_json::from_str(policy).map_err(|error| invalid(&error.to_string()))?;
        match parsed.redrive_permission.as_str() {
            "allowAll" => Ok(Self::All),
            "denyAll" => Ok(Self::None),
            "byQueue" if !(1..=MAX_SOURCES).contains(&parsed.source_queue_arns.len()) => {
                Err(invalid("byQueue needs 1 to 10 sourceQueueArns."))
            }
            "byQueue" => {
                let names = parsed.source_queue_arns.iter().map(|arn| name_in_arn(arn).map(str::to_owned));
                let names: Option<Vec<_>> = names.collect();
                names.map(Self::Only).ok_or_else(|| invalid("sourceQueueArns holds something that is no queue's ARN."))
            }
            _ => Err(invalid("redrivePermission must be allowAll, denyAll or byQueue.")),
        }
    }

    /// Whether the queue of this name may.
    pub fn allows(&self, source: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(names) => names.iter().any(|name| name == source),
        }
    }
}

#[cfg(test)]
mod tests;
