//! Questions to Kafka: which topics are there, and how far a group has come. They block, so each is
//! asked on a thread for that.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use wasq_core::clock;

use super::client::Listener;
use super::error::{CallTarget, failed, no_answer_in_time, refused};
use crate::queue::QueueError;

/// How long the client is listened to for why it has no answer.
const LISTEN: Duration = Duration::from_millis(20);
/// What the client has said meanwhile is read until there is no more, at most so much of it.
const EVENTS_MAX: usize = 1_000;

impl ConsumerContext for Listener {}

/// A client that asks. It is in no group, although it may have a group's name: so it may ask how far
/// that has come.
#[derive(Clone)]
pub struct Asker(Arc<Inner>);

struct Inner {
    consumer: BaseConsumer<Listener>,
    target: CallTarget,
    within: Duration,
}

/// One partition, as the group has read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    pub partition: i32,
    /// Where the next one of the group begins.
    pub position: i64,
    /// Where the next message will be written.
    pub end: i64,
}

impl Asker {
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(config: &ClientConfig, target: CallTarget, within: Duration) -> Result<Self, QueueError> {
        let consumer = config.create_with_context(Listener::default());
        let consumer = consumer.map_err(|error| failed(&target, &error, None))?;
        Ok(Self(Arc::new(Inner { consumer, target, within })))
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// That there is none, that it may not be read, or that no broker answers.
    pub async fn partitions(&self, topic: &str) -> Result<usize, QueueError> {
        let topic = topic.to_owned();
        self.ask(move |inner| inner.partitions(&topic).map(|partitions| partitions.len())).await
    }

    /// How far the group has come in each partition. `from_the_start` is whether a group that has
    /// read nothing begins with the oldest message.
    ///
    /// # Errors
    /// As [`Asker::partitions`].
    pub async fn lag(&self, topic: &str, from_the_start: bool) -> Result<Vec<PartitionLag>, QueueError> {
        let topic = topic.to_owned();
        self.ask(move |inner| inner.lag(&topic, from_the_start)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Inner) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let inner = self.0.clone();
        let answer = tokio::task::spawn_blocking(move || question(&inner)).await;
        answer.unwrap_or_else(|error| {
            let message = format!("{}: the question was given up: {error}", self.0.target);
            Err(QueueError::Transient { code: "Client".into(), message })
        })
    }
}

impl Inner {
    fn partitions(&self, topic: &str) -> Result<Vec<i32>, QueueError> {
        let metadata = self.answered(self.consumer.fetch_metadata(Some(topic), self.within))?;
        if let Some(code) = topic_error(&metadata, topic) {
            return Err(refused(&self.target.topic(topic), code, None));
        }
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(found.map(|found| found.partitions().iter().map(|partition| partition.id()).collect()).unwrap_or_default())
    }

    fn lag(&self, topic: &str, from_the_start: bool) -> Result<Vec<PartitionLag>, QueueError> {
        let until = clock::now() + self.within;
        let left = || until.saturating_duration_since(clock::now()).max(Duration::from_millis(1));
        let partitions = self.partitions(topic)?;
        let with = |offset: Offset| {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in &partitions {
                list.add_partition_offset(topic, *partition, offset).expect("the start and the end are offsets");
            }
            list
        };
        let ends = self.offsets(self.consumer.offsets_for_times(with(Offset::End), left()))?;
        let committed = self.offsets(self.consumer.committed_offsets(with(Offset::Invalid), left()))?;
        let is_new = partitions.iter().any(|partition| find(&committed, *partition).is_none());
        let starts = match is_new && from_the_start {
            true => self.offsets(self.consumer.offsets_for_times(with(Offset::Beginning), left()))?,
            false => Vec::new(),
        };
        let lag = |partition: &i32| {
            let end = find(&ends, *partition).unwrap_or(0);
            let position = find(&committed, *partition).or_else(|| find(&starts, *partition)).unwrap_or(end);
            PartitionLag { partition: *partition, position, end }
        };
        Ok(partitions.iter().map(lag).collect())
    }

    fn offsets(&self, answer: KafkaResult<TopicPartitionList>) -> Result<Vec<(i32, Option<i64>)>, QueueError> {
        let list = self.answered(answer)?;
        let offset = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            element.error().map_err(|error| failed(&self.target, &error, None))?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
            };
            Ok((element.partition(), offset))
        };
        list.elements().into_iter().map(offset).collect()
    }

    /// From the client's answer to ours: with why brokers do not answer, which it says elsewhere.
    fn answered<T>(&self, answer: KafkaResult<T>) -> Result<T, QueueError> {
        let said = self.events(if answer.is_ok() { Duration::ZERO } else { LISTEN });
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let reason = self.consumer.context().reason();
                match (said, error.rdkafka_error_code()) {
                    (Some(RDKafkaErrorCode::Authentication), _) => {
                        Err(refused(&self.target, RDKafkaErrorCode::Authentication, reason))
                    }
                    (_, Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut)) => {
                        Err(no_answer_in_time(&self.target, self.within, reason))
                    }
                    (_, _) => Err(failed(&self.target, &error, reason)),
                }
            }
        }
    }

    /// Reads what the client has said meanwhile. The answer is whether it may not go on.
    fn events(&self, listen: Duration) -> Option<RDKafkaErrorCode> {
        let mut said = None;
        for _ in 0..EVENTS_MAX {
            match self.consumer.poll(listen) {
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::Authentication))) => {
                    said = Some(RDKafkaErrorCode::Authentication);
                }
                Some(_) => {}
                None => break,
            }
        }
        said
    }
}

fn find(offsets: &[(i32, Option<i64>)], partition: i32) -> Option<i64> {
    offsets.iter().find(|(number, _)| *number == partition).and_then(|(_, offset)| *offset)
}

/// What Kafka says is wrong with a topic.
pub fn topic_error(metadata: &Metadata, topic: &str) -> Option<RDKafkaErrorCode> {
    match metadata.topics().iter().find(|found| found.name() == topic) {
        Some(found) => found
            .error()
            .map(RDKafkaErrorCode::from)
            .or_else(|| found.partitions().is_empty().then_some(RDKafkaErrorCode::UnknownTopicOrPartition)),
        None => Some(RDKafkaErrorCode::UnknownTopicOrPartition),
    }
}
