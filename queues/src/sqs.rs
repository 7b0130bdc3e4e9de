//! The queue on Amazon SQS, by way of its SDK; any endpoint that speaks SQS will do.

mod convert;
mod error;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
    QueueAttributeName,
};
use aws_types::service_config::ServiceConfigKey;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasq_core::aws::AwsConfig;
use wasq_core::aws::direct::{DirectCall, DirectError};
use wasq_core::aws::request_template::RequestTemplates;
use wasq_core::message::{Delivery, MessageId, Receipt};
use wasq_core::{aws, clock};

use convert::{by_index, delivery, send_entry};
use error::classify;

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

/// Where a queue is that is not where the others are.
#[derive(PartialEq, Eq, Hash)]
struct Elsewhere {
    region: Option<String>,
    endpoint: Option<String>,
}

/// Clients for one account and region.
#[derive(Clone)]
pub struct Sqs {
    shared: Arc<SdkConfig>,
    sdk_only: bool,
    /// Those of other regions and endpoints, made when a queue there is first named.
    others: Arc<Mutex<HashMap<Elsewhere, Sqs>>>,
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
        let templates = RequestTemplates::new(shared);
        let mut calls = aws_sdk_sqs::config::Builder::from(shared);
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

    /// The clients for a queue that says its region or its endpoint: SQS is asked there, and calls
    /// are signed for it. An endpoint that was set for all goes before a queue's own.
    fn for_queue(&self, reference: &QueueRef) -> Self {
        let is_ours = |region: &&str| self.shared.region().is_some_and(|ours| ours.as_ref() == *region);
        let region = reference.region().filter(|region| !is_ours(region));
        let endpoint = reference.endpoint().filter(|_| self.endpoint().is_none());
        if region.is_none() && endpoint.is_none() {
            return self.clone();
        }
        let there = || {
            let mut shared = self.shared.to_builder();
            if let Some(region) = region {
                shared = shared.region(Region::new(region.to_owned()));
            }
            if let Some(endpoint) = endpoint {
                // The host is known: no rule makes another of it.
                shared = shared.endpoint_url(endpoint).use_fips(false).use_dual_stack(false);
            }
            Self::with(&shared.build(), self.sdk_only)
        };
        let key = Elsewhere { region: region.map(str::to_owned), endpoint: endpoint.map(str::to_owned) };
        self.others.lock().entry(key).or_insert_with(there).clone()
    }

    /// The endpoint that was set for all queues: in the config, in AWS_ENDPOINT_URL or
    /// AWS_ENDPOINT_URL_SQS, or in the profile.
    fn endpoint(&self) -> Option<String> {
        let of_all = self.shared.endpoint_url().map(str::to_owned);
        if self.shared.get_origin("endpoint_url").is_client_config() {
            return of_all;
        }
        let of_the_service = self.shared.service_config().and_then(|config| {
            let key = ServiceConfigKey::builder().service_id("SQS").env("AWS_ENDPOINT_URL").profile("endpoint_url");
            config.load_config(key.build().expect("all of it is set"))
        });
        of_the_service.or(of_all)
    }

    /// The SDK's client, for rare calls.
    pub fn client(&self) -> &Client {
        &self.calls
    }

    /// A queue by its name, URL or ARN, in the account and region that these say.
    pub async fn queue(&self, named: &str) -> Result<SqsQueue, QueueError> {
        let reference = QueueRef::parse(named)
            .map_err(|error| QueueError::Permanent { code: "Configuration".into(), message: error.to_string() })?;
        let sqs = self.for_queue(&reference);
        let url = match &reference {
            QueueRef::Name(name) => sqs.url_of(name, None).await?,
            QueueRef::Url { url, .. } => url.clone(),
            QueueRef::Arn(arn) => match sqs.url_of(&arn.name, Some(&arn.account)).await {
                // Another account's policy often allows sending and receiving alone. The URL is
                // known without asking.
                Err(error) if error.says_denied() => arn.url(sqs.endpoint().as_deref()),
                answer => answer?,
            },
        };
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(SqsQueue { sqs, url, name })
    }

    /// A call without the SDK.
    async fn direct<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &impl Serialize,
        within: Duration,
    ) -> Result<A, DirectError<QueueError>> {
        let body = serde_json::to_vec(request).expect("a request is plain data");
        let call = DirectCall { operation, headers: &wire::HEADERS, body, within };
        self.templates.call(call, |answer| wire::read(&answer)).await
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

#[async_trait]
impl Queue for SqsQueue {
    fn name(&self) -> &str {
        &self.name
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn region(&self) -> Option<String> {
        self.sqs.shared.region().map(ToString::to_string)
    }

    /// AWS answers from a fleet of servers: a short poll may miss some, and the counts follow
    /// within a minute (GetQueueAttributes' page). An endpoint on this machine is one.
    fn is_exact(&self) -> bool {
        aws::is_loopback(&self.url)
    }

    /// Those whose redrive policy names it.
    async fn sources(&self) -> Result<Vec<String>, QueueError> {
        let mut urls = Vec::new();
        let mut pages = self.sqs.calls.list_dead_letter_source_queues().queue_url(&self.url).into_paginator().send();
        while let Some(page) = pages.next().await {
            urls.extend(page.map_err(|error| classify(&error))?.queue_urls);
        }
        Ok(urls)
    }

    async fn sibling(&self, named: &str) -> Result<Arc<dyn Queue>, QueueError> {
        Ok(Arc::new(self.sqs.queue(named).await?))
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
        match self.sqs.direct::<wire::Received>(RECEIVE, &request, within).await {
            Ok(answer) => {
                let messages = answer.messages.unwrap_or_default();
                return Ok(messages.into_iter().map(|message| message.delivery(received_at)).collect());
            }
            Err(DirectError::NoTemplate) => {}
            Err(DirectError::NoAnswerInTime) => return Err(error::no_answer_in_time()),
            Err(DirectError::NoAnswer(why)) => return Err(error::no_answer(why)),
            Err(DirectError::Answer(error)) => return Err(error),
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
        // The SDK's own timeout would be a config of its own for each call, which costs more than
        // the rest of the call.
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
                by_index(receipts.len(), answer.successful.iter().map(|s| (s.id.as_str(), ())), &answer.failed)
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
                by_index(changes.len(), answer.successful.iter().map(|s| (s.id.as_str(), ())), &answer.failed)
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
        let mut answer: wire::BatchAnswer = self.sqs.direct(operation, &request, CALL_TIMEOUT).await.ok()?;
        let failed = answer.failed();
        Some(by_index(len, answer.successful.iter().map(|done| (done.id.as_str(), ())), &failed))
    }

    async fn send_batch(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        let entries: Result<Vec<_>, QueueError> =
            messages.iter().enumerate().map(|(index, message)| send_entry(index, message)).collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return vec![Err(error); messages.len()],
        };
        match self.sqs.calls.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let sent = answer.successful.iter().map(|s| (s.id.as_str(), MessageId(s.message_id.clone())));
                by_index(messages.len(), sent, &answer.failed)
            }
            Err(error) => vec![Err(classify(&error)); messages.len()],
        }
    }
}
