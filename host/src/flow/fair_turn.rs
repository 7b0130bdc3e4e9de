//! Fairness between the keys of a queue: a message waits for its key's turn before its plugins see
//! it.

use wasq_core::message::Message;

use super::plugin_attempt::PluginAttempt;
use crate::admission::fair_queue::FairQueue;
use crate::exit::Exit;

/// Waits for the message's turn, which it has until its delivery is settled.
pub async fn wait(whole: &PluginAttempt<'_>, fair: &FairQueue, message: &Message) -> Result<(), Exit> {
    let PluginAttempt { services, lease, in_hand, .. } = *whole;
    // Another record of the same delivery has waited.
    if in_hand.has_turn() {
        return Ok(());
    }
    let key = fair.key(message);
    let turn = tokio::select! {
        biased;
        () = lease.lost().cancelled() => return Err(Exit::LeaseLost),
        () = services.interrupt.cancelled() => return Err(Exit::Interrupted),
        turn = fair.acquire(&key, whole.claimant()) => turn,
    };
    in_hand.take_turn(turn.map_err(|remaining| Exit::Yielded { remaining })?);
    Ok(())
}
