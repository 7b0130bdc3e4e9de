//! The queue on Amazon SQS, by way of its SDK; any endpoint that speaks SQS will do.

mod direct;
mod error;
mod request_template;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::IdentityCache;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use bytes::Bytes;
use parking_lot::Mutex;
use wasq_core::aws::AwsConfig;
use wasq_core::message::{AttributeData, AttributeValue, Delivery, MessageId, Receipt, UnixMs};
use wasq_core::{aws, clock};

use direct::DirectError;
use error::{by_code, classify};
use request_template::RequestTemplates;

use crate::attributes::QueueAttributes;
use crate::queue::{BATCH_MAX_ENTRIES, Outgoing, Queue, QueueError, batches};
use crate::queue_ref::QueueRef;

/// How long any call but a receive may take, an attempt.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than its wait a receive may take: it can hang.
const RECEIVE_GRACE: Duration = Duration::from_secs(5);
/// Attempts of a call within the SDK, with its jittered backoff.
const CALL_ATTEMPTS: u32 = 3;

/// The calls of every message, as SQS's JSON protocol names them.
const RECEIVE: &str = "AmazonSQS.ReceiveMessage";
const DELETE_BATCH: &str = "AmazonSQS.DeleteMessageBatch";
const CHANGE_VISIBILITY_BATCH: &str = "AmazonSQS.ChangeMessageVisibilityBatch";

/// What a delivery has of a message's system attributes.
const SYSTEM_ATTRIBUTES: [MessageSystemAttributeName; 5] = [
    MessageSystemAttributeName::ApproximateReceiveCount,
    MessageSystemAttributeName::SentTimestamp,
    MessageSystemAttributeName::MessageGroupId,
    MessageSystemAttributeName::MessageDeduplicationId,
    MessageSystemAttributeName::AwsTraceHeader,
];

/// Clients for one account and region.
#[derive(Clone)]
pub struct Sqs {
    shared: Arc<SdkConfig>,
    sdk_only: bool,
    /// Those of other regions, made when a queue there is first named.
    others: Arc<Mutex<HashMap<String, Sqs>>>,
    calls: Client,
    /// Its receives are tried once: the worker's own loop backs off, and counts what fails.
    receives: Client,
    /// What the SDK's calls fill in, for those that are made without it.
    templates: RequestTemplates,
}

impl Sqs {
    /// For the account, region and endpoint that [`aws::sdk_config`] finds.
    pub async fn connect(aws: &AwsConfig) -> Self {
        Self::with(&aws::sdk_config(aws).await, aws.sdk_only)
    }

    /// As the SDK's config says.
    pub fn new(shared: &SdkConfig) -> Self {
        Self::with(shared, false)
    }

    fn with(shared: &SdkConfig, sdk_only: bool) -> Self {
        let templates = RequestTemplates::new(shared.identity_cache().unwrap_or_else(|| IdentityCache::lazy().build()));
        let mut calls = aws_sdk_sqs::config::Builder::from(shared);
        // Without them no template is ever filled in, and every call is the SDK's.
        if !sdk_only {
            calls = calls.identity_cache(templates.clone()).interceptor(templates.clone());
        }
        let calls = calls
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(CALL_TIMEOUT).build())
            .retry_config(RetryConfig::standard().with_max_attempts(CALL_ATTEMPTS));
        let receives = calls.clone().timeout_config(TimeoutConfig::disabled()).retry_config(RetryConfig::disabled());
        Self {
            shared: Arc::new(shared.clone()),
            sdk_only,
            others: Arc::default(),
            calls: Client::from_conf(calls.build()),
            receives: Client::from_conf(receives.build()),
            templates,
        }
    }

    /// The clients for a queue that says its region: SQS is asked there, and calls are signed for
    /// it.
    fn in_region(&self, region: Option<&str>) -> Self {
        let is_ours = |region: &&str| self.shared.region().is_some_and(|ours| ours.as_ref() == *region);
        let Some(region) = region.filter(|region| !is_ours(region)) else { return self.clone() };
        let mut others = self.others.lock();
        let there = || {
            let shared = self.shared.to_builder().region(Region::new(region.to_owned())).build();
            Self::with(&shared, self.sdk_only)
        };
        others.entry(region.to_owned()).or_insert_with(there).clone()
    }

    /// The SDK's client, for rare calls.
    pub fn client(&self) -> &Client {
        &self.calls
    }

    /// A queue by its name, URL or ARN, in the account and region that these say.
    pub async fn queue(&self, named: &str) -> Result<SqsQueue, QueueError> {
        let reference = QueueRef::parse(named)
            .map_err(|error| QueueError::Permanent { code: "Configuration".into(), message: error.to_string() })?;
        let sqs = self.in_region(reference.region());
        let url = match &reference {
            QueueRef::Name(name) => sqs.url_of(name, None).await?,
            QueueRef::Url { url, .. } => url.clone(),
            QueueRef::Arn(arn) => match sqs.url_of(&arn.name, Some(&arn.account)).await {
                // Another account's policy often allows sending and receiving alone. At AWS the URL
                // is known without asking.
                Err(error) if error.says_denied() => arn.url(),
                answer => answer?,
            },
        };
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(SqsQueue { sqs, url, name })
    }

    async fn url_of(&self, name: &str, owner: Option<&str>) -> Result<String, QueueError> {
        let call = self.calls.get_queue_url().queue_name(name).set_queue_owner_aws_account_id(owner.map(str::to_owned));
        let answer = call.send().await.map_err(|error| classify(&error))?;
        Ok(answer.queue_url().unwrap_or_default().to_owned())
    }
}

/// One queue on SQS.
#[derive(Clone)]
pub struct SqsQueue {
    sqs: Sqs,
    url: String,
    name: String,
}

impl SqsQueue {
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The region in which it is asked.
    pub fn region(&self) -> Option<String> {
        self.sqs.shared.region().map(ToString::to_string)
    }

    pub fn is_fifo(&self) -> bool {
        Queue::is_fifo(self)
    }

    /// Whether its counts and its empty answers can be trusted at once. AWS answers from a fleet of servers: a short poll
    /// may miss some, and the counts follow within a minute (GetQueueAttributes' page). An endpoint on this machine is one.
    pub fn is_exact(&self) -> bool {
        aws::is_loopback(&self.url)
    }

    /// The URLs of the queues whose redrive policy names this one.
    pub async fn sources(&self) -> Result<Vec<String>, QueueError> {
        let mut urls = Vec::new();
        let mut pages = self.sqs.calls.list_dead_letter_source_queues().queue_url(&self.url).into_paginator().send();
        while let Some(page) = pages.next().await {
            urls.extend(page.map_err(|error| classify(&error))?.queue_urls);
        }
        Ok(urls)
    }
}

#[async_trait]
impl Queue for SqsQueue {
    fn name(&self) -> &str {
        &self.name
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let received_at = clock::now();
        let (max, within) = (max.min(BATCH_MAX_ENTRIES), wait + RECEIVE_GRACE);
        let request = wire::Receive {
            queue_url: &self.url,
            max_number_of_messages: max,
            wait_time_seconds: wait.as_secs(),
            visibility_timeout: visibility.as_secs(),
            message_attribute_names: ["All"],
            message_system_attribute_names: SYSTEM_ATTRIBUTES.each_ref().map(MessageSystemAttributeName::as_str),
        };
        match self.sqs.templates.call::<wire::Received>(RECEIVE, &request, within).await {
            Ok(answer) => {
                let messages = answer.messages.unwrap_or_default();
                return Ok(messages.into_iter().map(|message| message.delivery(received_at)).collect());
            }
            Err(DirectError::Call(error)) => return Err(error),
            Err(DirectError::NoTemplate) => {}
        }
        let call = self
            .sqs
            .receives
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(max as i32)
            .wait_time_seconds(wait.as_secs() as i32)
            .visibility_timeout(visibility.as_secs() as i32)
            .message_attribute_names("All")
            .set_message_system_attribute_names(Some(SYSTEM_ATTRIBUTES.to_vec()));
        // The SDK's own timeout would be a config of its own for each call, which costs more than the rest of the call.
        let answer = tokio::time::timeout(within, call.send()).await.map_err(|_| error::no_answer_in_time())?;
        let answer = answer.map_err(|error| classify(&error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(|message| delivery(message, received_at)).collect())
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        let entries = receipts.iter().map(|receipt| (receipt, None));
        if let Some(answers) = self.direct_batch(DELETE_BATCH, entries).await {
            return answers;
        }
        let entries = receipts.iter().enumerate().map(|(index, receipt)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&receipt.0)
                .build()
                .expect("id and handle are set")
        });
        let call = self.sqs.calls.delete_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
        match call.send().await {
            Ok(answer) => {
                by_place(receipts.len(), answer.successful.iter().map(|s| (s.id.as_str(), ())), &answer.failed)
            }
            Err(error) => vec![Err(classify(&error)); receipts.len()],
        }
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        let entries = changes.iter().map(|(receipt, visibility_s)| (receipt, Some(*visibility_s)));
        if let Some(answers) = self.direct_batch(CHANGE_VISIBILITY_BATCH, entries).await {
            return answers;
        }
        let entries = changes.iter().enumerate().map(|(index, (receipt, visibility_s))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&receipt.0)
                .visibility_timeout(*visibility_s as i32)
                .build()
                .expect("id and handle are set")
        });
        let call =
            self.sqs.calls.change_message_visibility_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
        match call.send().await {
            Ok(answer) => {
                by_place(changes.len(), answer.successful.iter().map(|s| (s.id.as_str(), ())), &answer.failed)
            }
            Err(error) => vec![Err(classify(&error)); changes.len()],
        }
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        let mut answers = Vec::with_capacity(messages.len());
        for batch in batches(messages) {
            answers.extend(self.send_batch(batch).await);
        }
        answers
    }

    async fn attributes(&self) -> Result<QueueAttributes, QueueError> {
        let call = self.sqs.calls.get_queue_attributes().queue_url(&self.url).attribute_names(QueueAttributeName::All);
        let answer = call.send().await.map_err(|error| classify(&error))?;
        let attributes = answer.attributes.unwrap_or_default();
        Ok(attributes.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect())
    }
}

impl SqsQueue {
    /// A batch without the SDK. None where the SDK is to make it, or to make it again.
    async fn direct_batch<'a>(
        &self,
        operation: &'static str,
        entries: impl Iterator<Item = (&'a Receipt, Option<u32>)>,
    ) -> Option<Vec<Result<(), QueueError>>> {
        let entries: Vec<_> = entries
            .enumerate()
            .map(|(index, (receipt, visibility_timeout))| wire::BatchRequestEntry {
                id: index.to_string(),
                receipt_handle: &receipt.0,
                visibility_timeout,
            })
            .collect();
        let (len, request) = (entries.len(), wire::Batch { queue_url: &self.url, entries });
        let mut answer: wire::BatchAnswer = self.sqs.templates.call(operation, &request, CALL_TIMEOUT).await.ok()?;
        let failed = answer.failed();
        Some(by_place(len, answer.successful.iter().map(|done| (done.id.as_str(), ())), &failed))
    }

    async fn send_batch(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        let entries: Result<Vec<_>, QueueError> =
            messages.iter().enumerate().map(|(index, message)| self.send_entry(index, message)).collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return vec![Err(error); messages.len()],
        };
        match self.sqs.calls.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let sent = answer.successful.iter().map(|s| (s.id.as_str(), MessageId(s.message_id.clone())));
                by_place(messages.len(), sent, &answer.failed)
            }
            Err(error) => vec![Err(classify(&error)); messages.len()],
        }
    }

    fn send_entry(&self, index: usize, message: &Outgoing) -> Result<SendMessageBatchRequestEntry, QueueError> {
        let body = std::str::from_utf8(&message.body).map_err(|error| QueueError::Permanent {
            code: "InvalidMessageContents".into(),
            message: format!("the body is not UTF-8: {error}"),
        })?;
        let attributes = message.attributes.iter().map(|(name, value)| (name.clone(), to_sdk(value)));
        let delay_s = (message.delay_s > 0).then_some(message.delay_s as i32);
        Ok(SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(body)
            .set_message_attributes(Some(attributes.collect()))
            .set_delay_seconds(delay_s)
            .set_message_group_id(message.group.clone())
            .set_message_deduplication_id(message.deduplication_id.clone())
            .build()
            .expect("id and body are set"))
    }
}

/// Sorts a batch's answer back into the order of its entries. An entry that the answer does not name was not done.
fn by_place<'a, T>(
    len: usize,
    successful: impl Iterator<Item = (&'a str, T)>,
    failed: &[BatchResultErrorEntry],
) -> Vec<Result<T, QueueError>> {
    let missing =
        || QueueError::Transient { code: "NoAnswer".into(), message: "the batch's answer leaves it out".into() };
    let mut answers: Vec<Result<T, QueueError>> = (0..len).map(|_| Err(missing())).collect();
    for (id, value) in successful {
        if let Some(answer) = id.parse::<usize>().ok().and_then(|index| answers.get_mut(index)) {
            *answer = Ok(value);
        }
    }
    for entry in failed {
        if let Some(answer) = entry.id.parse::<usize>().ok().and_then(|index| answers.get_mut(index)) {
            let message = entry.message.clone().unwrap_or_default();
            *answer = Err(by_code(&entry.code, message, entry.sender_fault));
        }
    }
    answers
}

fn delivery(message: aws_sdk_sqs::types::Message, received_at: tokio::time::Instant) -> Delivery {
    let system = message.attributes.unwrap_or_default();
    let text = |name: MessageSystemAttributeName| system.get(&name).cloned();
    let number = |name| text(name).and_then(|value| value.parse::<u64>().ok());
    let attributes =
        message.message_attributes.unwrap_or_default().into_iter().map(|(name, value)| (name, from_sdk(value)));
    Delivery {
        message_id: MessageId(message.message_id.unwrap_or_default()),
        receipt: Receipt(message.receipt_handle.unwrap_or_default()),
        body: Bytes::from(message.body.unwrap_or_default()),
        attributes: attributes.collect(),
        receive_count: number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1) as u32,
        sent_at: UnixMs(number(MessageSystemAttributeName::SentTimestamp).unwrap_or(0)),
        group: text(MessageSystemAttributeName::MessageGroupId),
        deduplication_id: text(MessageSystemAttributeName::MessageDeduplicationId),
        trace_header: text(MessageSystemAttributeName::AwsTraceHeader),
        received_at,
    }
}

fn from_sdk(value: MessageAttributeValue) -> AttributeValue {
    let data = match value.binary_value {
        Some(blob) => AttributeData::Binary(Bytes::from(blob.into_inner())),
        None => AttributeData::Text(value.string_value.unwrap_or_default()),
    };
    AttributeValue { data_type: value.data_type, value: data }
}

fn to_sdk(value: &AttributeValue) -> MessageAttributeValue {
    let builder = MessageAttributeValue::builder().data_type(&value.data_type);
    match &value.value {
        AttributeData::Text(text) => builder.string_value(text),
        AttributeData::Binary(bytes) => builder.binary_value(Blob::new(bytes.as_ref())),
    }
    .build()
    .expect("the data type is set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_the_answer_leaves_out_was_not_done() {
        let failed =
            BatchResultErrorEntry::builder().id("1").code("InternalError").sender_fault(false).build().unwrap();
        let answers = by_place(3, [("0", ())].into_iter(), &[failed]);
        assert!(answers[0].is_ok());
        assert!(matches!(&answers[1], Err(QueueError::Transient { code, .. }) if code == "InternalError"));
        assert!(matches!(&answers[2], Err(QueueError::Transient { code, .. }) if code == "NoAnswer"));
    }
}
