//! A delivery that has to wait. Its queue hides it, if it can hide it for so long and keeps it until
//! then. Else it is parked: stored in the ledger, then deleted from its queue, and sent again when
//! the wait is over ([`crate::timers`]). On a queue that keeps an order, as FIFO queues
//! do, only what its producer wants later is parked so, and what waits for an answer: any other
//! message would lose its place.

use std::time::Duration;

use wasq_core::message::Delivery;
use wasq_ledgers::LedgerError;
use wasq_queues::QueueRules;

use super::decide::outlives_retention;
use super::insist::insist;
use super::plugin_attempt::PluginAttempt;
use crate::sandbox::Parking;
use crate::timers::parked::{Why, sent_again};
use crate::timers::waits::Waiter;
use crate::timers::{TimerStore, park_id};

/// For how long a message is hidden until the time that its producer named. What is hidden counts
/// as in flight, of which SQS has 120,000 a queue.
const HIDDEN_UP_TO: Duration = Duration::from_secs(60);

/// How a delivery waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its queue is to hide it.
    Hidden,
    /// It is stored, and is to be deleted from its queue.
    Parked,
}

/// Parks a delivery that its queue cannot have wait for so long. `raw` is as the queue has it.
pub async fn wait(whole: &PluginAttempt<'_>, raw: &Delivery, why: Why, delay: Duration) -> Wait {
    let runtime = whole.runtime;
    let must_park = match why {
        Why::DeliverAt(_) => runtime.queue.keeps_order() || delay > HIDDEN_UP_TO.min(runtime.queue.hides_up_to()),
        Why::Waits => {
            cannot_hide(whole, delay) || outlives_retention(delay, whole.queue_age(), runtime.retention.get())
        }
    };
    if !must_park {
        return Wait::Hidden;
    }
    let Some(store) = place_to_park(whole, why) else { return Wait::Hidden };
    let park = park_id(&runtime.name, raw);
    let message = sent_again(whole.delivery, why, runtime.queue.is_fifo(), &park);
    match insist(whole, || store.park(&runtime.name, &park, why, delay, &message)).await {
        Ok(()) => Wait::Parked,
        Err(error) => {
            if let LedgerError::Unavailable(reason) = &error {
                whole.services.health.ledger_failed(reason);
            }
            log_attempt!(warn, whole, 0, %error, "a message that has to wait for {delay:?} could not be parked; its queue hides it, \
                 and it may come back early");
            Wait::Hidden
        }
    }
}

/// Whether the queue cannot hide the delivery for so long.
pub fn cannot_hide(whole: &PluginAttempt<'_>, delay: Duration) -> bool {
    delay > whole.lease.room().min(whole.runtime.queue.hides_up_to())
}

/// Where the delivery can be parked now, if it can be.
pub fn place_to_park<'a>(whole: &PluginAttempt<'a>, why: Why) -> Option<&'a TimerStore> {
    let services = whole.services;
    let keeps_its_place = whole.runtime.queue.keeps_order() && why == Why::Waits;
    if keeps_its_place || services.health.ledger_is_down() || !has_room(whole, why) {
        return None;
    }
    services.timers.as_deref()
}

/// How the message can wait for an answer. On a FIFO queue its group goes on without it.
pub fn parking(plugin_attempt: &PluginAttempt<'_>) -> Option<Box<Parking>> {
    let store = plugin_attempt.services.timers.clone().filter(|_| has_room(plugin_attempt, Why::Waits))?;
    let is_fifo = plugin_attempt.runtime.queue.is_fifo();
    let message = sent_again(plugin_attempt.delivery, Why::Waits, is_fifo, "");
    Some(Box::new(Parking { store, waiter: Waiter { queue: plugin_attempt.runtime.name.clone(), message } }))
}

/// Whether there is room for the attribute that a parked message has.
fn has_room(whole: &PluginAttempt<'_>, why: Why) -> bool {
    let runtime = whole.runtime;
    let message = sent_again(whole.delivery, why, runtime.queue.is_fifo(), "");
    QueueRules::of(&*runtime.queue, &runtime.max_bytes).refusal(&message).is_none()
}
