//! What is kept of a message on its way.

use bytes::Bytes;
use wasq_core::clock;
use wasq_core::message::{AttributeData, AttributeValue, MessageId};
use wasq_queues::{KAFKA_KEY, KAFKA_TOMBSTONE, Outgoing, Queue};

use super::{committed, count, delete, message, new_queue, receive_all, receive_one, text};

/// Topic, partition and offset. The test cluster answers a send with another time than it keeps.
fn position(id: &MessageId) -> &str {
    id.0.rsplit_once(':').expect("a time stands behind them").0
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent_and_is_gone_when_it_is_deleted() {
    let queue = new_queue(3).await;
    let typed = |data_type: &str, value| AttributeValue { data_type: data_type.into(), value };
    let binary = |bytes: &'static [u8]| AttributeData::Binary(Bytes::from_static(bytes));
    let attributes = [
        ("type", AttributeValue::string("greeting")),
        ("traceparent", AttributeValue::string("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ("amount", typed("Number.int", AttributeData::Text("12".into()))),
        ("picture", typed("Binary", binary(&[0, 0xff]))),
        ("text as bytes", typed("Binary.txt", binary(b"x"))),
        (KAFKA_KEY, AttributeValue::string("customer 7")),
    ];
    let sent = Outgoing {
        attributes: attributes.map(|(name, value)| (name.to_owned(), value)).into(),
        group: Some("customer 7".into()),
        deduplication_id: Some("order 41".into()),
        ..message("{\"for\": \"Ada\"}")
    };
    let before = clock::unix_ms();
    let id = queue.send(std::slice::from_ref(&sent)).await.remove(0).unwrap();
    let delivery = receive_one(&queue).await;
    assert_eq!(position(&delivery.message_id), position(&id));
    assert!(id.0.starts_with(queue.name()), "{id}");
    assert_eq!((&delivery.body, &delivery.attributes), (&sent.body, &sent.attributes));
    assert_eq!((&delivery.group, &delivery.deduplication_id), (&sent.group, &sent.deduplication_id));
    assert_eq!((delivery.receive_count, delivery.trace_header.as_deref()), (1, None));
    assert!((before..=clock::unix_ms()).contains(&delivery.sent_at), "{:?}", delivery.sent_at);
    assert_eq!(delivery.enqueued_at, delivery.sent_at);
    count(&queue, "0", "1").await;
    delete(&queue, &[delivery]).await;
    count(&queue, "0", "0").await;
    committed(&queue).await;
}

#[tokio::test]
async fn a_body_of_any_bytes_arrives_whole() {
    let queue = new_queue(1).await;
    let large: Vec<u8> = (0..900_000_u32).map(|n| (n % 251) as u8).collect();
    for body in [Vec::new(), vec![0, 0xff, 0xfe], large] {
        let sent = Outgoing { body: body.clone().into(), ..message("") };
        queue.send(&[sent]).await.remove(0).unwrap();
        let delivery = receive_one(&queue).await;
        assert!(delivery.body == body, "{} bytes of {}", delivery.body.len(), body.len());
        assert!(!delivery.attributes.contains_key(KAFKA_TOMBSTONE), "an empty body is no tombstone");
        delete(&queue, &[delivery]).await;
    }
}

#[tokio::test]
async fn a_tombstone_is_an_empty_body_with_an_attribute() {
    let queue = new_queue(1).await;
    let mut sent = message("");
    sent.attributes.insert(KAFKA_KEY.into(), AttributeValue::string("k"));
    sent.attributes.insert(KAFKA_TOMBSTONE.into(), AttributeValue::string("true"));
    queue.send(std::slice::from_ref(&sent)).await.remove(0).unwrap();
    let delivery = receive_one(&queue).await;
    assert_eq!((delivery.body.len(), &delivery.attributes), (0, &sent.attributes));
}

#[tokio::test]
async fn messages_are_sent_together_and_answered_in_their_order() {
    let queue = new_queue(1).await;
    let bodies: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    let messages: Vec<_> = bodies.iter().map(|body| message(body)).collect();
    let ids: Vec<_> = queue.send(&messages).await.into_iter().map(|answer| answer.unwrap()).collect();
    let mut received = Vec::new();
    while received.len() < bodies.len() {
        let batch = receive_all(&queue, 10).await;
        delete(&queue, &batch).await;
        received.extend(batch);
    }
    assert_eq!(received.iter().map(text).collect::<Vec<_>>(), bodies, "of one partition, in its order");
    let positions: Vec<_> = received.iter().map(|delivery| position(&delivery.message_id)).collect();
    assert_eq!(positions, ids.iter().map(position).collect::<Vec<_>>());
    committed(&queue).await;
}
