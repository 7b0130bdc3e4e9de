//! What a queue has handed to this host: a channel, the consumer on it, and the leases of what was
//! handed on.
//!
//! RabbitMQ pushes messages, up to the prefetch. The consumer holds them until a receive takes them:
//! so its buffer is bounded by the prefetch, too. All of it is the channel's. When that ends,
//! whatever it was that ended it, RabbitMQ has every message back that is not settled, and the
//! receipts that name the channel are void.
//!
//! A task of each intake puts messages back whose lease has ended, and those in the buffer when
//! nobody receives any more: a paused host, or one that ends, keeps nothing from the others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use wasq_core::clock;
use wasq_core::message::Delivery;

use super::error::{CallTarget, failed};
use super::leases::{DeliveryRef, Gone, Leases};
use super::link::{Live, call};
use super::message::Received;
use super::nameless::{Named, Nameless};
use crate::queue::QueueError;

/// How long messages wait in the buffer for a receive, when none is under way. A worker polls
/// without a break.
const BUFFERED_UP_TO: Duration = Duration::from_secs(5);

/// Channels that this process has received on: the number of the newest.
static EPOCHS: AtomicU64 = AtomicU64::new(0);

type Slot = Arc<tokio::sync::Mutex<Option<Consumer>>>;

pub struct Intake {
    epoch: u64,
    channel: Channel,
    /// Kept, for it ends with the last of its users.
    _live: Arc<Live>,
    queue: ShortString,
    target: CallTarget,
    /// Locked by the receive that waits for messages. None until the first receive, and while
    /// nobody receives.
    consumer: Slot,
    leases: Mutex<Leases>,
    /// A lease ends before the one that is waited for.
    sooner: Arc<Notify>,
    /// When a receive has ended last.
    received_at: Mutex<Instant>,
    nameless: Arc<Mutex<Nameless>>,
    keeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Intake {
    /// A channel with a consumer on it, which has at most `prefetch` messages; 0 is no bound.
    pub async fn open(
        live: Arc<Live>,
        queue: &str,
        prefetch: u16,
        nameless: Arc<Mutex<Nameless>>,
    ) -> Result<Arc<Self>, QueueError> {
        let target = live.target().queue(queue);
        let channel = live.channel(&target).await?;
        call(&target, channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let intake = Arc::new(Self {
            epoch: EPOCHS.fetch_add(1, Ordering::Relaxed) + 1,
            channel,
            _live: live,
            queue: ShortString::try_new(queue).expect("a queue's name is short: it was checked"),
            target,
            consumer: Slot::default(),
            leases: Mutex::default(),
            sooner: Arc::default(),
            received_at: Mutex::new(clock::now()),
            nameless,
            keeper: Mutex::default(),
        });
        let slot = intake.consumer.clone().lock_owned().await;
        intake.consume(slot).await?;
        let keeper = tokio::spawn(keep(Arc::downgrade(&intake), intake.sooner.clone()));
        *intake.keeper.lock() = Some(AbortOnDropHandle::new(keeper));
        Ok(intake)
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether receipts of it are worth something.
    pub fn is_open(&self) -> bool {
        self.channel.status().connected()
    }

    /// Messages that were handed out and are not settled.
    pub fn in_hand(&self) -> usize {
        self.leases.lock().len()
    }

    /// Begins to consume. Whoever waits for it may go: it is a task of its own, for a consumer that
    /// nobody knows would keep what it gets.
    async fn consume(
        &self,
        mut slot: OwnedMutexGuard<Option<Consumer>>,
    ) -> Result<OwnedMutexGuard<Option<Consumer>>, QueueError> {
        let (channel, queue, target) = (self.channel.clone(), self.queue.clone(), self.target.clone());
        let consume = async move {
            let tag = ShortString::from("");
            let consumer = channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default());
            *slot = Some(call(&target, consumer).await?);
            Ok(slot)
        };
        match tokio::spawn(consume).await {
            Ok(consumes) => consumes,
            Err(error) => {
                let message = format!("{}: the call was given up: {error}", self.target);
                Err(QueueError::Transient { code: "Client".into(), message })
            }
        }
    }

    /// Waits until then for a first message, and takes what is there beside it. Dropped, it has
    /// taken nothing.
    pub async fn take(&self, max: usize, until: Instant, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let answer = self.taken(max, until, visibility).await;
        *self.received_at.lock() = clock::now();
        answer
    }

    async fn taken(&self, max: usize, until: Instant, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let Ok(mut slot) = timeout_at(until, self.consumer.clone().lock_owned()).await else { return Ok(Vec::new()) };
        if slot.is_none() {
            slot = self.consume(slot).await?;
        }
        let consumer = slot.as_mut().expect("it consumes");
        let Ok(mut next) = timeout_at(until, consumer.next()).await else { return Ok(Vec::new()) };
        // From here on nothing is waited for: what is taken is handed out.
        let mut taken = Vec::new();
        loop {
            match next {
                Some(Ok(message)) => taken.push(message),
                Some(Err(error)) => return Err(self.ended(&error)),
                None => {
                    *slot = None;
                    if taken.is_empty() {
                        return Err(self.cancelled());
                    }
                    break;
                }
            }
            if taken.len() >= max {
                break;
            }
            match slot.as_mut().and_then(|consumer| consumer.next().now_or_never()) {
                Some(more) => next = more,
                None => break,
            }
        }
        if !self.is_open() {
            let closed = lapin::ErrorKind::InvalidChannelState(lapin::ChannelState::Closed, "basic.deliver");
            return Err(self.ended(&closed.into()));
        }
        Ok(taken.into_iter().map(|message| self.hand_out(message, visibility)).collect())
    }

    fn hand_out(&self, message: lapin::message::Delivery, visibility: Duration) -> Delivery {
        let received_at = clock::now();
        let handed = DeliveryRef { epoch: self.epoch, tag: message.delivery_tag };
        let received = Received::read(message.data, &message.properties, message.redelivered);
        let named = received.nameless().map(|digest| {
            let mut nameless = self.nameless.lock();
            if nameless.is_news() {
                tracing::warn!(
                    queue = %self.queue,
                    "a message has no `message_id`: when it is delivered again, perhaps to another host, it counts as \
                     another message, and its attempts are counted anew; have its producer set the property"
                );
            }
            nameless.name(digest, received.redelivered)
        });
        let id = named.as_ref().map(|named| named.id.clone());
        let ends_at = received_at + visibility;
        let mut leases = self.leases.lock();
        if leases.is_before_awaited(ends_at) {
            self.sooner.notify_one();
        }
        leases.insert(handed.tag, ends_at, named);
        drop(leases);
        received.delivery(handed.receipt(), id, received_at, clock::unix_ms())
    }

    /// Why nothing more comes on this channel.
    fn ended(&self, error: &lapin::Error) -> QueueError {
        match failed(&self.target, error) {
            QueueError::Transient { code, message } | QueueError::Permanent { code, message } => {
                let message = format!("{message}; what was in hand goes back to the queue");
                QueueError::Transient { code, message }
            }
            lost @ QueueError::LeaseLost { .. } => lost,
        }
    }

    fn cancelled(&self) -> QueueError {
        let message =
            format!("{}: RabbitMQ has ended the consumer: the queue was deleted, or its node has gone", self.target);
        QueueError::Transient { code: "ConsumerCancelled".into(), message }
    }

    /// Settles a message: RabbitMQ has it no more.
    pub async fn ack(&self, tag: u64) -> Result<(), QueueError> {
        self.leases.lock().remove(tag).map_err(|Gone| gone())?;
        self.settled(self.channel.basic_ack(tag, BasicAckOptions::default())).await
    }

    /// Puts a message back.
    pub async fn put_back(&self, tag: u64) -> Result<(), QueueError> {
        let named = self.leases.lock().remove(tag).map_err(|Gone| gone())?;
        self.nack(tag, named).await
    }

    async fn nack(&self, tag: u64, named: Option<Named>) -> Result<(), QueueError> {
        if let Some(named) = named {
            self.nameless.lock().goes_back(named);
        }
        let options = BasicNackOptions { requeue: true, multiple: false };
        self.settled(self.channel.basic_nack(tag, options)).await
    }

    /// The channel has ended meanwhile, or the word is on its way.
    async fn settled(&self, word: impl Future<Output = lapin::Result<()>>) -> Result<(), QueueError> {
        match call(&self.target, word).await {
            Err(_) if !self.is_open() => Err(gone()),
            answer => answer,
        }
    }

    /// Its lease ends then, unless it is renewed again.
    pub fn renew(&self, tag: u64, ends_at: Instant) -> Result<(), QueueError> {
        self.change(ends_at, |leases| leases.renew(tag, ends_at))
    }

    /// It goes back then.
    pub fn hide(&self, tag: u64, ends_at: Instant) -> Result<(), QueueError> {
        self.change(ends_at, |leases| leases.hide(tag, ends_at))
    }

    fn change(&self, ends_at: Instant, change: impl FnOnce(&mut Leases) -> Result<(), Gone>) -> Result<(), QueueError> {
        let mut leases = self.leases.lock();
        change(&mut leases).map_err(|Gone| gone())?;
        if leases.is_before_awaited(ends_at) {
            self.sooner.notify_one();
        }
        Ok(())
    }

    /// When there may be something to put back.
    fn next_look(&self) -> Instant {
        let lease_ends = self.leases.lock().await_next();
        let is_idle = self.consumer.try_lock().is_ok_and(|slot| slot.is_some());
        let idle_from = if is_idle { *self.received_at.lock() } else { clock::now() } + BUFFERED_UP_TO;
        lease_ends.map_or(idle_from, |ends_at| ends_at.min(idle_from))
    }

    async fn put_back_ended(&self) {
        let ended = self.leases.lock().take_ended(clock::now());
        let put_back = ended.into_iter().map(|(tag, named)| async move {
            match self.nack(tag, named).await {
                Ok(()) => tracing::debug!(queue = %self.queue, tag, "a lease has ended; its message is shown again"),
                Err(error) => tracing::debug!(queue = %self.queue, tag, %error, "a message goes back with its channel"),
            }
        });
        join_all(put_back).await;
    }

    /// When nobody receives: ends the consumer and puts back what it holds.
    async fn put_back_buffered(&self) {
        let Ok(mut slot) = self.consumer.try_lock() else { return };
        if clock::now() < *self.received_at.lock() + BUFFERED_UP_TO {
            return;
        }
        let Some(mut consumer) = slot.take() else { return };
        let cancelled = call(&self.target, self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()));
        if let Err(error) = cancelled.await {
            tracing::debug!(queue = %self.queue, %error, "a consumer ends with its channel");
            return;
        }
        while let Some(Ok(message)) = consumer.next().await {
            if let Err(error) = self.nack(message.delivery_tag, None).await {
                tracing::debug!(queue = %self.queue, %error, "a message goes back with its channel");
            }
        }
    }
}

/// Puts messages back in time, as long as somebody has the intake.
async fn keep(intake: Weak<Intake>, sooner: Arc<Notify>) {
    loop {
        let Some(at) = intake.upgrade().filter(|intake| intake.is_open()).map(|intake| intake.next_look()) else {
            return;
        };
        tokio::select! {
            biased;
            () = sooner.notified() => continue,
            () = tokio::time::sleep_until(at) => {}
        }
        let Some(intake) = intake.upgrade() else { return };
        intake.put_back_ended().await;
        intake.put_back_buffered().await;
    }
}

/// What comes back with the channel keeps the names that it has here.
impl Drop for Intake {
    fn drop(&mut self) {
        let mut nameless = self.nameless.lock();
        self.leases.get_mut().take_all().flatten().for_each(|named| nameless.goes_back(named));
    }
}

fn gone() -> QueueError {
    QueueError::LeaseLost { message: "its message has been settled, or has gone back to its queue".into() }
}
