//! What is kept of a message on its way.

use std::collections::HashSet;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldArray};
use wasq_core::clock;
use wasq_core::message::{AttributeData, AttributeValue};
use wasq_queues::rabbitmq::QueueType;
use wasq_queues::{Outgoing, Queue};

use super::{
    Other, count, delete, make, message, new_name, new_queue, put_back, receive_all, receive_one, send, table,
};
use crate::support::servers::rabbitmq;

#[tokio::test]
async fn a_message_arrives_as_it_was_sent_and_is_gone_when_it_is_deleted() {
    for queue_type in [QueueType::Classic, QueueType::Quorum] {
        let queue = make(&super::connect(rabbitmq()).await, &new_name(), queue_type).await;
        let binary = AttributeData::Binary(Bytes::from_static(&[0, 0xff]));
        let attributes = [
            ("type", AttributeValue::string("greeting")),
            ("content-type", AttributeValue::string("text/plain")),
            ("traceparent", AttributeValue::string("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
            ("amount", AttributeValue { data_type: "Number.f64".into(), value: AttributeData::Text("12.5".into()) }),
            ("picture", AttributeValue { data_type: "Binary".into(), value: binary }),
        ];
        let sent = Outgoing {
            attributes: attributes.map(|(name, value)| (name.to_owned(), value)).into(),
            group: Some("customer 7".into()),
            deduplication_id: Some("order 41".into()),
            ..message("{\"for\": \"Ada\"}")
        };
        let before = clock::unix_ms().0 / 1_000 * 1_000;
        let id = queue.send(std::slice::from_ref(&sent)).await.remove(0).unwrap();
        let delivery = receive_one(&queue).await;
        assert_eq!(delivery.message_id, id);
        assert_eq!((&delivery.body, &delivery.attributes), (&sent.body, &sent.attributes));
        assert_eq!((&delivery.group, &delivery.deduplication_id), (&sent.group, &sent.deduplication_id));
        assert_eq!((delivery.receive_count, delivery.trace_header.as_deref()), (1, None));
        assert!((before..=clock::unix_ms().0).contains(&delivery.sent_at.0), "{:?}", delivery.sent_at);
        assert_eq!(delivery.enqueued_at, delivery.sent_at);
        count(&queue, "0", "1").await;
        delete(&queue, &[delivery]).await;
        count(&queue, "0", "0").await;
    }
}

#[tokio::test]
async fn headers_of_other_clients_go_back_with_their_types() {
    let (from, to) = (new_queue(rabbitmq()).await, new_queue(rabbitmq()).await);
    let nested = FieldArray::from(vec![AMQPValue::LongLongInt(1), AMQPValue::Boolean(false)]);
    let headers = table(&[
        ("long text", AMQPValue::LongString("täxt".into())),
        ("no text", AMQPValue::LongString(vec![0xff].into())),
        ("bytes", AMQPValue::ByteArray(vec![1, 2].into())),
        ("true", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("u8", AMQPValue::ShortShortUInt(8)),
        ("i16", AMQPValue::ShortInt(-16)),
        ("u16", AMQPValue::ShortUInt(16)),
        ("i32", AMQPValue::LongInt(-32)),
        ("u32", AMQPValue::LongUInt(32)),
        ("i64", AMQPValue::LongLongInt(-64)),
        ("f32", AMQPValue::Float(0.5)),
        ("f64", AMQPValue::Double(-0.25)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 1_999 })),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("void", AMQPValue::Void),
        ("table", AMQPValue::FieldTable(table(&[("list", AMQPValue::FieldArray(nested))]))),
    ]);
    let other = Other::connect(rabbitmq()).await;
    let properties = BasicProperties::default()
        .with_headers(headers.clone())
        .with_message_id("id-1".into())
        .with_type("greeting".into())
        .with_content_type("text/plain".into())
        .with_correlation_id("c-1".into())
        .with_timestamp(1_700_000_000);
    other.publish(from.name(), b"x", properties).await;
    let delivery = receive_one(&from).await;
    assert_eq!((delivery.message_id.0.as_str(), delivery.sent_at.0), ("id-1", 1_700_000_000_000));
    let text = |name: &str| delivery.attributes[name].text().map(str::to_owned);
    assert_eq!(text("type").as_deref(), Some("greeting"), "the property stands where there is no header");
    assert_eq!(text("table").as_deref(), Some("{\"list\":[1,false]}"));

    let again = Outgoing { attributes: delivery.attributes.clone(), ..message("x") };
    to.send(&[again]).await.remove(0).unwrap();
    let (_, properties) = other.get(to.name()).await.expect("it was sent");
    let property = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
    assert_eq!(property(properties.kind()).as_deref(), Some("greeting"));
    assert_eq!(property(properties.content_type()).as_deref(), Some("text/plain"));
    assert_eq!(property(properties.correlation_id()).as_deref(), Some("c-1"));
    assert_eq!(*properties.delivery_mode(), Some(2), "it is kept when the server starts again");
    let sent = properties.headers().as_ref().expect("it has headers");
    for (name, value) in &headers {
        assert_eq!(sent.inner().get(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_body_of_any_bytes_and_of_many_frames_arrives_whole() {
    let queue = new_queue(rabbitmq()).await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    for body in [Vec::new(), vec![0, 0xff, 0xfe], large] {
        let sent = Outgoing { body: body.clone().into(), ..message("") };
        queue.send(&[sent]).await.remove(0).unwrap();
        let delivery = receive_one(&queue).await;
        assert!(delivery.body == body, "{} bytes of {}", delivery.body.len(), body.len());
        delete(&queue, &[delivery]).await;
    }
}

/// Two of one content are two messages, and one that goes back is known when it comes again.
#[tokio::test]
async fn messages_without_an_id_are_told_apart() {
    let queue = new_queue(rabbitmq()).await;
    let other = Other::connect(rabbitmq()).await;
    for _ in 0..2 {
        other.publish(queue.name(), b"the same", BasicProperties::default()).await;
    }
    let both = receive_all(&queue, 2).await;
    assert_ne!(both[0].message_id, both[1].message_id);
    put_back(&queue, &both[0]).await;
    let again = receive_one(&queue).await;
    assert_eq!((&again.message_id, again.receive_count), (&both[0].message_id, 2));
    delete(&queue, &[again, both[1].clone()]).await;
    other.publish(queue.name(), b"the same", BasicProperties::default()).await;
    let ids: HashSet<_> = both.iter().map(|delivery| delivery.message_id.clone()).collect();
    assert!(!ids.contains(&receive_one(&queue).await.message_id), "a third one");
}

#[tokio::test]
async fn messages_are_sent_together_and_answered_in_their_order() {
    let queue = new_queue(rabbitmq()).await;
    let bodies: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    let messages: Vec<_> = bodies.iter().map(|body| message(body)).collect();
    let ids: Vec<_> = queue.send(&messages).await.into_iter().map(|answer| answer.unwrap()).collect();
    send(&queue, &["last"]).await;
    let mut received = Vec::new();
    for _ in 0..10 {
        let batch = receive_all(&queue, 10).await;
        delete(&queue, &batch).await;
        received.extend(batch);
    }
    let by_body = received.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned());
    assert_eq!(by_body.collect::<Vec<_>>(), bodies);
    assert_eq!(received.into_iter().map(|delivery| delivery.message_id).collect::<Vec<_>>(), ids);
}
