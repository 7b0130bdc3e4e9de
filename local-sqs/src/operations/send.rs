//! SendMessage and SendMessageBatch.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasq_sqs_rules as sqs_rules;

use super::{
    super::{
        attributes::{MAX_DELAY_S, Settings},
        dedup::First,
        error::{Code, SqsError, SqsResult},
        md5,
        message::{self, Attribute, AttributeValue, Attributes, Content, Head, MAX_MESSAGE_BYTES, TRACE_HEADER},
        service::{Queue, Service},
    },
    BatchAnswer, check_entries, in_range,
    messages::{Incoming, Receives},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SendMessage {
    #[serde(default)]
    queue_url: String,
    #[serde(flatten)]
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SendMessageBatch {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    entries: Vec<BatchEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEntry {
    #[serde(default)]
    id: String,
    #[serde(flatten)]
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default)]
    message_body: String,
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: Attributes,
    #[serde(default)]
    message_system_attributes: Attributes,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

/// What a sender learns of its message.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_message_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_message_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_message_system_attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

impl Service {
    pub async fn send_message(&self, request: SendMessage) -> SqsResult<Sent> {
        let queue = self.at(&request.queue_url)?;
        let settings = queue.living_state()?.settings.clone();
        let (sent, incoming) = prepare(request.message, &queue, &settings)?;
        let stored = self.store(&queue, vec![incoming], None).await?;
        Ok(sent.stored_as(stored[0], &queue))
    }

    pub async fn send_message_batch(&self, request: SendMessageBatch) -> SqsResult<BatchAnswer<Sent>> {
        let queue = self.at(&request.queue_url)?;
        check_entries(request.entries.iter().map(|entry| entry.id.as_str()))?;
        let size = |entry: &BatchEntry| message::size(&entry.message.message_body, &entry.message.message_attributes);
        let bytes: usize = request.entries.iter().map(size).sum();
        if bytes > MAX_MESSAGE_BYTES {
            let message =
                format!("Batch requests cannot be longer than {MAX_MESSAGE_BYTES} bytes. You have sent {bytes} bytes.");
            return Err(SqsError::new(Code::BatchRequestTooLong, message));
        }
        let settings = queue.living_state()?.settings.clone();
        let mut answer = BatchAnswer::default();
        let (mut prepared, mut incoming) = (Vec::new(), Vec::new());
        for entry in request.entries {
            match prepare(entry.message, &queue, &settings) {
                Ok((sent, message)) => {
                    prepared.push(Sent { id: Some(entry.id), ..sent });
                    incoming.push(message);
                }
                Err(error) => answer.add(&entry.id, Err(error)),
            }
        }
        let stored = self.store(&queue, incoming, None).await?;
        answer.successful.extend(prepared.into_iter().zip(stored).map(|(sent, first)| sent.stored_as(first, &queue)));
        Ok(answer)
    }
}

impl Sent {
    fn stored_as(self, first: First, queue: &Queue) -> Self {
        let sequence_number = queue.fifo.then(|| super::receive::sequence_number(first.seq));
        Self { message_id: first.id.to_string(), sequence_number, ..self }
    }
}

/// Checks a message and readies its answer.
fn prepare(message: Message, queue: &Arc<Queue>, settings: &Settings) -> SqsResult<(Sent, Incoming)> {
    let (attributes, system) = (message.message_attributes, message.message_system_attributes);
    message::check(&message.message_body, &attributes, &system, settings.max_message_bytes)?;
    let delay_s = in_range("DelaySeconds", message.delay_seconds, 0, MAX_DELAY_S)?;
    for (name, id) in
        [("MessageGroupId", &message.message_group_id), ("MessageDeduplicationId", &message.message_deduplication_id)]
    {
        if let Some(id) = id {
            check_id(name, id)?;
        }
    }
    let dedup_id = if queue.fifo {
        if message.message_group_id.is_none() {
            return Err(SqsError::missing("MessageGroupId"));
        }
        if let Some(delay_s) = delay_s.filter(|delay_s| *delay_s > 0) {
            return Err(not_for_this_type("DelaySeconds", &delay_s.to_string()));
        }
        let by_content = || settings.content_dedup.then(|| content_hash(&message.message_body));
        let id = message.message_deduplication_id.or_else(by_content);
        Some(id.ok_or_else(|| {
            let message = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                           provided explicitly";
            SqsError::new(Code::InvalidParameterValue, message)
        })?)
    } else {
        if let Some(id) = message.message_deduplication_id {
            return Err(not_for_this_type("MessageDeduplicationId", &id));
        }
        None
    };
    let sent = Sent {
        id: None,
        message_id: String::new(),
        md5_of_message_body: md5::of_body(message.message_body.as_bytes()),
        md5_of_message_attributes: md5::of_attributes(&attributes),
        md5_of_message_system_attributes: md5::of_attributes(&system),
        sequence_number: None,
    };
    let head = Head {
        md5: sent.md5_of_message_body.clone(),
        attributes,
        trace: system.into_iter().find_map(trace),
        dedup_id: dedup_id.clone(),
        dead_letter_source: None,
    };
    let delay_ms = delay_s.unwrap_or(settings.delay_s) * 1_000;
    let content = Content { head, body: message.message_body };
    Ok((sent, Incoming { content, group: message.message_group_id, dedup_id, delay_ms, kept: Receives::default() }))
}

fn trace((name, attribute): (String, Attribute)) -> Option<String> {
    match attribute.value {
        AttributeValue::Text(text) if name == TRACE_HEADER => Some(text),
        _ => None,
    }
}

/// The deduplication id of a message that brings none: SHA-256 in SQS, and any good hash serves.
fn content_hash(body: &str) -> String {
    blake3::hash(body.as_bytes()).to_hex().to_string()
}

fn not_for_this_type(parameter: &str, value: &str) -> SqsError {
    let reason = "The request include parameter that is not valid for this queue type.";
    SqsError::invalid_value(parameter, value, reason)
}

fn check_id(parameter: &str, id: &str) -> SqsResult<()> {
    if sqs_rules::is_id(id) {
        return Ok(());
    }
    let reason = format!("{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.");
    Err(SqsError::invalid_value(parameter, id, &reason))
}
