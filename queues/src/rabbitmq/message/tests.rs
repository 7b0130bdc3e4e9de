use wasq_core::clock;

use super::*;

const NOW: UnixMs = UnixMs(1_700_000_000_500);

fn outgoing(attributes: &[(&str, AttributeValue)]) -> Outgoing {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Outgoing { body: "{}".into(), attributes: attributes.collect(), delay_s: 0, group: None, deduplication_id: None }
}

fn typed(data_type: &str, text: &str) -> AttributeValue {
    AttributeValue { data_type: data_type.into(), value: AttributeData::Text(text.into()) }
}

/// What a message becomes on its way.
fn over(message: &Outgoing) -> Delivery {
    let publication = Publication::of(message, NOW).unwrap();
    let received = Received::read(publication.body.to_vec(), &publication.properties, false);
    received.delivery(Receipt("1:1".into()), None, clock::now(), UnixMs(0))
}

#[test]
fn a_message_comes_out_as_it_went_in() {
    let binary =
        AttributeValue { data_type: "Binary".into(), value: AttributeData::Binary(Bytes::from_static(&[0xff])) };
    let message = Outgoing {
        body: Bytes::from_static(&[0, 0xff]),
        group: Some("g".into()),
        deduplication_id: Some("d".into()),
        ..outgoing(&[
            ("type", AttributeValue::string("greeting")),
            ("content-type", AttributeValue::string("text/plain")),
            ("content-encoding", AttributeValue::string("gzip")),
            ("correlation-id", AttributeValue::string("c-1")),
            ("traceparent", AttributeValue::string("00-…")),
            ("count", typed("Number.i32", "7")),
            ("flag", typed("String.bool", "true")),
            ("bytes", binary),
        ])
    };
    let publication = Publication::of(&message, NOW).unwrap();
    let properties = &publication.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ShortString::to_string);
    assert_eq!(text(properties.kind()).as_deref(), Some("greeting"), "consumers look for it there, too");
    assert_eq!(text(properties.content_type()).as_deref(), Some("text/plain"));
    assert_eq!((*properties.delivery_mode(), *properties.timestamp()), (Some(2), Some(1_700_000_000)));
    let delivery = over(&message);
    assert_eq!((delivery.body, delivery.attributes), (message.body, message.attributes));
    assert_eq!((delivery.group, delivery.deduplication_id), (message.group, message.deduplication_id));
    assert_eq!((delivery.sent_at, delivery.receive_count), (UnixMs(1_700_000_000_000), 1));
    assert_eq!((delivery.enqueued_at, delivery.trace_header), (UnixMs(1_700_000_000_000), None));
}

#[test]
fn a_property_that_has_no_room_for_it_is_a_header() {
    let long = AttributeValue::string("x".repeat(300));
    let message =
        outgoing(&[("content-type", long.clone()), ("type", long), ("correlation-id", typed("Number.i64", "1"))]);
    let publication = Publication::of(&message, NOW).unwrap();
    assert!(publication.properties.content_type().is_none() && publication.properties.kind().is_none());
    assert_eq!(over(&message).attributes, message.attributes);
}

#[test]
fn a_header_goes_before_the_property_of_its_name() {
    let mut headers = FieldTable::default();
    headers.insert("type".into(), AMQPValue::LongString("header".into()));
    let properties = BasicProperties::default().with_type("property".into());
    let kind = |properties: &BasicProperties| Received::read(Vec::new(), properties, false).attributes["type"].clone();
    assert_eq!(kind(&properties).text(), Some("property"));
    assert_eq!(kind(&properties.with_headers(headers)).text(), Some("header"));
}

#[test]
fn deliveries_are_counted_as_far_as_rabbitmq_tells() {
    let check = |header: Option<AMQPValue>, redelivered: bool, expect: u32| {
        let mut headers = FieldTable::default();
        if let Some(value) = header {
            headers.insert(DELIVERY_COUNT.into(), value);
        }
        let received = Received::read(Vec::new(), &BasicProperties::default().with_headers(headers), redelivered);
        assert_eq!(received.receive_count, expect);
        assert!(received.attributes.is_empty(), "it is not the producer's");
    };
    check(None, false, 1);
    check(None, true, 2);
    check(Some(AMQPValue::LongLongInt(3)), true, 4);
    check(Some(AMQPValue::LongInt(1)), true, 2);
    check(Some(AMQPValue::LongLongInt(-1)), true, 2);
    check(Some(AMQPValue::LongLongInt(i64::MAX)), true, u32::MAX);
}

#[test]
fn one_without_an_id_or_a_time_is_given_them() {
    let received = || Received::read(b"x".to_vec(), &BasicProperties::default().with_message_id("".into()), false);
    let digest = received().nameless().expect("it has no id");
    assert_eq!(received().nameless(), Some(digest));
    let delivery = received().delivery(Receipt("1:1".into()), Some(MessageId("own".into())), clock::now(), NOW);
    assert_eq!((delivery.message_id.0.as_str(), delivery.sent_at), ("own", NOW));
    let named = Received::read(b"x".to_vec(), &BasicProperties::default().with_message_id("id".into()), false);
    assert!(named.nameless().is_none());
}

#[test]
fn what_would_do_more_than_send_the_message_is_refused() {
    let check = |message: &Outgoing, expect: &str| {
        let error = Publication::of(message, NOW).unwrap_err();
        assert!(matches!(error, QueueError::Permanent { .. }) && error.to_string().contains(expect), "{error}");
    };
    check(
        &outgoing(&[("CC", typed("String.json", "[\"other\"]"))]),
        "\"CC\": RabbitMQ would send the message to other queues",
    );
    check(&outgoing(&[("BCC", AttributeValue::string("other"))]), "\"BCC\"");
    check(&outgoing(&[(&"n".repeat(256), AttributeValue::string("x"))]), "255 bytes");
    check(&Outgoing { delay_s: 1, ..outgoing(&[]) }, "has no delay");
}

#[test]
fn what_rabbitmq_noted_of_a_message_is_not_sent_again() {
    let message = outgoing(&[
        ("x-death", typed("String.json", "[{\"queue\":\"q\"}]")),
        ("x-delivery-count", typed("Number.i64", "9")),
        ("mine", AttributeValue::string("x")),
    ]);
    let delivery = over(&message);
    assert_eq!(delivery.attributes.keys().collect::<Vec<_>>(), ["mine"]);
    assert_eq!(delivery.receive_count, 1);

    let mut headers = FieldTable::default();
    headers.insert(COPIES.into(), headers::header(&typed("String.json", "[\"other\"]")));
    headers.insert("x-death".into(), headers::header(&typed("String.json", "[{\"queue\":\"q\"}]")));
    let received = Received::read(Vec::new(), &BasicProperties::default().with_headers(headers), false);
    assert_eq!(received.attributes.keys().collect::<Vec<_>>(), ["x-death"], "a handler may read of its deaths");
}
