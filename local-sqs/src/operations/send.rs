//! SendMessage and SendMessageBatch.

use serde::{Deserialize, Serialize};
use wasq_sqs_rules as sqs_rules;

use super::{
    super::{
        attributes::{MAX_DELAY_S, Settings},
        dedup::First,
        digest,
        error::{Code, SqsError, SqsResult},
        message::{self, Attribute, AttributeValue, Attributes, Content, Head, MAX_MESSAGE_BYTES, TRACE_HEADER},
        queue::Queue,
        service::Service,
    },
    BatchAnswer, Caller, check_entries, in_range_or,
    messages::{Incoming, Receives},
    or_default,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SendMessage {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(flatten)]
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SendMessageBatch {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(default, deserialize_with = "or_default")]
    entries: Vec<BatchEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEntry {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(flatten)]
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default, deserialize_with = "or_default")]
    message_body: String,
    delay_seconds: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    message_attributes: Attributes,
    #[serde(default, deserialize_with = "or_default")]
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
    pub async fn send_message(&self, request: SendMessage, caller: &Caller) -> SqsResult<Sent> {
        let queue = self.at(&request.queue_url, caller)?;
        let settings = queue.living_state()?.settings.clone();
        let (sent, incoming) = prepare(request.message, &queue, &settings, caller, false)?;
        let stored = self.store(&queue, vec![incoming], None).await?;
        Ok(sent.stored_as(stored[0], &queue))
    }

    pub async fn send_message_batch(&self, request: SendMessageBatch, caller: &Caller) -> SqsResult<BatchAnswer<Sent>> {
        let queue = self.at(&request.queue_url, caller)?;
        check_entries("SendMessageBatchRequestEntry", request.entries.iter().map(|entry| entry.id.as_str()))?;
        let size = |entry: &BatchEntry| message::size(&entry.message.message_body, &entry.message.message_attributes);
        let bytes: usize = request.entries.iter().map(size).sum();
        if bytes > MAX_MESSAGE_BYTES {
            let message =
                format!("Batch requests cannot be longer than {MAX_MESSAGE_BYTES} bytes. You have sent {bytes} bytes.");
            return Err(SqsError::new(Code::BatchRequestTooLong, message));
        }
        let settings = queue.living_state()?.settings.clone();
        for entry in request.entries.iter().filter(|_| queue.fifo) {
            // One entry without its ids fails the whole batch, in SQS with another code than alone.
            check_fifo_ids(&entry.message, &settings)
                .map_err(|error| SqsError::new(Code::InvalidParameterValue, error.message))?;
        }
        let mut answer = BatchAnswer::default();
        let (mut prepared, mut incoming) = (Vec::new(), Vec::new());
        for entry in request.entries {
            match prepare(entry.message, &queue, &settings, caller, true) {
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

/// Checks a message, of a batch or alone, and readies its answer.
fn prepare(
    message: Message,
    queue: &Queue,
    settings: &Settings,
    caller: &Caller,
    in_batch: bool,
) -> SqsResult<(Sent, Incoming)> {
    let (attributes, system) = (&message.message_attributes, &message.message_system_attributes);
    message::check(&message.message_body, attributes, system)?;
    message::check_size(&message.message_body, attributes, settings.max_message_bytes, in_batch)?;
    let reason = || format!("DelaySeconds must be >= 0 and <= {MAX_DELAY_S}.");
    let delay_s = in_range_or("DelaySeconds", message.delay_seconds, 0, MAX_DELAY_S, reason)?;
    for (name, id) in
        [("MessageGroupId", &message.message_group_id), ("MessageDeduplicationId", &message.message_deduplication_id)]
    {
        if let Some(id) = id {
            check_id(name, id)?;
        }
    }
    // A FIFO queue's messages are all delayed alike, and 0 says nothing there.
    let delay_s = delay_s.filter(|delay_s| !queue.fifo || *delay_s > 0);
    let dedup_id = if queue.fifo {
        check_fifo_ids(&message, settings)?;
        if let Some(delay_s) = delay_s {
            return Err(not_for_this_type("DelaySeconds", &delay_s.to_string()));
        }
        Some(message.message_deduplication_id.unwrap_or_else(|| digest::dedup_id(message.message_body.as_bytes())))
    } else {
        if let Some(id) = message.message_deduplication_id {
            return Err(not_for_this_type("MessageDeduplicationId", &id));
        }
        None
    };
    let sent = Sent {
        id: None,
        message_id: String::new(),
        md5_of_message_body: digest::of_body(message.message_body.as_bytes()),
        md5_of_message_attributes: digest::of_attributes(attributes),
        md5_of_message_system_attributes: digest::of_attributes(system),
        sequence_number: None,
    };
    let head = Head {
        md5: sent.md5_of_message_body.clone(),
        attributes: message.message_attributes,
        trace: message.message_system_attributes.into_iter().find_map(trace).or_else(|| caller.trace.clone()),
        dedup_id: dedup_id.clone(),
        dead_letter_source: None,
    };
    let delay_ms = delay_s.unwrap_or(settings.delay_s) * 1_000;
    let content = Content { head, body: message.message_body };
    Ok((sent, Incoming { content, group: message.message_group_id, dedup_id, delay_ms, kept: Receives::default() }))
}

/// A FIFO queue's messages need a group, and a deduplication id unless the content makes one.
fn check_fifo_ids(message: &Message, settings: &Settings) -> SqsResult<()> {
    if message.message_group_id.is_none() {
        return Err(SqsError::missing("MessageGroupId"));
    }
    if message.message_deduplication_id.is_none() && !settings.content_dedup {
        let message = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                       provided explicitly";
        return Err(SqsError::new(Code::InvalidParameterValue, message));
    }
    Ok(())
}

fn trace((name, attribute): (String, Attribute)) -> Option<String> {
    match attribute.value {
        AttributeValue::Text(text) if name == TRACE_HEADER => Some(text),
        _ => None,
    }
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
