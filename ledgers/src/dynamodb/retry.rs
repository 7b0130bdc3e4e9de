//! The claim of a later attempt as one write that looks at nothing first. It does what
//! [`entry::claim`](crate::entry::claim) decides over a released entry of the same body; what that
//! one decides over any other is asked only when the write was refused.

use wasq_core::message::UnixMs;

use super::item::{
    ATTEMPTS, BODY, CLAIM_ID, CLAIMED, ClaimId, DEAD, FENCE, LeaseEnd, MESSAGE_ID, RELEASED, REMOVABLE_AT, STATE,
    bytes, kept_until, leased, number, text,
};
use super::update::Update;
use crate::entry::{IDLE_KEPT, after};
use crate::ledger::ClaimRequest;

/// The answer has to be asked for the entry: the fence and the attempts are counted in the table.
pub fn update(request: &ClaimRequest, lease: LeaseEnd, id: &ClaimId, now: UnixMs) -> Update {
    Update::default()
        .only_if(STATE, text(RELEASED))
        .only_if(BODY, bytes(&request.body.0))
        .only_if_above(REMOVABLE_AT, number(now.0))
        // The message may be among them.
        .only_if_not_there(DEAD)
        .set(STATE, text(CLAIMED))
        .add(FENCE, 1)
        .add(ATTEMPTS, 1)
        .set(MESSAGE_ID, text(&request.message_id.0))
        .set(CLAIM_ID, bytes(id))
        .set_all(leased(lease))
        .set_all(kept_until(after(now, IDLE_KEPT)))
}
