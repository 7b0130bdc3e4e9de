//! One queue on RabbitMQ, as the host has any queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use lapin::types::ShortString;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::{Delivery, MessageId, Receipt};

use super::arguments;
use super::intake::Intake;
use super::leases::DeliveryRef;
use super::nameless::Nameless;
use super::publisher::Destination;
use super::server::Server;
use super::topology::{self, find_exchange, short};
use crate::attributes::QueueAttributes;
use crate::broker::Broker;
use crate::queue::{BATCH_MAX_ENTRIES, DeliveryLimit, Outgoing, Queue, QueueError};

/// The prefetch of a queue that another one leads to: letters of a DLQ that are looked at together.
/// What is not looked at yet waits in this host's memory.
const SIBLING_PREFETCH: u16 = 1_000;

/// One queue on RabbitMQ. Clones are the same one: a receipt is good at each of them, and at no
/// other.
#[derive(Clone)]
pub struct RabbitMqQueue(Arc<Shared>);

struct Shared {
    server: Arc<Server>,
    name: ShortString,
    url: String,
    prefetch: u16,
    to: Destination,
    /// The channel that receives, once somebody has received.
    intake: RwLock<Option<Arc<Intake>>>,
    /// Held while a channel is made.
    opening: Arc<tokio::sync::Mutex<()>>,
    nameless: Arc<Mutex<Nameless>>,
}

impl RabbitMqQueue {
    /// Opens a queue by its name. With an exchange it is a name to send by, and no queue needs to
    /// be there.
    pub(super) async fn open(
        server: &Arc<Server>,
        name: &str,
        prefetch: u16,
        exchange: &str,
        routing_key: Option<&str>,
    ) -> Result<Self, QueueError> {
        let name = short("the queue's name", name)?;
        let live = server.receives.connection(clock::now()).await?;
        let exchange = ShortString::try_new(exchange).expect("the config's exchange is short");
        match exchange.as_str() {
            "" => drop(topology::depth(&live, &name).await?),
            _ => find_exchange(&live, &exchange).await?,
        }
        let routing_key = match routing_key {
            Some(key) => ShortString::try_new(key).expect("the config's routing key is short"),
            None => name.clone(),
        };
        let (url, to) = (server.url_of(name.as_str()), Destination { exchange, routing_key });
        Ok(Self(Arc::new(Shared {
            server: server.clone(),
            name,
            url,
            prefetch,
            to,
            intake: RwLock::default(),
            opening: Arc::default(),
            nameless: Arc::default(),
        })))
    }
}

impl Shared {
    /// The channel that receives now. None before the first receive, and after the channel's end.
    fn current(&self) -> Option<Arc<Intake>> {
        self.intake.read().as_ref().filter(|intake| intake.is_open()).cloned()
    }

    /// The channel of a receipt, and its tag there.
    fn find(&self, receipt: &Receipt) -> Result<(Arc<Intake>, u64), QueueError> {
        let lost = |message: &str| QueueError::LeaseLost { message: message.into() };
        let handed = DeliveryRef::read(receipt).ok_or_else(|| lost("it is no receipt of RabbitMQ's"))?;
        let intake = self.current().filter(|intake| intake.epoch() == handed.epoch);
        let intake = intake.ok_or_else(|| lost("its channel has ended, and its message has gone back to the queue"))?;
        Ok((intake, handed.tag))
    }

    /// The channel that receives, made if there is none. Whoever waits for it may go: then it is
    /// made all the same.
    async fn intake(self: &Arc<Self>, until: Instant) -> Result<Arc<Intake>, QueueError> {
        if let Some(intake) = self.current() {
            return Ok(intake);
        }
        let turn = self.opening.clone().lock_owned().await;
        if let Some(intake) = self.current() {
            return Ok(intake);
        }
        let live = self.server.receives.connection(until).await?;
        let shared = self.clone();
        let open = async move {
            let _turn = turn;
            let name = shared.name.as_str();
            let intake = Intake::open(live, name, shared.prefetch, shared.nameless.clone()).await?;
            // The one before it, if there is one, has ended.
            *shared.intake.write() = Some(intake.clone());
            Ok(intake)
        };
        match tokio::spawn(open).await {
            Ok(opened) => opened,
            Err(error) => {
                let message = format!("the queue {:?}: its channel was not made: {error}", self.name.as_str());
                Err(QueueError::Transient { code: "Client".into(), message })
            }
        }
    }

    /// Forgets a channel that has ended.
    fn forget(&self, ended: &Arc<Intake>) {
        let mut intake = self.intake.write();
        if !ended.is_open() && intake.as_ref().is_some_and(|intake| Arc::ptr_eq(intake, ended)) {
            *intake = None;
        }
    }

    /// What is done with each receipt is done side by side.
    async fn with_each<T>(
        &self,
        entries: &[T],
        receipt: impl Fn(&T) -> &Receipt,
        act: impl AsyncFn(&Intake, u64, &T) -> Result<(), QueueError>,
    ) -> Vec<Result<(), QueueError>> {
        let act = &act;
        join_all(entries.iter().map(|entry| {
            let found = self.find(receipt(entry));
            async move {
                let (intake, tag) = found?;
                act(&intake, tag, entry).await
            }
        }))
        .await
    }
}

fn in_seconds(seconds: u32) -> Instant {
    clock::now() + Duration::from_secs(seconds.into())
}

#[async_trait]
impl Queue for RabbitMqQueue {
    fn name(&self) -> &str {
        self.0.name.as_str()
    }

    fn url(&self) -> &str {
        &self.0.url
    }

    fn broker(&self) -> Broker {
        Broker::RabbitMq
    }

    /// A message comes a moment after it was asked for, and what other consumers have in hand does
    /// not count.
    fn is_exact(&self) -> bool {
        false
    }

    /// A user who may not declare queues may not ask for it.
    async fn delivery_limit(&self) -> Result<DeliveryLimit, QueueError> {
        let live = self.0.server.receives.connection(clock::now()).await?;
        arguments::delivery_limit(&live, &self.0.name).await
    }

    /// With a prefetch of its own, and sent to by its name.
    async fn sibling(&self, named: &str) -> Result<Arc<dyn Queue>, QueueError> {
        let name = self.0.server.name_of(named);
        Ok(Arc::new(Self::open(&self.0.server, &name, SIBLING_PREFETCH, "", None).await?))
    }

    /// `visibility` is how long a message is ours unless it is renewed. Then it goes back.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let until = clock::now() + wait;
        let intake = self.0.intake(until).await?;
        let received = intake.take(max.min(BATCH_MAX_ENTRIES), until, visibility).await;
        if received.is_err() {
            self.0.forget(&intake);
        }
        received
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        self.0.with_each(receipts, |receipt| receipt, async |intake, tag, _| intake.ack(tag).await).await
    }

    /// A change to more than 0 s calls nobody.
    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        let change = async |intake: &Intake, tag, (_, seconds): &(Receipt, u32)| match seconds {
            0 => intake.put_back(tag).await,
            seconds => intake.renew(tag, in_seconds(*seconds)),
        };
        self.0.with_each(changes, |(receipt, _)| receipt, change).await
    }

    /// It stays unacknowledged until then, and has its place in the prefetch.
    async fn hide(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        let hide = async |intake: &Intake, tag, (_, seconds): &(Receipt, u32)| match seconds {
            0 => intake.put_back(tag).await,
            seconds => intake.hide(tag, in_seconds(*seconds)),
        };
        self.0.with_each(changes, |(receipt, _)| receipt, hide).await
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        self.0.server.publisher.send(&self.0.to, messages).await
    }

    /// The counts of what waits, and of what this host has in hand, by SQS's names.
    async fn attributes(&self) -> Result<QueueAttributes, QueueError> {
        let live = self.0.server.receives.connection(clock::now()).await?;
        let waiting = match topology::depth(&live, &self.0.name).await {
            // What is sent to by an exchange may be no queue at all.
            Err(error) if error.says_missing() && !self.0.to.exchange.as_str().is_empty() => {
                return Ok(QueueAttributes::new());
            }
            depth => depth?,
        };
        let in_hand = self.0.current().map_or(0, |intake| intake.in_hand());
        let counts = [("", waiting as usize), ("NotVisible", in_hand), ("Delayed", 0)];
        Ok(counts.map(|(kind, count)| (format!("ApproximateNumberOfMessages{kind}"), count.to_string())).into())
    }
}
