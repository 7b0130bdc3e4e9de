//! The end of a claim as one write that looks at nothing first. It does what
//! [`entry::finish`](crate::entry::finish) decides over a claimed entry; what that one decides over
//! any other is asked only when the write was refused.

use aws_sdk_dynamodb::types::AttributeValue;
use wasq_core::message::UnixMs;

use super::item::{
    ATTEMPTS, CRASHES, DEAD, DEAD_LETTERED, DISCARDED, DONE, FIRST_FAILED_AT, MESSAGE_ID, RELEASED, RESULT, STATE,
    STEPS, bytes, kept_until, number, text,
};
use super::update::Update;
use crate::entry::{DeadIds, IDLE_KEPT, after};
use crate::ledger::{Fence, Finish};

pub fn update(fence: Fence, finish: &Finish, now: UnixMs) -> Update {
    let claim = Update::of_claim(fence);
    match finish {
        Finish::Done { result, discarded, ttl } => {
            let done = claim
                .set(STATE, text(DONE))
                .set(DISCARDED, AttributeValue::Bool(*discarded))
                .set_all(kept_until(after(now, *ttl)))
                .remove(STEPS);
            match result {
                Some(result) => done.set(RESULT, bytes(result)),
                None => done,
            }
        }
        Finish::Failed { at } => claim
            .set(STATE, text(RELEASED))
            .set(CRASHES, number(0))
            .set_first(FIRST_FAILED_AT, number(at.0))
            .set_all(kept_until(after(now, IDLE_KEPT))),
        Finish::Released { ran } => {
            let released =
                claim.set(STATE, text(RELEASED)).subtract(ATTEMPTS, 1).set_all(kept_until(after(now, IDLE_KEPT)));
            if *ran { released.set(CRASHES, number(0)) } else { released }
        }
        Finish::DeadLettered { message_id, ttl } => claim
            .set(STATE, text(DEAD_LETTERED))
            .set(MESSAGE_ID, text(&message_id.0))
            .append(DEAD, bytes(&DeadIds::mark(message_id)))
            .set(ATTEMPTS, number(0))
            .set(CRASHES, number(0))
            .remove(FIRST_FAILED_AT)
            .set_all(kept_until(after(now, *ttl))),
    }
}
