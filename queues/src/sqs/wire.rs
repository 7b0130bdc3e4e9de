//! The three hot calls as SQS's JSON protocol has them, read straight into what the host works
//! with.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_sdk_sqs::types::BatchResultErrorEntry;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::Instant;
use wasq_core::aws::direct::DirectAnswer;
use wasq_core::message::{AttributeData, AttributeValue, Delivery, MessageId, Receipt, UnixMs};

use super::error;
use crate::queue::QueueError;

/// Asks for errors by the codes of the older protocol, too, as the SDK does.
pub static HEADERS: [(HeaderName, HeaderValue); 1] =
    [(HeaderName::from_static("x-amzn-query-mode"), HeaderValue::from_static("true"))];
const QUERY_ERROR: &str = "x-amzn-query-error";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Receive<'a> {
    pub queue_url: &'a str,
    pub max_number_of_messages: usize,
    pub wait_time_seconds: u64,
    pub visibility_timeout: u64,
    pub message_attribute_names: [&'static str; 1],
    pub message_system_attribute_names: [&'a str; 5],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Received {
    /// Left out, or null, where there is none.
    pub messages: Option<Vec<Message>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Message {
    message_id: String,
    receipt_handle: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: System,
    message_attributes: Option<BTreeMap<String, Attribute>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct System {
    #[serde(deserialize_with = "number")]
    approximate_receive_count: Option<u64>,
    #[serde(deserialize_with = "number")]
    sent_timestamp: Option<u64>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
    #[serde(rename = "AWSTraceHeader")]
    aws_trace_header: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    data_type: String,
    string_value: Option<String>,
    #[serde(default, deserialize_with = "base64")]
    binary_value: Option<Bytes>,
}

/// A number that is written as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    text.map(|text| BASE64.decode(text.as_ref()).map(Bytes::from).map_err(D::Error::custom)).transpose()
}

impl Message {
    pub fn delivery(self, received_at: Instant) -> Delivery {
        let attributes = self.message_attributes.unwrap_or_default().into_iter().map(|(name, value)| {
            let data = match value.binary_value {
                Some(bytes) => AttributeData::Binary(bytes),
                None => AttributeData::Text(value.string_value.unwrap_or_default()),
            };
            (name, AttributeValue { data_type: value.data_type, value: data })
        });
        let sent_at = UnixMs(self.attributes.sent_timestamp.unwrap_or(0));
        Delivery {
            message_id: MessageId(self.message_id),
            receipt: Receipt(self.receipt_handle),
            body: Bytes::from(self.body),
            attributes: attributes.collect(),
            receive_count: self.attributes.approximate_receive_count.unwrap_or(1) as u32,
            sent_at,
            enqueued_at: sent_at,
            group: self.attributes.message_group_id,
            deduplication_id: self.attributes.message_deduplication_id,
            trace_header: self.attributes.aws_trace_header,
            received_at,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Batch<'a> {
    pub queue_url: &'a str,
    pub entries: Vec<BatchRequestEntry<'a>>,
}

/// An entry of either batch: its index among the others is its id.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchRequestEntry<'a> {
    pub id: String,
    pub receipt_handle: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility_timeout: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BatchAnswer {
    pub successful: Vec<Done>,
    failed: Vec<BatchFailure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Done {
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchFailure {
    id: String,
    code: String,
    message: Option<String>,
    #[serde(default)]
    sender_fault: bool,
}

impl BatchAnswer {
    /// As the SDK has them.
    pub fn failed(&mut self) -> Vec<BatchResultErrorEntry> {
        let entries = self.failed.drain(..).map(|entry| {
            BatchResultErrorEntry::builder()
                .id(entry.id)
                .code(entry.code)
                .set_message(entry.message)
                .sender_fault(entry.sender_fault)
                .build()
                .expect("id, code and fault are set")
        });
        entries.collect()
    }
}

/// An answer that is an error.
#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    code: String,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// What an answer says.
///
/// # Errors
/// SQS's refusal, or that it cannot be read.
pub fn read<A: DeserializeOwned>(answer: &DirectAnswer) -> Result<A, QueueError> {
    let unread = |error: serde_json::Error| error::unreadable(&format!("HTTP {}: {error}", answer.status));
    if answer.status == 200 {
        return serde_json::from_slice(&answer.body).map_err(unread);
    }
    let refusal: Refusal = serde_json::from_slice(&answer.body).map_err(unread)?;
    // `AWS.SimpleQueueService.NonExistentQueue;Sender`
    let query_error = answer.headers.get(QUERY_ERROR).and_then(|text| text.split(';').next());
    let code = query_error.unwrap_or(&refusal.code);
    Err(error::refused(code, refusal.message.unwrap_or_default()))
}
