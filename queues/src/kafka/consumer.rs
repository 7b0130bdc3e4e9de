//! The thread of a queue that reads from Kafka: it has the consumer, follows the group, and says how
//! far the group has come.
//!
//! While the host has enough, the thread reads nothing for a moment, and then lets Kafka's client
//! pause: it goes on to ask that, for who does not ask is taken for dead. A fatal error ends the
//! consumer, and a new one is made after a wait.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;
use wasq_core::backoff::Backoff;
use wasq_core::clock;

use super::client::Listener;
use super::error::{CallTarget, failed};
use super::inbox::{Inbox, Problem};
use super::queries::topic_error;
use super::record::{Read, Record};

/// How long one look for a message takes while none comes. Changes wait for it.
const POLL: Duration = Duration::from_millis(50);
/// For how long the host may have enough before Kafka's client is told to pause: what it has
/// fetched is fetched again afterwards.
const FULL_FOR: Duration = Duration::from_secs(1);
/// How often the brokers are asked about the topic while something is wrong, and how long that may
/// take.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// When nobody has received for so long, the host leaves the group: a paused host keeps nothing
/// from the others. A worker polls without a break.
const IDLE_AFTER: Duration = Duration::from_secs(30);
/// The waits between consumers.
const AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// What the thread works by.
pub struct Settings {
    pub client: ClientConfig,
    pub topic: String,
    pub target: CallTarget,
    /// Messages that wait in memory until they are received.
    pub prefetch: usize,
    pub max_gap: u32,
}

/// Why a consumer has ended.
enum Ended {
    Stopped,
    Idle,
    Failed(Problem),
}

/// Reads until nobody has the queue any more.
pub fn run(inbox: &Arc<Inbox>, settings: &Settings) {
    let mut failures = 0_u32;
    while !inbox.stops() {
        let began = clock::now();
        let ended = consume(inbox, settings);
        inbox.revoke_all();
        match ended {
            Ended::Stopped => break,
            Ended::Idle => {
                tracing::debug!(topic = settings.topic, "nobody receives: the host has left the group");
                inbox.wait_for_receiver();
            }
            Ended::Failed(problem) => {
                tracing::warn!(topic = settings.topic, error = %problem.error, "a consumer of Kafka has ended; another is made");
                inbox.set_problem(Some(problem));
                failures = if clock::now() > began + AGAIN.longest() { 1 } else { failures.saturating_add(1) };
                inbox.wait_for_stop(AGAIN.jittered(failures));
            }
        }
    }
    inbox.has_ended();
}

fn consume(inbox: &Arc<Inbox>, settings: &Settings) -> Ended {
    let context = Follower { inbox: inbox.clone(), topic: settings.topic.clone(), listener: Listener::default() };
    let consumer: BaseConsumer<Follower> = match settings.client.create_with_context(context) {
        Ok(consumer) => consumer,
        Err(error) => return Ended::Failed(lasting(settings, &error, None)),
    };
    if let Err(error) = consumer.subscribe(&[settings.topic.as_str()]) {
        return Ended::Failed(lasting(settings, &error, None));
    }
    let mut reading = Reading { inbox, settings, consumer: &consumer, paused: BTreeMap::new(), full_since: None };
    let mut asked_at = clock::now();
    loop {
        if inbox.stops() {
            return Ended::Stopped;
        }
        if inbox.is_idle(IDLE_AFTER) {
            return Ended::Idle;
        }
        if let Some(ended) = reading.step() {
            return ended;
        }
        store(&consumer, &inbox.take_progress());
        if clock::now() >= asked_at + ASK_EVERY {
            asked_at = clock::now();
            reading.ask_again();
        }
    }
}

/// One consumer while it reads.
struct Reading<'a> {
    inbox: &'a Inbox,
    settings: &'a Settings,
    consumer: &'a BaseConsumer<Follower>,
    /// The partitions that Kafka's client does not read, with their assignments.
    paused: BTreeMap<i32, u64>,
    /// Since when the host has enough.
    full_since: Option<Instant>,
}

impl Reading<'_> {
    /// Reads one message, or waits a moment.
    fn step(&mut self) -> Option<Ended> {
        let now = clock::now();
        let is_full = self.inbox.is_full(self.settings.prefetch);
        let full_since = is_full.then(|| *self.full_since.get_or_insert(now));
        self.full_since = full_since;
        let pauses = full_since.is_some_and(|since| now >= since + FULL_FOR);
        if is_full && !pauses {
            self.inbox.wait(POLL);
            return None;
        }
        self.pause(pauses);
        match self.consumer.poll(POLL)? {
            Ok(message) => {
                let (partition, offset) = (message.partition(), message.offset());
                self.inbox.read(partition, offset, record(&message));
                None
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Has Kafka's client pause all partitions, or those whose gap is as large as it may be, and no
    /// others.
    fn pause(&mut self, all: bool) {
        let (ours, stretched) = self.inbox.partitions(self.settings.max_gap);
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        let mut paused = BTreeMap::new();
        for (number, epoch) in ours {
            let is_paused = self.paused.get(&number) == Some(&epoch);
            let is_to_be = all || stretched.contains(&number);
            if is_to_be {
                paused.insert(number, epoch);
            }
            match (is_paused, is_to_be) {
                (false, true) => drop(pause.add_partition(&self.settings.topic, number)),
                (true, false) => drop(resume.add_partition(&self.settings.topic, number)),
                (true, true) | (false, false) => {}
            }
        }
        self.paused = paused;
        let paused = if pause.count() > 0 { self.consumer.pause(&pause) } else { Ok(()) };
        let resumed = if resume.count() > 0 { self.consumer.resume(&resume) } else { Ok(()) };
        for error in [paused, resumed].into_iter().filter_map(Result::err) {
            tracing::debug!(topic = self.settings.topic, %error, "a partition is away that was to pause");
        }
    }

    fn failed(&self, error: &KafkaError) -> Option<Ended> {
        let reason = self.consumer.context().listener.reason();
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Some(Ended::Failed(lasting(self.settings, error, reason)));
        }
        use RDKafkaErrorCode as Code;
        let problem = match error.rdkafka_error_code() {
            Some(
                Code::AllBrokersDown
                | Code::Authentication
                | Code::TopicAuthorizationFailed
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition,
            ) => Problem { error: failed(&self.settings.target, error, reason), ends_with_answer: true },
            Some(
                Code::GroupAuthorizationFailed
                | Code::InconsistentGroupProtocol
                | Code::InvalidSessionTimeout
                | Code::InvalidGroupId
                | Code::GroupMaxSizeReached
                | Code::FencedInstanceId,
            ) => lasting(self.settings, error, reason),
            // Its client goes on by itself.
            Some(_) | None => {
                tracing::debug!(topic = self.settings.topic, %error, "a consumer of Kafka goes on");
                return None;
            }
        };
        if self.inbox.problem().is_none() {
            tracing::debug!(topic = self.settings.topic, error = %problem.error, "nothing comes from Kafka");
        }
        self.inbox.set_problem(Some(problem));
        None
    }

    /// While something is wrong: whether the brokers answer again, and the topic is there.
    fn ask_again(&self) {
        let Some(Problem { ends_with_answer: true, .. }) = self.inbox.problem() else { return };
        let answer = self.consumer.fetch_metadata(Some(&self.settings.topic), ASK_EVERY);
        let is_well = answer.is_ok_and(|metadata| topic_error(&metadata, &self.settings.topic).is_none());
        if is_well {
            self.inbox.set_problem(None);
        }
    }
}

/// Until a partition is ours.
fn lasting(settings: &Settings, error: &KafkaError, reason: Option<String>) -> Problem {
    Problem { error: failed(&settings.target, error, reason), ends_with_answer: false }
}

/// Has Kafka's client say how far the group has come. It does so by itself, soon and before a
/// partition goes, and again where Kafka did not take it.
fn store(consumer: &BaseConsumer<Follower>, progress: &[(i32, i64)]) {
    let topic = &consumer.context().topic;
    if !progress.is_empty()
        && let Err(error) = consumer.store_offsets(&offsets(topic, progress))
    {
        tracing::debug!(topic, %error, "a partition is away that has come further");
    }
}

fn offsets(topic: &str, progress: &[(i32, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(progress.len());
    for (partition, position) in progress {
        list.add_partition_offset(topic, *partition, Offset::Offset(*position))
            .expect("a position in a partition is an offset");
    }
    list
}

/// Follows the group: which partitions are ours.
struct Follower {
    inbox: Arc<Inbox>,
    topic: String,
    listener: Listener,
}

impl ClientContext for Follower {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.listener.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.error(&error, reason);
    }
}

impl ConsumerContext for Follower {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::debug!(topic = self.topic, partitions = ?numbers(partitions), "partitions are ours");
                self.inbox.assign(numbers(partitions));
            }
            Rebalance::Revoke(partitions) => {
                let progress = self.inbox.revoke(numbers(partitions));
                tracing::debug!(topic = self.topic, partitions = ?numbers(partitions), "partitions are ours no longer");
                // Lost ones are another's already: Kafka would refuse it.
                if !consumer.assignment_lost() {
                    store(consumer, &progress);
                }
            }
            Rebalance::Error(error) => tracing::debug!(topic = self.topic, %error, "the group could not be followed"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result
            && error.rdkafka_error_code() != Some(RDKafkaErrorCode::NoOffset)
        {
            tracing::debug!(topic = self.topic, %error, "Kafka was not told how far the group has come");
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions.elements().iter().map(|element| element.partition()).collect()
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    Record::of(Read {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key(),
        value: message.payload(),
        headers: headers(message),
    })
}

/// Kafka's client panics over a header whose name is not UTF-8, which any producer may write. Such
/// a header is left out.
fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Bytes)> {
    let Some(all) = message.headers() else { return Vec::new() };
    let read = |index| {
        let header = catch_unwind(AssertUnwindSafe(|| {
            let header = all.get(index);
            (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
        }));
        header.inspect_err(|_| tracing::warn!("a header of a message is left out: its name is not UTF-8")).ok()
    };
    (0..all.count()).filter_map(read).collect()
}
