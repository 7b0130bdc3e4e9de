//! How messages come: new entries of the stream, and pending ones that are due.
//!
//! A receive waits for whichever comes first. New entries are read on a connection of its own;
//! meanwhile it looks for what is due, over the connection that all share. Both are tasks that put
//! what they get into [`Ready`].

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ToRedisArgs, Value, cmd};
use tokio::time::{Instant, sleep_until};
use wasq_core::clock;
use wasq_core::message::Delivery;

use super::config::{RedisConfig, VISIBILITY_MIN};
use super::consumer::{Consumer, EntryRef};
use super::entry::{Entry, Form, array, text};
use super::error::{CallTarget, given_up, unexpected};
use super::looks::{Look, Looks, SWEEP_STEP};
use super::readers::{self, BLOCK_MAX, Readers};
use super::ready::Ready;
use super::scripts;
use super::store::Store;
use crate::queue::QueueError;

/// How long a consumer of ours must have been away to be removed.
const AWAY: Duration = Duration::from_secs(60 * 60);
/// The idle time of an entry that is shown at once: longer than any visibility.
pub const SHOWN_MS: u64 = 24 * 60 * 60 * 1_000;
/// Steps of a sweep that a receive makes which does not wait: what asks so wants to know whether
/// anything is there.
const STEPS_MAX: usize = 20;

/// One stream, and what this host has of it.
pub struct Intake {
    pub store: Arc<Store>,
    pub target: CallTarget,
    pub config: RedisConfig,
    pub stream: String,
    /// What tells it from all other streams.
    pub id: String,
    /// The open queue's own, in the names of its consumers.
    pub uuid: uuid::Uuid,
    pub ready: Ready,
    pub looks: Looks,
    pub readers: Readers,
    /// Held by the receive of a stream that has an order.
    pub in_order: tokio::sync::Mutex<()>,
}

/// What is to become of a pending entry.
pub struct Change {
    pub entry: EntryRef,
    pub to: Consumer,
    /// For how long it is to have been idle.
    pub idle_ms: u64,
}

impl Intake {
    /// Waits for at least one message, up to `wait`.
    pub async fn receive(
        self: &Arc<Self>,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let until = clock::now() + wait;
        let consumer = Consumer::new(&self.uuid, visibility);
        let _receiving = self.ready.receiving(visibility);
        let mut reader = self.readers.check_out(&consumer);
        let mut steps = if wait.is_zero() { STEPS_MAX } else { 0 };
        let mut has_read = false;
        loop {
            let news = self.ready.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if steps > 0 {
                self.looks.hurry();
            }
            self.look(&consumer, max, visibility).await?;
            let taken = self.ready.take(max, visibility);
            if !taken.is_empty() {
                return Ok(taken);
            }
            steps = if self.looks.is_at_start() { 0 } else { steps.saturating_sub(1) };
            if steps > 0 {
                continue;
            }
            let now = clock::now();
            if has_read && now >= until {
                return Ok(Vec::new());
            }
            let block = until.saturating_duration_since(now).min(BLOCK_MAX);
            let read = |connection| self.clone().read(connection, consumer.clone(), max, block, visibility);
            reader.begin(&self.store, &self.target, &consumer, read).await?;
            tokio::select! {
                biased;
                ended = reader.end(&self.target) => {
                    ended?;
                    has_read = true;
                }
                () = news => {}
                () = sleep_until(self.looks.next_at()) => {}
            }
        }
    }

    /// Reads new entries, and puts them where receives find them.
    async fn read(
        self: Arc<Self>,
        mut connection: MultiplexedConnection,
        consumer: Consumer,
        max: usize,
        block: Duration,
        visibility: Duration,
    ) -> Result<MultiplexedConnection, QueueError> {
        let mut call = cmd("XREADGROUP");
        call.arg("GROUP").arg(&self.config.group).arg(consumer.name()).arg("COUNT").arg(max);
        // Redis waits forever for 0.
        if block.as_millis() > 0 {
            call.arg("BLOCK").arg(block.as_millis() as u64);
        }
        call.arg("STREAMS").arg(&self.stream).arg(">");
        // The lease may have begun at any time since: on the safe side.
        let asked_at = clock::now();
        let answer = readers::answer(&self.target, block, call.query_async(&mut connection)).await?;
        let entries = Entry::read_new(answer).ok_or_else(|| unexpected(&self.target))?;
        self.arrived(entries, &consumer, visibility, asked_at).await;
        Ok(connection)
    }

    /// Takes what is due now, as a task: a receive that is given up leaves nothing behind that is
    /// neither taken nor there.
    async fn look(self: &Arc<Self>, consumer: &Consumer, max: usize, visibility: Duration) -> Result<(), QueueError> {
        let Some(look) = self.looks.begin(max) else { return Ok(()) };
        let (intake, consumer) = (self.clone(), consumer.clone());
        let task = tokio::spawn(async move { intake.take_due(look, &consumer, max, visibility).await });
        task.await.map_err(|error| given_up(&self.target, &error))?
    }

    async fn take_due(
        &self,
        look: Look,
        consumer: &Consumer,
        max: usize,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        if self.looks.is_tidying_due() {
            self.tidy().await;
        }
        let sweeps = look.from.is_some();
        let least_ms = consumer.visibility_ms().min(VISIBILITY_MIN.as_millis() as u64);
        let mut arguments = Vec::new();
        self.config.group.write_redis_args(&mut arguments);
        consumer.name().write_redis_args(&mut arguments);
        (&[consumer.visibility_ms(), least_ms]).write_redis_args(&mut arguments);
        look.from.unwrap_or_default().write_redis_args(&mut arguments);
        (&[SWEEP_STEP, max]).write_redis_args(&mut arguments);
        look.hidden.iter().for_each(|entry| write_entry(entry, &mut arguments));
        let asked_at = clock::now();
        let call = scripts::call(&scripts::TAKE_DUE, &self.stream, arguments);
        let answer = self.store.run(&self.target, &scripts::TAKE_DUE, &call).await?;
        let (go_on, gone, entries) = read_due(answer).ok_or_else(|| unexpected(&self.target))?;
        if sweeps {
            self.looks.swept(go_on, entries.len() >= max);
        }
        self.warn_of_gone(gone);
        self.arrived(entries, consumer, visibility, asked_at).await;
        Ok(())
    }

    /// What nobody would take now goes back.
    pub async fn arrived(&self, entries: Vec<Entry>, consumer: &Consumer, visibility: Duration, received_at: Instant) {
        let form = Form { stream: &self.id, body_field: &self.config.body_field, consumer };
        let now = clock::unix_ms();
        if self.ready.is_awaited(visibility) {
            let deliveries = entries.into_iter().map(|entry| entry.delivery(&form, received_at, now));
            self.ready.put(deliveries.collect(), visibility);
        } else if !entries.is_empty() {
            let refs = entries.into_iter().map(|entry| {
                let entry = EntryRef { id: entry.id, consumer: consumer.clone(), deliveries: entry.deliveries };
                Change { to: consumer.hidden(), idle_ms: SHOWN_MS, entry }
            });
            if let Err(error) = self.change(&refs.collect::<Vec<_>>()).await {
                tracing::debug!(target = %self.target, %error, "messages that nobody took come again after their visibility");
            }
        }
    }

    /// Answers for each whether it was still its consumer's: see `change.lua`.
    pub async fn change(&self, changes: &[Change]) -> Result<Vec<i64>, QueueError> {
        let mut arguments = Vec::new();
        self.config.group.write_redis_args(&mut arguments);
        for Change { entry, to, idle_ms } in changes {
            write_entry(entry, &mut arguments);
            to.name().write_redis_args(&mut arguments);
            idle_ms.write_redis_args(&mut arguments);
        }
        self.answers(&scripts::CHANGE, arguments, changes.len()).await
    }

    /// Settles entries. Answers for each whether it was still its consumer's.
    pub async fn settle(&self, entries: &[EntryRef]) -> Result<Vec<i64>, QueueError> {
        let mut arguments = Vec::new();
        self.config.group.write_redis_args(&mut arguments);
        u8::from(self.config.delete).write_redis_args(&mut arguments);
        entries.iter().for_each(|entry| write_entry(entry, &mut arguments));
        self.answers(&scripts::DELETE, arguments, entries.len()).await
    }

    async fn answers(
        &self,
        script: &redis::Script,
        arguments: Vec<Vec<u8>>,
        count: usize,
    ) -> Result<Vec<i64>, QueueError> {
        let answer = self.store.run(&self.target, script, &scripts::call(script, &self.stream, arguments)).await?;
        let answers = array(answer).map(|answers| answers.into_iter().map(number).collect::<Option<Vec<_>>>());
        answers.flatten().filter(|answers| answers.len() == count).ok_or_else(|| unexpected(&self.target))
    }

    pub fn warn_of_gone(&self, gone: usize) {
        if gone > 0 {
            tracing::warn!(
                target = %self.target,
                messages = gone,
                "messages were deleted from the stream before they were handled, by MAXLEN or XTRIM or XDEL; they are lost"
            );
        }
    }

    /// Removes consumers of hosts that are gone.
    pub async fn tidy(&self) {
        let mut arguments = Vec::new();
        self.config.group.write_redis_args(&mut arguments);
        (AWAY.as_millis() as u64).write_redis_args(&mut arguments);
        let call = scripts::call(&scripts::TIDY, &self.stream, arguments);
        match self.store.run(&self.target, &scripts::TIDY, &call).await {
            Ok(removed) => tracing::debug!(target = %self.target, ?removed, "removed consumers of hosts that are gone"),
            Err(error) => {
                tracing::debug!(target = %self.target, %error, "cannot remove consumers of hosts that are gone")
            }
        }
    }
}

fn write_entry(entry: &EntryRef, arguments: &mut Vec<Vec<u8>>) {
    entry.id.write_redis_args(arguments);
    entry.deliveries.write_redis_args(arguments);
    entry.consumer.name().write_redis_args(arguments);
}

/// Where the sweep goes on, how many entries are gone, and those that were taken.
fn read_due(answer: Value) -> Option<(String, usize, Vec<Entry>)> {
    let [go_on, gone, taken] = <[Value; 3]>::try_from(array(answer)?).ok()?;
    let taken = array(taken)?.into_iter().map(Entry::read_due).collect::<Option<Vec<_>>>()?;
    Some((text(go_on)?, array(gone)?.len(), taken))
}

pub fn number(value: Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(number),
        _ => None,
    }
}
