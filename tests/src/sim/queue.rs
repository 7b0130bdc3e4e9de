//! A queue of the world, as one host reaches it: SQS's semantics, and what goes wrong with its
//! calls.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wasq::dlq::LETTER_ATTRIBUTE;
use wasq::groups::ENDED_ATTRIBUTE;
use wasq_core::clock;
use wasq_core::message::{AttributeValue, Delivery, MessageId, Receipt, UnixMs};
use wasq_queues::{Outgoing, Queue, QueueError};

use super::host::Seat;
use super::world::{EPOCH_MS, State, Stored, Which, wait_id};

/// How often an empty long poll looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One queue, from one host's side.
pub struct SimQueue {
    which: Which,
    seat: Arc<Seat>,
    name: &'static str,
    hides_up_to: Duration,
    delays_up_to: Duration,
    /// Whether it is the keeper's own connection: what that hides is held, not put back.
    is_keepers: bool,
}

impl SimQueue {
    pub fn new(which: Which, seat: Arc<Seat>) -> Self {
        let (fifo, hides_up_to, delays_up_to) = {
            let state = seat.world.lock();
            (state.fifo, state.hides_up_to, state.delays_up_to)
        };
        let name = match which {
            Which::Jobs if fifo => "jobs.fifo",
            Which::Jobs => "jobs",
            Which::Dlq if fifo => "jobs-dlq.fifo",
            Which::Dlq => "jobs-dlq",
            Which::Out => "out",
        };
        Self { which, seat, name, hides_up_to, delays_up_to, is_keepers: false }
    }

    /// The keeper's connection to the jobs.
    pub fn for_keeper(seat: Arc<Seat>) -> Self {
        Self { is_keepers: true, ..Self::new(Which::Jobs, seat) }
    }

    /// A call on its way there: it may fail before it has an effect.
    async fn before(&self) -> Result<(), QueueError> {
        self.seat.may_die().await;
        self.seat.travel().await;
        if self.seat.world.lock().draw_fault(|rates| rates.queue_before) { Err(transient()) } else { Ok(()) }
    }

    /// And back: its answer may be lost.
    async fn after(&self) -> Result<(), QueueError> {
        self.seat.may_die().await;
        self.seat.travel().await;
        if self.seat.world.lock().draw_fault(|rates| rates.queue_after) { Err(transient()) } else { Ok(()) }
    }

    /// A batch call whose entries have their effects one by one.
    async fn batch<E, T>(
        &self,
        entries: &[E],
        effect: impl Fn(&mut State, &E, u64) -> Result<T, QueueError> + Send + Sync,
    ) -> Vec<Result<T, QueueError>>
    where
        E: Sync,
        T: Send,
    {
        if let Err(error) = self.before().await {
            return entries.iter().map(|_| Err(error.clone())).collect();
        }
        let answers: Vec<_> = {
            let now_ms = self.seat.now_ms();
            let state = &mut *self.seat.world.lock();
            let mut one = |entry| match state.draw_fault(|rates| rates.entry) {
                true => Err(transient()),
                false => effect(state, entry, now_ms),
            };
            entries.iter().map(&mut one).collect()
        };
        match self.after().await {
            Ok(()) => answers,
            Err(error) => entries.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Takes what is visible, and hides it.
    fn take(&self, state: &mut State, max: usize, visibility: Duration) -> Vec<Delivery> {
        let now_ms = self.seat.now_ms();
        let mut taken = Vec::new();
        for place in available(state, self.which, now_ms) {
            if taken.len() == max {
                break;
            }
            let doubled = !state.by_connection && state.draw_fault(|rates| rates.duplicate);
            let host = self.seat.host;
            let message = &mut state.backlogs[self.which as usize].messages[place];
            message.receipt += 1;
            message.receives += 1;
            message.holder = Some(host);
            message.put_back = false;
            if !doubled {
                message.visible_at_ms = now_ms + visibility.as_millis() as u64;
            }
            taken.push(Delivery {
                message_id: message.id.clone(),
                receipt: Receipt(format!("{place}/{}", message.receipt)),
                body: message.content.body.clone(),
                attributes: message.content.attributes.clone(),
                receive_count: message.receives,
                sent_at: UnixMs(EPOCH_MS + message.sent_ms),
                enqueued_at: UnixMs(EPOCH_MS + message.sent_ms),
                group: message.content.group.clone(),
                deduplication_id: None,
                trace_header: None,
                received_at: clock::now(),
            });
            let (id, receives) = (message.id.clone(), message.receives);
            state.trace(now_ms, || format!("host {host} receives {id}, time {receives}"));
        }
        taken
    }
}

/// What a poll was given and nobody has read yet. If the poll is given up, its host cannot know of
/// it.
struct Unread<'a> {
    queue: &'a SimQueue,
    ids: Vec<MessageId>,
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let now_ms = self.queue.seat.now_ms();
        let state = &mut *self.queue.seat.world.lock();
        for message in &mut state.backlogs[self.queue.which as usize].messages {
            if self.ids.contains(&message.id) {
                message.holder = None;
                // It is in the host already, which gives it to the next poll.
                if state.by_connection {
                    message.visible_at_ms = now_ms;
                }
            }
        }
    }
}

/// What can be received now, in the order in which it may come.
fn available(state: &mut State, which: Which, now_ms: u64) -> Vec<usize> {
    // Now and then a lease ends before its time.
    for place in 0..state.backlogs[which as usize].messages.len() {
        if !state.by_connection
            && state.backlogs[which as usize].messages[place].in_flight(now_ms)
            && state.draw_fault(|rates| rates.expire)
        {
            state.backlogs[which as usize].messages[place].visible_at_ms = now_ms;
        }
    }
    let messages = &state.backlogs[which as usize].messages;
    let mut places: Vec<usize> = if state.fifo && which != Which::Out {
        // A group waits for each of its messages that is in flight.
        let is_blocked = |group: &Option<String>| {
            messages.iter().any(|message| message.in_flight(now_ms) && message.content.group == *group)
        };
        (0..messages.len())
            .filter(|place| !messages[*place].deleted && !is_blocked(&messages[*place].content.group))
            .collect()
    } else {
        (0..messages.len()).filter(|place| is_visible(&messages[*place], now_ms)).collect()
    };
    if !state.fifo && state.draw(|rates| rates.reorder) {
        state.rng.shuffle(&mut places);
    }
    places
}

fn is_visible(message: &Stored, now_ms: u64) -> bool {
    !message.deleted && message.visible_at_ms <= now_ms
}

fn transient() -> QueueError {
    QueueError::Transient { code: "ServiceUnavailable".into(), message: "as the seed has it".into() }
}

fn parse(receipt: &Receipt) -> (usize, u64) {
    let (place, count) = receipt.0.split_once('/').expect("the queue made it");
    (place.parse().expect("a number"), count.parse().expect("a number"))
}

#[async_trait]
impl Queue for SimQueue {
    fn name(&self) -> &str {
        self.name
    }

    fn hides_up_to(&self) -> Duration {
        self.hides_up_to
    }

    fn delays_up_to(&self) -> Duration {
        self.delays_up_to
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.before().await?;
        let until = clock::now() + wait;
        let taken = loop {
            let taken = self.take(&mut self.seat.world.lock(), max, visibility);
            if !taken.is_empty() || clock::now() >= until {
                break taken;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let mut unread =
            Unread { queue: self, ids: taken.iter().map(|delivery| delivery.message_id.clone()).collect() };
        let answer = self.after().await;
        if answer.is_ok() || !self.seat.world.lock().by_connection {
            unread.ids.clear();
        }
        answer.map(|()| taken)
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        self.batch(receipts, |state, receipt, now_ms| {
            let (place, count) = parse(receipt);
            let message = &state.backlogs[self.which as usize].messages[place];
            let (id, original, host) = (message.id.clone(), message.original_id(), self.seat.host);
            self.seat.tell_runs(&mut state.watch);
            let timers = state.timers(now_ms);
            let waits = |key| timers.contains(&wait_id(key)) || state.is_there(key, place, &timers);
            let verdict = state.watch.deleting(&original, waits);
            if let Err(what) = verdict
                && !state.is_kept_elsewhere(place, now_ms)
            {
                state.violated(now_ms, what);
            }
            let comes_back = state.draw_fault(|rates| rates.undelete);
            let message = &mut state.backlogs[self.which as usize].messages[place];
            // A stale receipt "succeeds", and deletes nothing.
            let is_latest = message.receipt == count;
            message.deleted |= is_latest && !comes_back;
            state.trace(now_ms, || format!("host {host} deletes {id}{}", if is_latest { "" } else { " (stale)" }));
            Ok(())
        })
        .await
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        self.batch(changes, |state, (receipt, visibility_s), now_ms| {
            let (place, count) = parse(receipt);
            let message = &mut state.backlogs[self.which as usize].messages[place];
            if message.receipt != count || !message.in_flight(now_ms) {
                return Err(QueueError::LeaseLost { message: "it is not in flight under this receipt".into() });
            }
            message.visible_at_ms = now_ms + u64::from(*visibility_s) * 1000;
            message.put_back = !self.is_keepers;
            let (id, host) = (message.id.clone(), self.seat.host);
            state.trace(now_ms, || format!("host {host} hides {id} for {visibility_s} s"));
            Ok(())
        })
        .await
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        self.batch(messages, |state, message, now_ms| {
            if self.which == Which::Dlq && state.dlq_gone_until_ms > now_ms {
                state.summary.faults += 1;
                let (code, message) = ("QueueDoesNotExist".into(), "as the seed has it".into());
                return Err(QueueError::Permanent { code, message });
            }
            if self.which == Which::Dlq {
                let letter = message.attributes.get(LETTER_ATTRIBUTE).and_then(AttributeValue::text).unwrap_or("null");
                let letter = serde_json::from_str(letter).expect("the host writes JSON");
                if let Err(what) = state.watch.dead_letter(&letter) {
                    state.violated(now_ms, what);
                }
                state.trace(now_ms, || format!("dead letter {letter}"));
            }
            let prefix = match self.which {
                Which::Dlq => "d",
                Which::Out => "o",
                // What was parked, and what belongs to groups.
                Which::Jobs => "p",
            };
            let id = state.backlogs[self.which as usize].add(message.clone(), now_ms, prefix);
            state.summary.follow_ups += u64::from(message.attributes.contains_key(ENDED_ATTRIBUTE));
            if self.which == Which::Jobs
                && let Err(what) = state.watch.sent_by_host(id.clone(), message)
            {
                state.violated(now_ms, what);
            }
            Ok(id)
        })
        .await
    }

    async fn attributes(&self) -> Result<HashMap<String, String>, QueueError> {
        Ok(HashMap::new())
    }
}
