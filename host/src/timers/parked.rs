//! A message that was parked: how it is sent again, and how it becomes itself again when it comes
//! back. SQS gives it another id, another time and another count; what it had of these goes along
//! in one attribute, so that its key, its attempts and its age stay what they were.

use serde::{Deserialize, Serialize};
use wasq_core::message::{AttributeValue, Attributes, Delivery, Key, MessageId, UnixMs};
use wasq_queues::Outgoing;

use super::deliver_at::DELIVER_AT_ATTRIBUTE;

/// What a parked message was: JSON.
pub const PARKED_ATTRIBUTE: &str = "wasq-parked";

/// What SQS would say of the message, had it stayed in its queue.
#[derive(Serialize, Deserialize)]
struct Parked {
    id: MessageId,
    sent_at: UnixMs,
    /// How often it was received.
    receives: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    deduplication_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    trace_header: Option<String>,
}

/// Whether a message was parked before.
pub fn was_parked(attributes: &Attributes) -> bool {
    attributes.contains_key(PARKED_ATTRIBUTE)
}

/// The delivery as it would be had it stayed in its queue; none if it was not parked.
pub fn restore(delivery: &Delivery) -> Option<Delivery> {
    let text = delivery.attributes.get(PARKED_ATTRIBUTE)?.text()?;
    // Somebody else's attribute of that name stays what it is.
    let parked: Parked = serde_json::from_str(text).ok()?;
    let mut restored = delivery.clone();
    restored.attributes.remove(PARKED_ATTRIBUTE);
    restored.message_id = parked.id;
    restored.sent_at = parked.sent_at;
    restored.receive_count = delivery.receive_count.saturating_add(parked.receives);
    restored.deduplication_id = parked.deduplication_id;
    restored.trace_header = parked.trace_header.or(restored.trace_header);
    Some(restored)
}

/// Why a delivery is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It waits for longer than its queue can have it wait.
    Waits,
    /// Its producer wants it delivered then. Its age counts from there, and this receipt does not.
    DeliverAt(UnixMs),
}

/// The message to send when the wait is over. `delivery` is what [`restore`] made of it, and
/// `park` tells this park of the message from others.
pub fn sent_again(delivery: &Delivery, why: Why, is_fifo: bool, park: &str) -> Outgoing {
    let (sent_at, receives) = match why {
        Why::Waits => (delivery.sent_at, delivery.receive_count),
        Why::DeliverAt(at) => (at.max(delivery.sent_at), delivery.receive_count.saturating_sub(1)),
    };
    let parked = Parked {
        id: delivery.message_id.clone(),
        sent_at,
        receives,
        deduplication_id: delivery.deduplication_id.clone(),
        trace_header: delivery.trace_header.clone(),
    };
    let json = serde_json::to_string(&parked).expect("it is text and numbers");
    let mut attributes = delivery.attributes.clone();
    // It has had its effect, and leaves its place to the other.
    attributes.remove(DELIVER_AT_ATTRIBUTE);
    attributes.insert(PARKED_ATTRIBUTE.into(), AttributeValue::string(json));
    // The id that the message came with may be within SQS's five minutes still.
    let deduplication_id = is_fifo.then(|| Key::derive(&[b"parked", park.as_bytes()]).to_hex());
    Outgoing { body: delivery.body.clone(), attributes, delay_s: 0, group: delivery.group.clone(), deduplication_id }
}

#[cfg(test)]
mod tests {
    use wasq_core::message::Receipt;

    use super::*;

    fn delivery() -> Delivery {
        Delivery {
            message_id: MessageId("first".into()),
            receipt: Receipt("r1".into()),
            body: "{}".into(),
            attributes: [("type".to_owned(), AttributeValue::string("t"))].into(),
            receive_count: 3,
            sent_at: UnixMs(1_000),
            enqueued_at: UnixMs(1_000),
            group: Some("g".into()),
            deduplication_id: Some("d".into()),
            trace_header: Some("Root=1".into()),
            received_at: wasq_core::clock::now(),
        }
    }

    /// As SQS delivers it the first time.
    fn received(sent: &Outgoing) -> Delivery {
        Delivery {
            message_id: MessageId("second".into()),
            receipt: Receipt("r2".into()),
            body: sent.body.clone(),
            attributes: sent.attributes.clone(),
            receive_count: 1,
            sent_at: UnixMs(90_000),
            enqueued_at: UnixMs(90_000),
            group: sent.group.clone(),
            deduplication_id: sent.deduplication_id.clone(),
            trace_header: None,
            received_at: delivery().received_at,
        }
    }

    #[test]
    fn a_parked_message_comes_back_as_itself() {
        let parked = sent_again(&delivery(), Why::Waits, true, "p");
        let back = restore(&received(&parked)).expect("it was parked");
        let expect = Delivery {
            receipt: Receipt("r2".into()),
            receive_count: 4,
            enqueued_at: UnixMs(90_000),
            received_at: back.received_at,
            ..delivery()
        };
        assert_eq!(format!("{back:?}"), format!("{expect:?}"));
        assert!(restore(&back).is_none());
        // Again and again.
        let twice = restore(&received(&sent_again(&back, Why::Waits, true, "q"))).expect("it was parked");
        assert_eq!((twice.message_id.0.as_str(), twice.receive_count), ("first", 5));
    }

    #[test]
    fn what_its_producer_wanted_later_is_as_new_then() {
        let mut wanted = delivery();
        wanted.receive_count = 1;
        wanted.attributes.insert(DELIVER_AT_ATTRIBUTE.into(), AttributeValue::string("80"));
        let parked = sent_again(&wanted, Why::DeliverAt(UnixMs(80_000)), false, "p");
        assert_eq!(parked.deduplication_id, None);
        let back = restore(&received(&parked)).expect("it was parked");
        assert_eq!((back.sent_at, back.receive_count), (UnixMs(80_000), 1));
        assert!(!back.attributes.contains_key(DELIVER_AT_ATTRIBUTE));
    }

    #[test]
    fn somebody_elses_attribute_is_left_alone() {
        let mut other = delivery();
        other.attributes.insert(PARKED_ATTRIBUTE.into(), AttributeValue::string("on a Tuesday"));
        assert!(restore(&other).is_none());
    }
}
