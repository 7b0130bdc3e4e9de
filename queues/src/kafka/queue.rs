//! One topic of Kafka, as the host has any queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use wasq_core::clock;
use wasq_core::message::{Delivery, MessageId, Receipt};

use super::assignment::{Assignment, DeliveryRef};
use super::config::{KafkaConfig, KafkaOrder, StartFrom, topic_rule};
use super::consumer::Settings;
use super::error::configuration;
use super::intake::Intake;
use super::partition::Gone;
use super::queries::Asker;
use super::server::Server;
use crate::attributes::QueueAttributes;
use crate::broker::{Broker, VISIBILITY_MAX};
use crate::queue::{BATCH_MAX_ENTRIES, Outgoing, Queue, QueueError};

/// The group by which dead letters are read, with the topic's name behind it: whoever looks at a
/// DLQ reads it in the same one.
const LETTERS_GROUP: &str = "wasq-letters-";
/// The prefetch of a DLQ: letters that are looked at together.
const LETTERS_PREFETCH: usize = 1_000;
/// How long joining a group takes beside the session of a member that is gone without a word, such as
/// a command that was killed.
const JOIN_MARGIN: Duration = Duration::from_secs(15);

/// One topic of Kafka. Clones are the same one: a receipt is good at each of them, and at no other.
#[derive(Clone)]
pub struct KafkaQueue(Arc<Shared>);

struct Shared {
    server: Arc<Server>,
    /// As this queue is read.
    config: KafkaConfig,
    topic: String,
    url: String,
    group: Option<String>,
    prefetch: usize,
    /// Dead letters, which are looked at and deleted one by one.
    has_letters: bool,
    asker: Asker,
    /// The member of the group, once somebody has received.
    intake: Mutex<Option<Arc<Intake>>>,
}

impl KafkaQueue {
    /// Opens a topic, which has to be there.
    pub(super) async fn open(server: &Arc<Server>, topic: &str, concurrency: usize) -> Result<Self, QueueError> {
        let (config, group) = (server.config.clone(), server.config.group.clone());
        Self::open_as(server, config, topic, group, concurrency, false).await
    }

    /// Another topic of the same Kafka, with dead letters. It has a group of its own.
    async fn open_letters(server: &Arc<Server>, topic: &str) -> Result<Self, QueueError> {
        let config = KafkaConfig {
            group_instance_id: None,
            order: KafkaOrder::None,
            start_from: StartFrom::Earliest,
            // All of them are looked at together.
            max_gap: u32::MAX,
            ..server.config.clone()
        };
        let group = Some(format!("{LETTERS_GROUP}{topic}"));
        Self::open_as(server, config, topic, group, LETTERS_PREFETCH, true).await
    }

    async fn open_as(
        server: &Arc<Server>,
        config: KafkaConfig,
        topic: &str,
        group: Option<String>,
        prefetch: usize,
        has_letters: bool,
    ) -> Result<Self, QueueError> {
        if let Some(rule) = topic_rule(topic) {
            return Err(configuration(format!("Kafka: the topic {topic:?}: {rule}")));
        }
        let asker = Asker::new(&server.asking(group.as_deref()), server.target(), config.connect_timeout)?;
        asker.partitions(topic).await?;
        Ok(Self(Arc::new(Shared {
            server: server.clone(),
            config,
            topic: topic.to_owned(),
            url: server.url_of(topic),
            group,
            prefetch: prefetch.max(1),
            has_letters,
            asker,
            intake: Mutex::default(),
        })))
    }
}

impl Shared {
    /// The member of the group, made if there is none.
    fn intake(&self) -> Result<Arc<Intake>, QueueError> {
        let mut intake = self.intake.lock();
        if let Some(intake) = &*intake {
            return Ok(intake.clone());
        }
        let Some(group) = &self.group else {
            return Err(configuration(format!(
                "Kafka: the topic {:?} is to be received from without a group: set `group`",
                self.topic
            )));
        };
        let settings = Settings {
            client: self.server.reading(&self.config, group, self.prefetch),
            topic: self.topic.clone(),
            target: self.server.target().group(&self.topic, group),
            prefetch: self.prefetch,
            max_gap: self.config.max_gap,
        };
        let begun = Intake::begin(settings, self.config.order).map_err(|error| {
            let message = format!("Kafka: no thread could be had to read the topic {:?}: {error}", self.topic);
            QueueError::Transient { code: "NoThread".into(), message }
        })?;
        Ok(intake.insert(Arc::new(begun)).clone())
    }

    fn with_lease(
        &self,
        receipt: &Receipt,
        change: impl FnOnce(&mut Assignment, DeliveryRef) -> Result<(), Gone>,
    ) -> Result<(), QueueError> {
        let intake = self.intake.lock().clone();
        let lost = || QueueError::LeaseLost { message: "nothing was received from its topic here".into() };
        intake.ok_or_else(lost)?.inbox.with_lease(receipt, change)
    }

    fn settle(&self, receipt: &Receipt) -> Result<(), QueueError> {
        if self.has_letters
            && let before @ 1.. = self.open_before(receipt)?
        {
            return Err(not_one_alone(&self.topic, before));
        }
        self.with_lease(receipt, Assignment::settle)
    }

    /// Messages of its partition before it that are not done.
    fn open_before(&self, receipt: &Receipt) -> Result<usize, QueueError> {
        let mut before = 0;
        self.with_lease(receipt, |assignment, handed| {
            before = assignment.open_before(handed)?;
            Ok(())
        })?;
        Ok(before)
    }

    /// It can be handed out again after so many seconds.
    fn show_in(
        &self,
        receipt: &Receipt,
        seconds: u32,
        later: impl FnOnce(&mut Assignment, DeliveryRef, tokio::time::Instant) -> Result<(), Gone>,
    ) -> Result<(), QueueError> {
        let at = clock::now() + Duration::from_secs(seconds.into());
        self.with_lease(receipt, |assignment, handed| match seconds {
            0 => assignment.show(handed, at),
            _ => later(assignment, handed, at),
        })
    }
}

/// The first message of each partition before the next one.
fn in_turn(receipts: &[Receipt]) -> Vec<usize> {
    let mut indexes: Vec<usize> = (0..receipts.len()).collect();
    indexes.sort_by_key(|index| DeliveryRef::read(&receipts[*index]).map(|handed| (handed.partition, handed.offset)));
    indexes
}

/// A message in the middle of a topic cannot be taken out of it.
fn not_one_alone(topic: &str, before: usize) -> QueueError {
    let message = format!(
        "Kafka cannot delete one message of the topic {topic:?}: {before} before it in its partition are still there; replay \
         or discard these, too"
    );
    QueueError::Permanent { code: "NotInTurn".into(), message }
}

#[async_trait]
impl Queue for KafkaQueue {
    fn name(&self) -> &str {
        &self.0.topic
    }

    fn url(&self) -> &str {
        &self.0.url
    }

    fn broker(&self) -> Broker {
        Broker::Kafka
    }

    /// A message comes a moment after it was asked for, and what other hosts have in hand does not
    /// count.
    fn is_exact(&self) -> bool {
        false
    }

    fn keeps_order(&self) -> bool {
        self.0.config.order == KafkaOrder::Key
    }

    /// Where messages keep their order, one that waits is kept in memory until it is due.
    fn hides_up_to(&self) -> Duration {
        match self.0.config.order {
            KafkaOrder::Key => VISIBILITY_MAX,
            KafkaOrder::None => self.broker().hides_up_to(),
        }
    }

    /// Its letters are read by a group of their own.
    async fn sibling(&self, named: &str) -> Result<Arc<dyn Queue>, QueueError> {
        let topic = self.0.server.topic_of(named);
        Ok(Arc::new(Self::open_letters(&self.0.server, &topic).await?))
    }

    /// `visibility` is how long a message is ours unless it is renewed. Then it is handed out again.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let intake = self.0.intake()?;
        if self.0.has_letters {
            // Whoever looks for letters takes an empty answer for the end.
            intake.inbox.until_member(clock::now() + self.0.config.session_timeout + JOIN_MARGIN).await;
        }
        intake.inbox.take(max.min(BATCH_MAX_ENTRIES), clock::now() + wait, visibility).await
    }

    /// Of several letters the first one goes first, whatever their order here.
    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        let mut answers = vec![Ok(()); receipts.len()];
        for index in in_turn(receipts) {
            answers[index] = self.0.settle(&receipts[index]);
        }
        answers
    }

    fn refused_deletes(&self, receipts: &[Receipt]) -> Vec<Option<QueueError>> {
        let mut answers = vec![None; receipts.len()];
        if !self.0.has_letters {
            return answers;
        }
        // Of each partition, how many of these would be gone.
        let mut gone: HashMap<i32, usize> = HashMap::new();
        for index in in_turn(receipts) {
            let Some(partition) = DeliveryRef::read(&receipts[index]).map(|handed| handed.partition) else { continue };
            let gone = gone.entry(partition).or_default();
            match self.0.open_before(&receipts[index]) {
                Ok(before) if before > *gone => answers[index] = Some(not_one_alone(&self.0.topic, before - *gone)),
                Ok(_) => *gone += 1,
                Err(error) => answers[index] = Some(error),
            }
        }
        answers
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        changes.iter().map(|(receipt, seconds)| self.0.show_in(receipt, *seconds, Assignment::renew)).collect()
    }

    async fn hide(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        changes.iter().map(|(receipt, seconds)| self.0.show_in(receipt, *seconds, Assignment::hide)).collect()
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        self.0.server.producer.send(&self.0.topic, messages).await
    }

    /// The counts of what waits, and of what this host has in hand, by SQS's names.
    async fn attributes(&self) -> Result<QueueAttributes, QueueError> {
        let size = self.0.config.message_max_bytes.to_string();
        let mut attributes = QueueAttributes::from([("MaximumMessageSize".to_owned(), size)]);
        if self.0.group.is_none() {
            return Ok(attributes);
        }
        let lag = self.0.asker.lag(&self.0.topic, self.0.config.start_from == StartFrom::Earliest).await?;
        let counts = self.0.intake.lock().as_ref().map(|intake| intake.inbox.counts());
        let (mut waiting, mut in_hand) = (0, 0);
        let read_up_to = match counts {
            Some(counts) => {
                (waiting, in_hand) = (counts.waiting as u64, counts.in_hand as u64);
                counts.read_up_to
            }
            None => Vec::new(),
        };
        for partition in lag {
            let ours = read_up_to.iter().find(|(number, _)| *number == partition.partition);
            let from = ours.and_then(|(_, last)| Some((*last)? + 1)).unwrap_or(partition.position);
            waiting += u64::try_from(partition.end - from).unwrap_or(0);
        }
        for (kind, count) in [("", waiting), ("NotVisible", in_hand), ("Delayed", 0)] {
            attributes.insert(format!("ApproximateNumberOfMessages{kind}"), count.to_string());
        }
        Ok(attributes)
    }
}
