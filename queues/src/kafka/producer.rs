//! How messages are sent: each until all copies that are in step have it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use wasq_core::message::MessageId;

use super::client::Listener;
use super::error::{CallTarget, failed};
use super::record::Production;
use crate::queue::{Outgoing, QueueError};

/// How long a message may take until Kafka has it.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long messages are collected that go in one request.
const LINGER_MS: u32 = 2;
/// How often a client that sends asks where its topics are.
const METADATA_REFRESH_MS: u32 = 5_000;
/// The memory of messages that are under way.
const BUFFER_KBYTES: u32 = 64 * 1024;

/// Sends to any topic of one Kafka.
pub struct Producer {
    config: ClientConfig,
    /// The client now. One that can send nothing any more is replaced.
    client: Mutex<Arc<FutureProducer<Sender>>>,
    listener: Arc<Listener>,
    target: CallTarget,
    message_max_bytes: usize,
}

struct Sender(Arc<Listener>);

impl ClientContext for Sender {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

impl Producer {
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(mut config: ClientConfig, message_max_bytes: usize, target: CallTarget) -> Result<Self, QueueError> {
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", SEND_TIMEOUT.as_millis().to_string())
            .set("request.timeout.ms", SEND_TIMEOUT.as_millis().to_string())
            // A topic that was deleted is missed within the time of one message. One that is made
            // again is not: what is missing is looked for with the next refresh only.
            .set("topic.metadata.propagation.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS.to_string())
            .set("linger.ms", LINGER_MS.to_string())
            .set("message.max.bytes", message_max_bytes.to_string())
            .set("queue.buffering.max.kbytes", BUFFER_KBYTES.max(kbytes(message_max_bytes)).to_string())
            // As Kafka's own clients: a key has its partition whoever sends it.
            .set("partitioner", "murmur2_random");
        let listener = Arc::<Listener>::default();
        let client = FutureProducer::from_config_and_context(&config, Sender(listener.clone()));
        let client = Mutex::new(Arc::new(client.map_err(|error| failed(&target, &error, None))?));
        Ok(Self { config, client, listener, target, message_max_bytes })
    }

    /// Sends messages, all of them under way together. Answers in their order.
    pub async fn send(&self, topic: &str, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        join_all(messages.iter().map(|message| self.send_one(topic, message))).await
    }

    async fn send_one(&self, topic: &str, message: &Outgoing) -> Result<MessageId, QueueError> {
        let target = self.target.topic(topic);
        if message.delay_s > 0 {
            let message = "Kafka has no delay of its own: the host keeps such a message until it is due".to_owned();
            return Err(QueueError::Permanent { code: "Delay".into(), message });
        }
        let production = Production::of(message);
        let (bytes, most) = (production.bytes(), self.message_max_bytes);
        if bytes > most {
            let message = format!(
                "{target}: the message has up to {bytes} bytes with its headers, and `message_max_bytes` is {most}: send less, or \
                 raise it and the topic's `max.message.bytes` alike"
            );
            return Err(QueueError::Permanent { code: "TooLarge".into(), message });
        }
        let headers = production.headers.iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(&value[..]) })
        });
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).headers(headers);
        record.key = production.key.as_deref();
        record.payload = production.value.as_deref();
        let client = self.client.lock().clone();
        match client.send(record, SEND_TIMEOUT).await {
            Ok(delivery) => {
                let timestamp = delivery.timestamp.to_millis().unwrap_or(-1);
                Ok(MessageId(format!("{topic}:{}:{}:{timestamp}", delivery.partition, delivery.offset)))
            }
            Err((error, _)) => {
                self.replace_if_over(&client, &error);
                Err(failed(&target, &error, self.listener.reason()))
            }
        }
    }

    /// Makes another client where this one has met a fatal error, such as a sequence of messages
    /// that Kafka has lost, or where Kafka refuses it as the producer that it says it is.
    fn replace_if_over(&self, over: &Arc<FutureProducer<Sender>>, error: &KafkaError) {
        let refused = error.rdkafka_error_code().filter(|code| is_of_its_identity(*code));
        let fatal = over.client().fatal_error().map(|(code, _)| code);
        let Some(code) = fatal.or(refused) else { return };
        let mut client = self.client.lock();
        if !Arc::ptr_eq(&client, over) {
            return;
        }
        tracing::warn!(%code, "a client that sends to Kafka cannot go on; another is made");
        match FutureProducer::from_config_and_context(&self.config, Sender(self.listener.clone())) {
            Ok(another) => *client = Arc::new(another),
            Err(error) => tracing::warn!(%error, "no other client is to be had; the next send tries again"),
        }
    }
}

/// Whether Kafka refuses the producer's id, epoch or sequence. The client goes on with a higher
/// epoch after a message that was not answered in time. A broker that does not know of that takes
/// nothing from it any more.
fn is_of_its_identity(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::UnknownProducerId
            | Code::InvalidProducerIdMapping
            | Code::OutOfOrderSequenceNumber
    )
}

fn kbytes(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}
