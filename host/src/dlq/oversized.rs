//! A message that its DLQ does not take, because the DLQ's `MaximumMessageSize` is smaller than the
//! source queue's. The ledger keeps it, in parts; what goes to the DLQ says so, and whoever reads
//! the letter gets the whole message back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasq_core::message::{Attributes, Delivery, NamedAttribute};
use wasq_ledgers::Ledger;

use super::letter::{ENVELOPE_TTL, Envelopes, InLedger, LetterError, content_id};

/// Bytes of one part. DynamoDB keeps 400 KB in an item, and a part is JSON in JSON on its way to
/// the command line.
const PART_BYTES: usize = 128 * 1024;

/// The beginning of a stub: a body that stands in the DLQ for a larger message.
const STUB_START: &str =
    r#"{"wasq":"larger than this queue takes; the ledger keeps the message, and `wasq dlq show` shows it","#;

/// Whether a body is a stub. Its letter may be in the ledger, too.
pub fn is_stub(body: &[u8]) -> bool {
    body.starts_with(STUB_START.as_bytes())
}

/// The content of the larger message, as [`content_id`] names it; none if the body is no stub.
pub fn content_of_stub(body: &[u8]) -> Option<String> {
    if !is_stub(body) {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    Some(json["content"].as_str().unwrap_or("unknown").to_owned())
}

#[derive(Serialize, Deserialize)]
struct Content {
    body: String,
    attributes: Vec<NamedAttribute>,
}

impl InLedger {
    /// Keeps the message in the ledger. Kept twice, it is there once.
    pub async fn keep(ledger: &dyn Ledger, body: &[u8], attributes: &Attributes) -> Result<Self, LetterError> {
        let invalid = |error: &dyn std::fmt::Display| LetterError::Envelope(error.to_string());
        let content = Content {
            body: std::str::from_utf8(body).map_err(|error| invalid(&error))?.to_owned(),
            attributes: attributes.iter().map(|(name, value)| NamedAttribute::of(name, value)).collect(),
        };
        let json = serde_json::to_string(&content).map_err(|error| invalid(&error))?;
        let parts = parts(&json);
        let kept = Self {
            content: content_id(body, attributes),
            parts: u32::try_from(parts.len()).map_err(|error| invalid(&error))?,
            body_bytes: body.len(),
        };
        for (index, part) in (0..).zip(parts) {
            ledger.put_envelope(&kept.part_id(index), part.as_bytes(), ENVELOPE_TTL).await?;
        }
        Ok(kept)
    }

    /// Puts the message back into the delivery that stands for it.
    ///
    /// # Errors
    /// [`LetterError::Gone`] if the ledger keeps it no more.
    pub async fn restore(&self, delivery: &mut Delivery, envelopes: &dyn Envelopes) -> Result<(), LetterError> {
        let mut json = String::new();
        for index in 0..self.parts {
            let part = envelopes.get(&self.part_id(index)).await?;
            json.push_str(&part.ok_or_else(|| LetterError::Gone(self.content.clone()))?);
        }
        let content: Content = serde_json::from_str(&json).map_err(|error| LetterError::Envelope(error.to_string()))?;
        let attributes = content.attributes.into_iter().map(NamedAttribute::read).collect::<Result<Attributes, _>>();
        delivery.attributes = attributes.map_err(|error| LetterError::Envelope(error.to_string()))?;
        delivery.body = Bytes::from(content.body);
        Ok(())
    }

    /// The body that stands in the DLQ for the message's own. The message id keeps two of the same
    /// content apart.
    pub fn stub(&self, message_id: &str) -> String {
        let message_id = serde_json::Value::from(message_id);
        let Self { content, body_bytes, .. } = self;
        format!(r#"{STUB_START}"message_id":{message_id},"content":"{content}","body_bytes":{body_bytes}}}"#)
    }

    fn part_id(&self, index: u32) -> String {
        format!("message/{}/{index}", self.content)
    }
}

/// Cut where a character ends.
fn parts(json: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = json;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
        parts.push(part);
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_is_json_and_known_as_one() {
        let kept = InLedger { content: "c".repeat(64), parts: 1, body_bytes: 300_000 };
        let stub = kept.stub("a \"quoted\" id");
        let json: serde_json::Value = serde_json::from_str(&stub).expect("it is JSON");
        assert_eq!((&json["message_id"], &json["body_bytes"]), (&"a \"quoted\" id".into(), &300_000.into()));
        assert!(is_stub(stub.as_bytes()) && stub.len() < 512);
        assert_eq!(content_of_stub(stub.as_bytes()), Some(kept.content));
        assert_eq!(content_of_stub(STUB_START.as_bytes()).as_deref(), Some("unknown"));
        for body in [r#"{"wasq":"something else"}"#, ""] {
            assert!(!is_stub(body.as_bytes()) && content_of_stub(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn parts_are_cut_between_characters_and_nothing_is_left_out() {
        for text in ["", "a", &"ä".repeat(PART_BYTES), &format!("x{}", "🦀".repeat(PART_BYTES / 2))] {
            let parts = parts(text);
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| (1..=PART_BYTES).contains(&part.len())));
        }
    }
}
