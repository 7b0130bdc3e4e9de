//! How a message goes to the DLQ, and how its letter is read there.

use bytes::Bytes;
use wasq_core::message::{AttributeValue, Attributes, Delivery, Key};
use wasq_ledgers::Ledger;
use wasq_queues::{Outgoing, Queue, QueueRules};

use super::letter::{
    ENVELOPE_TTL, Envelopes, InLedger, LETTER_ATTRIBUTE, Letter, LetterError, content_id, original_attributes,
};
use super::oversized;

/// Sends a delivery to the DLQ: its body byte for byte, its attributes, and one more with the
/// letter. When the DLQ's `rules` leave no room for the letter, the ledger keeps it. When they leave
/// none for the message, the ledger keeps the message, and the letter says where.
pub async fn send(
    dlq: &dyn Queue,
    ledger: &dyn Ledger,
    delivery: &Delivery,
    letter: &Letter,
    rules: &QueueRules,
) -> Result<(), LetterError> {
    let attributes = original_attributes(&delivery.attributes);
    let (body, attributes) = if rules.size_refusal(&delivery.body, &attributes, 0).is_none() {
        let attributes = with_letter(ledger, &delivery.body, attributes, letter, rules).await?;
        (delivery.body.clone(), attributes)
    } else {
        let kept = InLedger::keep(ledger, &delivery.body, &attributes).await?;
        let stub = Bytes::from(kept.stub(&delivery.message_id.0));
        let letter = Letter { in_ledger: Some(kept), ..letter.clone() };
        let attributes = with_letter(ledger, &stub, Attributes::new(), &letter, rules).await?;
        (stub, attributes)
    };
    let fifo = dlq.is_fifo();
    let outgoing = Outgoing {
        body,
        attributes,
        delay_s: 0,
        // A FIFO queue wants a group, and an id by which a second send within five minutes is the
        // same letter.
        group: delivery.group.clone().or_else(|| fifo.then(|| "wasq".to_owned())),
        deduplication_id: fifo.then(|| {
            let plugin = letter.plugin.as_deref().unwrap_or_default();
            // The records of a batch have one message id.
            let key = letter.key.as_deref().unwrap_or_default();
            Key::derive(&[letter.message_id.0.as_bytes(), plugin.as_bytes(), key.as_bytes()]).to_hex()
        }),
    };
    for answer in dlq.send(std::slice::from_ref(&outgoing)).await {
        answer?;
    }
    Ok(())
}

/// The attributes with the letter; where there is no room for it, the ledger keeps it.
async fn with_letter(
    ledger: &dyn Ledger,
    body: &[u8],
    attributes: Attributes,
    letter: &Letter,
    rules: &QueueRules,
) -> Result<Attributes, LetterError> {
    let json = serde_json::to_string(letter).map_err(|error| LetterError::Envelope(error.to_string()))?;
    // A key or a type out of a JSON body may hold any character; these two JSON leaves as they are,
    // and SQS refuses them.
    let json = json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    let mut full = attributes.clone();
    full.insert(LETTER_ATTRIBUTE.into(), AttributeValue::string(&json));
    if rules.size_refusal(body, &full, 0).is_none() {
        return Ok(full);
    }
    // There may be no room for even a pointer, so the envelope is found by what the message holds.
    ledger.put_envelope(&content_id(body, &attributes), json.as_bytes(), ENVELOPE_TTL).await?;
    Ok(attributes)
}

/// The letter of a message in the DLQ; none if SQS itself moved it there.
///
/// # Errors
/// The letter cannot be read. A stub, which stands for a larger message, always has a letter:
/// [`LetterError::Gone`] if it has none any more.
pub async fn read(delivery: &Delivery, envelopes: &dyn Envelopes) -> Result<Option<Letter>, LetterError> {
    let json = match delivery.attributes.get(LETTER_ATTRIBUTE).and_then(AttributeValue::text) {
        Some(json) => json.to_owned(),
        None => match envelopes.get(&content_id(&delivery.body, &delivery.attributes)).await? {
            Some(json) => json,
            None => match oversized::content_of_stub(&delivery.body) {
                Some(content) => return Err(LetterError::Gone(content)),
                None => return Ok(None),
            },
        },
    };
    serde_json::from_str(&json).map(Some).map_err(|error| LetterError::Envelope(error.to_string()))
}
