//! A stream whose messages come one after the other (`order = "stream"`): the first that is not
//! done, and those behind it only to the same receive. While somebody has it, or it waits, nobody
//! gets any.
//!
//! Whether that is so is asked in the script that takes them. So it holds for any number of hosts.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ToRedisArgs, Value, cmd};
use tokio::time::{sleep, timeout};
use wasq_core::clock;
use wasq_core::message::Delivery;

use super::consumer::{Consumer, EntryRef};
use super::entry::{Entry, array, text};
use super::error::{given_up, unexpected};
use super::intake::{Change, Intake, SHOWN_MS, number};
use super::looks::SWEEP_EVERY;
use super::readers::{self, BLOCK_MAX};
use super::scripts;
use crate::queue::QueueError;

/// The least time between two looks at what somebody has.
const LOOK_MIN: Duration = Duration::from_millis(10);

/// Why there is nothing.
enum Next {
    /// Somebody has the first message, or it waits, for so long at most.
    Due(Duration),
    /// All is done. What comes has a later id.
    After(String),
}

impl Intake {
    /// Waits for at least one message, up to `wait`.
    pub async fn receive_in_order(
        self: &Arc<Self>,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let until = clock::now() + wait;
        // Of two receives of this host, one would wait for what the other has.
        let Ok(_turn) = timeout(wait, self.in_order.lock()).await else { return Ok(Vec::new()) };
        let consumer = Consumer::new(&self.uuid, visibility);
        let _receiving = self.ready.receiving(visibility);
        let mut reader = self.readers.check_out(&consumer);
        loop {
            let news = self.ready.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let next = self.look_at_first(&consumer, max, visibility).await?;
            let mut taken = self.ready.take(usize::MAX, visibility);
            if !taken.is_empty() {
                let rest = taken.split_off(max.min(taken.len()));
                self.put_back(&rest).await;
                return Ok(taken);
            }
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            match next {
                Next::Due(due_in) => {
                    let pause = due_in.clamp(LOOK_MIN, SWEEP_EVERY).min(left);
                    tokio::select! {
                        biased;
                        () = news => {}
                        () = sleep(pause) => {}
                    }
                }
                Next::After(last) => {
                    let block = left.min(BLOCK_MAX);
                    let read = |connection| self.clone().until_more(connection, last, block);
                    reader.begin(&self.store, &self.target, &consumer, read).await?;
                    tokio::select! {
                        biased;
                        ended = reader.end(&self.target) => ended?,
                        () = news => {}
                    }
                }
            }
        }
    }

    /// Takes the first messages, as a task: a receive that is given up leaves nothing behind that
    /// is neither taken nor there.
    async fn look_at_first(
        self: &Arc<Self>,
        consumer: &Consumer,
        max: usize,
        visibility: Duration,
    ) -> Result<Next, QueueError> {
        let (intake, consumer) = (self.clone(), consumer.clone());
        let task = tokio::spawn(async move { intake.take_first(&consumer, max, visibility).await });
        task.await.map_err(|error| given_up(&self.target, &error))?
    }

    async fn take_first(&self, consumer: &Consumer, max: usize, visibility: Duration) -> Result<Next, QueueError> {
        if self.looks.is_tidying_due() {
            self.tidy().await;
        }
        let mut arguments = Vec::new();
        self.config.group.write_redis_args(&mut arguments);
        consumer.name().write_redis_args(&mut arguments);
        consumer.visibility_ms().write_redis_args(&mut arguments);
        max.write_redis_args(&mut arguments);
        let asked_at = clock::now();
        let call = scripts::call(&scripts::TAKE_FIRST, &self.stream, arguments);
        let answer = self.store.run(&self.target, &scripts::TAKE_FIRST, &call).await?;
        let (next, gone, entries) = read_first(answer).ok_or_else(|| unexpected(&self.target))?;
        self.warn_of_gone(gone);
        self.arrived(entries, consumer, visibility, asked_at).await;
        Ok(next)
    }

    /// Waits until the stream has an entry with a later id. Nothing is taken.
    async fn until_more(
        self: Arc<Self>,
        mut connection: MultiplexedConnection,
        last: String,
        block: Duration,
    ) -> Result<MultiplexedConnection, QueueError> {
        let mut call = cmd("XREAD");
        // Redis waits forever for 0.
        call.arg("COUNT").arg(1).arg("BLOCK").arg(block.as_millis().max(1) as u64);
        call.arg("STREAMS").arg(&self.stream).arg(last);
        readers::answer(&self.target, block, call.query_async(&mut connection)).await?;
        Ok(connection)
    }

    /// Shows what a receive that was given up has left beyond what this one takes.
    async fn put_back(&self, deliveries: &[Delivery]) {
        let entries = deliveries.iter().filter_map(|delivery| EntryRef::read(&delivery.receipt));
        let changes: Vec<_> =
            entries.map(|entry| Change { to: entry.consumer.hidden(), idle_ms: SHOWN_MS, entry }).collect();
        if changes.is_empty() {
            return;
        }
        if let Err(error) = self.change(&changes).await {
            tracing::debug!(target = %self.target, %error, "messages that nobody took come again after their visibility");
        }
    }
}

/// What comes next, how many entries are gone, and those that were taken.
fn read_first(answer: Value) -> Option<(Next, usize, Vec<Entry>)> {
    let [due_in, last, gone, taken] = <[Value; 4]>::try_from(array(answer)?).ok()?;
    let taken = array(taken)?.into_iter().map(Entry::read_due).collect::<Option<Vec<_>>>()?;
    let next = match u64::try_from(number(due_in)?) {
        Ok(due_in_ms) => Next::Due(Duration::from_millis(due_in_ms)),
        Err(_nothing_stands_before) => Next::After(text(last)?),
    };
    Some((next, array(gone)?.len(), taken))
}
