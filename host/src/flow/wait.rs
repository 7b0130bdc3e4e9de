//! A delivery that has to wait. Its queue hides it, if it can hide it for so long and keeps it until
//! then. Else it is parked: stored in the ledger, then deleted from its queue, and sent again when
//! the wait is over ([`crate::timers`]). On a FIFO queue only what its producer wants later is
//! parked: any other message would lose its place.

use std::time::Duration;

use wasq_core::message::Delivery;
use wasq_ledgers::LedgerError;
use wasq_queues::QueueRules;

use super::decide::outlives_retention;
use super::insist::insist;
use super::plugin_attempt::PluginAttempt;
use crate::timers::parked::{Why, sent_again};
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
        Why::DeliverAt(_) => runtime.queue.is_fifo() || delay > HIDDEN_UP_TO,
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
    let (services, runtime) = (whole.services, whole.runtime);
    let is_fifo = runtime.queue.is_fifo();
    if (is_fifo && why == Why::Waits) || services.health.ledger_is_down() {
        return None;
    }
    // Its attribute needs room.
    let message = sent_again(whole.delivery, why, is_fifo, "");
    let refusal = QueueRules::of(&*runtime.queue, &runtime.max_bytes).refusal(&message);
    services.timers.as_ref().filter(|_| refusal.is_none())
}
