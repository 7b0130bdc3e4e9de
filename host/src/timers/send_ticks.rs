//! Sends the messages of schedules whose ticks have come, and has their timers wait for the next.

use futures::future::join_all;
use wasq_core::message::UnixMs;
use wasq_ledgers::LedgerError;
use wasq_ledgers::timers::Taken;
use wasq_queues::{Outgoing, Outlets};

use super::schedules::{Schedules, Turn};
use super::send_once::send_once;
use super::store::TimerStore;

pub async fn send_ticks(store: &TimerStore, schedules: &Schedules, outlets: &Outlets, ticks: Vec<Taken>, now: UnixMs) {
    join_all(ticks.iter().map(|taken| async move {
        if let Err(error) = send_tick(store, schedules, outlets, taken, now).await {
            store.meters.failures.add(1);
            tracing::warn!(id = %taken.id, %error, "the ledger has not taken what became of a schedule; it is looked at again");
        }
    }))
    .await;
}

async fn send_tick(
    store: &TimerStore,
    schedules: &Schedules,
    outlets: &Outlets,
    taken: &Taken,
    now: UnixMs,
) -> Result<(), LedgerError> {
    let update = match schedules.turn(taken, now) {
        Turn::Forget => {
            tracing::warn!(id = %taken.id, "a schedule that no config has any more is removed");
            return store.timers.cancel(&taken.id).await.map(drop);
        }
        Turn::Change(then) => then,
        Turn::Send { queue, messages, then } => match send(outlets, &queue, &messages).await {
            Ok(()) => {
                store.meters.sent.add(messages.len() as u64);
                store.meters.lateness.observe(now.since(taken.due));
                then
            }
            Err(reason) => {
                store.meters.failures.add(1);
                tracing::warn!(id = %taken.id, queue, reason, "a schedule's message cannot be sent; it is tried again");
                Schedules::again(&then)
            }
        },
    };
    store.timers.update(update).await.map(drop)
}

async fn send(outlets: &Outlets, queue: &str, messages: &[Outgoing]) -> Result<(), String> {
    let outlet = outlets.get(queue).ok_or("the queue is not in the config")?;
    let answers = send_once(outlet.queue.as_ref(), messages).await;
    answers.into_iter().try_for_each(|answer| answer.map_err(|error| error.to_string()))
}
