//! A dead letter of ours that AWS itself has moved back to its source: the console's redrive
//! button, or StartMessageMoveTask. It is a replay like `wasq dlq replay`'s, so it keeps its key:
//! what was done stays done, and steps stay.

use wasq_core::message::{AttributeValue, Delivery, KEY_ATTRIBUTE, size_bytes};
use wasq_queues::MESSAGE_MAX_ATTRIBUTES;
use wasq_queues::MESSAGE_MAX_BYTES;

use super::letter::{Envelopes, LETTER_ATTRIBUTE, LetterError, OWN_KEY_ATTRIBUTE};
use super::oversized::is_stub;
use super::send::read;

/// More bytes than a letter has, unless the limits on keys and reasons are raised far above their
/// defaults.
const LETTER_ROOM_BYTES: usize = 64 * 1024;

/// The message that a delivery was before it was dead-lettered; none if it never was. It has its
/// letter's key as the attribute `wasq-key`, as a replay has.
///
/// # Errors
/// The ledger does not answer, or it no longer keeps what did not fit into the DLQ.
pub async fn reopen(delivery: &Delivery, envelopes: &dyn Envelopes) -> Result<Option<Delivery>, LetterError> {
    let may_be_ours = delivery.attributes.contains_key(LETTER_ATTRIBUTE)
        || is_stub(&delivery.body)
        || had_no_room_for_its_letter(delivery);
    if !may_be_ours {
        return Ok(None);
    }
    let letter = match read(delivery, envelopes).await {
        Ok(Some(letter)) => letter,
        // Somebody else's attribute of that name.
        Ok(None) | Err(LetterError::Envelope(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut reopened = delivery.clone();
    reopened.attributes.remove(LETTER_ATTRIBUTE);
    if let Some(in_ledger) = &letter.in_ledger {
        in_ledger.restore(&mut reopened, envelopes).await?;
    }
    let key = letter.key.unwrap_or(letter.message_id.0);
    reopened.attributes.insert(OWN_KEY_ATTRIBUTE.into(), AttributeValue::string(key));
    Ok(Some(reopened))
}

/// Whether the letter would be in the ledger, if the message came from the DLQ. Nobody need be
/// asked where the producer gave the key.
fn had_no_room_for_its_letter(delivery: &Delivery) -> bool {
    let attributes = &delivery.attributes;
    let is_full = attributes.len() >= MESSAGE_MAX_ATTRIBUTES
        || size_bytes(&delivery.body, attributes) + LETTER_ROOM_BYTES > MESSAGE_MAX_BYTES;
    is_full && !attributes.contains_key(KEY_ATTRIBUTE) && !attributes.contains_key(OWN_KEY_ATTRIBUTE)
}
