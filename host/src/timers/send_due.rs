//! Sends what is due: one task a host, which looks once a second, when the next timer is due if
//! that is sooner, and at once when the host itself has set what is due now.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use futures::join;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasq_core::backoff::Backoff;
use wasq_core::clock::{self, Clock};
use wasq_ledgers::timers::{Taken, TimerId, Update, When};
use wasq_ledgers::{Fence, Ledger};
use wasq_queues::{Outgoing, Outlets, Queue, QueueError};

use super::schedules::{self, Schedules};
use super::send_once::send_once;
use super::send_ticks::send_ticks;
use super::store::TimerStore;
use super::stored_message::{self, StoredMessage};

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Timers that one look takes.
const TAKE: usize = 500;
/// How long they are this host's. What could not be sent is taken again, by any host, when it ends.
const LEASE: Duration = Duration::from_secs(60);
/// When what this host cannot send, because it does not know the queue, is due again.
const GIVEN_BACK: Duration = Duration::from_secs(5);
/// How long into the lease messages are sent.
const SENDING: Duration = Duration::from_secs(30);
/// How often a send is tried within a lease, and the waits in between.
const TRIES: u32 = 4;
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
/// The wait after a look that failed.
const AFTER_FAILURE: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// How often schedules are looked at that another config may have set, or nobody yet.
const KEEP_SCHEDULES: Duration = Duration::from_secs(60);

/// Runs until `stop`, and then until what it has in hand is sent.
pub async fn send_due(
    store: &TimerStore,
    ledger: &dyn Ledger,
    schedules: &Schedules,
    outlets: &Outlets,
    clock: &dyn Clock,
    stop: CancellationToken,
) {
    let mut failures = 0_u32;
    let mut schedules_kept_at: Option<Instant> = None;
    while !stop.is_cancelled() {
        let wait = match store.timers.take_due(LEASE, TAKE).await {
            Ok(due) => {
                if failures > 0 {
                    tracing::info!("timers can be read again");
                }
                failures = 0;
                for error in due.damaged {
                    store.meters.failures.add(1);
                    tracing::error!(%error, "a timer cannot be read; it stays in the ledger");
                }
                if schedules_kept_at.is_none_or(|at| at.elapsed() >= KEEP_SCHEDULES) {
                    match schedules.keep(&*store.timers, due.now).await {
                        Ok(()) => schedules_kept_at = Some(clock::now()),
                        Err(error) => tracing::warn!(%error, "schedules cannot be kept; they are tried again"),
                    }
                }
                let (ticks, messages) = due.taken.into_iter().partition(|taken| schedules::is_one(&taken.id));
                let ticks = send_ticks(store, schedules, outlets, ticks, due.now);
                join!(ticks, send_all(store, ledger, outlets, clock, messages));
                due.next_in.unwrap_or(LOOK).min(LOOK)
            }
            Err(error) => {
                store.meters.failures.add(1);
                failures += 1;
                // What goes on is said once.
                match failures {
                    1 => {
                        tracing::warn!(%error, "timers cannot be read; nothing that was delayed is sent until they can")
                    }
                    _ => tracing::debug!(%error, "timers cannot be read"),
                }
                AFTER_FAILURE.jittered(failures)
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = store.soon.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// A timer in hand, with its message.
struct Message {
    timer: Taken,
    outgoing: Outgoing,
}

async fn send_all(store: &TimerStore, ledger: &dyn Ledger, outlets: &Outlets, clock: &dyn Clock, taken: Vec<Taken>) {
    let mut queues: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    let began = clock::now();
    for timer in taken {
        // A host that stood still may have lost it.
        if began.elapsed() > SENDING {
            continue;
        }
        match stored_message::decode(&timer.message) {
            Ok(StoredMessage { message, wait }) => {
                // Before its message is in the queue.
                if let Some(wait) = wait
                    && let Err(error) = wait.keep_outcome(ledger).await
                {
                    store.meters.failures.add(1);
                    tracing::warn!(id = %timer.id, %error, "what a wait came to cannot be kept; its message is sent later");
                    continue;
                }
                queues.entry(timer.queue.clone()).or_default().push(Message { timer, outgoing: message });
            }
            Err(error) => {
                store.meters.failures.add(1);
                tracing::error!(id = %timer.id, error, "a timer's message cannot be read; it stays in the ledger");
            }
        }
    }
    join_all(queues.into_iter().map(|(name, messages)| async move {
        let Some(outlet) = outlets.get(&name) else {
            store.meters.failures.add(messages.len() as u64);
            if store.is_new_trouble(&name) {
                tracing::error!(
                    queue = name,
                    "messages that are due wait in the ledger: their queue is not in this host's config; if no host of the \
                     scope has it, add [queues.{name}] or [outlets.{name}]"
                );
            }
            return give_back(store, messages).await;
        };
        send(store, outlet.queue.as_ref(), clock, messages).await;
    }))
    .await;
}

/// Another host may know the queue.
async fn give_back(store: &TimerStore, messages: Vec<Message>) {
    let update =
        |Message { timer, .. }| Update { id: timer.id, fence: timer.fence, due: When::In(GIVEN_BACK), message: None };
    for answer in store.timers.update_batch(messages.into_iter().map(update).collect()).await {
        if let Err(error) = answer {
            tracing::debug!(%error, "a timer is not given back; it is due again when its lease ends");
        }
    }
}

/// Sends to one queue, and has each timer gone whose message is there.
async fn send(store: &TimerStore, queue: &dyn Queue, clock: &dyn Clock, mut messages: Vec<Message>) {
    let began = clock::now();
    for tries in 1..=TRIES {
        let (timers, outgoing): (Vec<_>, Vec<_>) =
            messages.into_iter().map(|message| (message.timer, message.outgoing)).unzip();
        let answers = send_once(queue, &outgoing).await;
        let (mut left, mut ended, mut failed) = (Vec::new(), Vec::new(), None);
        for ((timer, outgoing), answer) in timers.into_iter().zip(outgoing).zip(answers) {
            match answer {
                Ok(_) => {
                    let late_ms = clock.unix_ms().0.saturating_sub(timer.due.0);
                    store.meters.lateness.observe(Duration::from_millis(late_ms));
                    ended.push((timer.id, timer.fence));
                }
                Err(error) => {
                    failed.get_or_insert(error);
                    left.push(Message { timer, outgoing });
                }
            }
        }
        store.meters.sent.add(ended.len() as u64);
        end(store, &ended).await;
        let Some(error) = failed else { return };
        store.meters.failures.add(left.len() as u64);
        let may_pass = matches!(error, QueueError::Transient { .. }) && !error.says_not_open();
        if !may_pass || tries == TRIES || began.elapsed() > SENDING {
            tracing::warn!(
                queue = queue.name(),
                messages = left.len(),
                %error,
                "messages that are due cannot be sent; they stay in the ledger and are tried again within {LEASE:?}"
            );
            return;
        }
        messages = left;
        tokio::time::sleep(TRY_AGAIN.jittered(tries)).await;
    }
}

/// What this does not reach is sent once more when its lease ends: its key makes it a duplicate.
async fn end(store: &TimerStore, sent: &[(TimerId, Fence)]) {
    if sent.is_empty() {
        return;
    }
    let failed = store.timers.done_batch(sent).await.into_iter().find_map(Result::err);
    if let Some(error) = failed {
        store.meters.failures.add(1);
        tracing::warn!(%error, "a timer's message was sent, and the ledger has not taken that; it is sent once more");
    }
}
