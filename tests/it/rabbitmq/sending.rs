//! What is sent, what is not, and why.

use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::{AMQPValue, FieldTable};
use wasq_core::clock;
use wasq_core::message::{AttributeData, AttributeValue};
use wasq_queues::rabbitmq::{RabbitMq, RabbitMqConfig};
use wasq_queues::{MaximumMessageSize, Outgoing, Queue, QueueError, QueueRules};
use wasq_tests::servers::Server;

use super::{Other, count, delete, message, new_name, new_queue, receive_one, send};
use crate::support::servers::{rabbitmq, started};
use crate::support::until;

fn with(name: &str, value: AttributeValue) -> Outgoing {
    let mut message = message("x");
    message.attributes.insert(name.into(), value);
    message
}

fn code(answer: &Result<wasq_core::message::MessageId, QueueError>) -> &str {
    answer.as_ref().err().map_or("", QueueError::code)
}

#[tokio::test]
async fn a_message_that_no_queue_takes_is_refused_for_good() {
    let queue = new_queue(rabbitmq()).await;
    let config = RabbitMqConfig { routing_key: Some("nowhere".into()), ..RabbitMqConfig::new(&rabbitmq().url()) };
    let astray = RabbitMq::connect(config).await.unwrap().queue(queue.name(), 1).await.unwrap();
    for answer in astray.send(&[message("x"), message("y")]).await {
        let error = answer.unwrap_err();
        assert!(matches!(&error, QueueError::Permanent { code, .. } if code == "NoRoute"), "{error}");
        assert!(error.to_string().contains("\"nowhere\""), "{error}");
    }
}

/// Which of many came back is told by the messages themselves: RabbitMQ confirms several at once.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_messages_exactly_those_without_a_queue_are_refused() {
    let (queue, exchange) = (new_queue(rabbitmq()).await, new_name());
    let other = Other::connect(rabbitmq()).await;
    let (options, none) = (ExchangeDeclareOptions::default(), FieldTable::default());
    other.channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Headers, options, none).await.unwrap();
    let matches = super::table(&[
        ("x-match", AMQPValue::LongString("all".into())),
        ("goes", AMQPValue::LongString("yes".into())),
    ]);
    let bind = QueueBindOptions::default();
    other.channel.queue_bind(queue.name().into(), exchange.as_str().into(), "".into(), bind, matches).await.unwrap();

    let config = RabbitMqConfig { exchange: exchange.clone(), ..RabbitMqConfig::new(&rabbitmq().url()) };
    let outlet = RabbitMq::connect(config).await.unwrap().queue("an outlet is no queue", 1).await.unwrap();
    let messages: Vec<_> =
        (0..60).map(|n| with("goes", AttributeValue::string(if n % 3 == 0 { "no" } else { "yes" }))).collect();
    let rounds = futures::future::join_all((0..10).map(|_| outlet.send(&messages))).await;
    for answers in rounds {
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(code(answer), if n % 3 == 0 { "NoRoute" } else { "" }, "{n}: {answer:?}");
        }
    }
    count(&queue, "400", "0").await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_the_others_are_sent() {
    let queue = new_queue(rabbitmq()).await;
    let large = Outgoing { body: vec![b'x'; 4_194_305].into(), ..message("") };
    let error = queue.send(std::slice::from_ref(&large)).await.remove(0).unwrap_err();
    assert!(matches!(&error, QueueError::Permanent { code, .. } if code == "TooLarge"), "{error}");
    assert!(error.to_string().contains("4194305") && error.to_string().contains("4194304"), "{error}");
    let answers = queue.send(&[message("a"), large, message("b")]).await;
    assert_eq!(code(&answers[1]), "TooLarge");
    for answer in [&answers[0], &answers[2]] {
        assert!(matches!(answer, Ok(_) | Err(QueueError::Transient { .. })), "{answer:?}");
    }

    let heavy = with("heavy", AttributeValue::string("x".repeat(200_000)));
    let copied = with("BCC", AttributeValue::string("other"));
    let json = AttributeValue { data_type: "String.json".into(), value: AttributeData::Text("[\"other\"]".into()) };
    let answers =
        queue.send(&[heavy, copied, with("CC", json), Outgoing { delay_s: 1, ..message("x") }, message("c")]).await;
    let codes: Vec<_> = answers.iter().map(code).collect();
    assert_eq!(codes, ["TooLarge", "InvalidAttribute", "InvalidAttribute", "Delay", ""]);
}

#[tokio::test]
async fn what_a_queue_refuses_is_known_before_it_is_sent() {
    let queue = new_queue(rabbitmq()).await;
    let rules = QueueRules::of(&queue, &MaximumMessageSize::default());
    let check = |message: Outgoing, expect: &str| {
        let refusal = rules.refusal(&message).unwrap_or_default();
        assert!(refusal.contains(expect) && refusal.is_empty() == expect.is_empty(), "{expect}: {refusal}");
    };
    let body = |bytes: usize| Outgoing { body: vec![0xff; bytes].into(), ..message("") };
    check(body(0), "");
    check(body(16 * 1024 * 1024), "");
    check(body(16 * 1024 * 1024 + 1), "the queue takes 16777216");
    check(with(&"n".repeat(256), AttributeValue::string("x")), "255 bytes");
    check(with("AWS.mine", AttributeValue::string("")), "");
    check(with("CC", AttributeValue::string("other")), "other queues");
    check(with("heavy", AttributeValue::string("x".repeat(200_000))), "put more into the body");
    check(Outgoing { delay_s: 1, ..message("x") }, "no delay");
    let many = (0..50).map(|n| (format!("a{n}"), AttributeValue::string("x"))).collect();
    check(Outgoing { attributes: many, group: Some(String::new()), ..message("x") }, "");
}

/// A memory alarm. What was in hand before is deleted all the same.
#[tokio::test]
async fn a_server_that_is_short_of_memory_takes_no_messages_and_says_so() {
    let server = started(Server::rabbitmq());
    let queue = new_queue(&server).await;
    send(&queue, &["before", "before too"]).await;
    let watermark = |fraction: &str| server.rabbitmqctl(&["set_vm_memory_high_watermark", fraction]).unwrap();
    watermark("0");
    let is_blocked = |answer: &Result<_, QueueError>| match answer {
        Err(QueueError::Transient { code, message }) => {
            code == "ConnectionBlocked" && message.contains("low on memory")
        }
        _ => false,
    };
    until("sends are refused", || async { is_blocked(&queue.send(&[message("during")]).await[0]) }).await;
    let asked_at = clock::now();
    let answers = queue.send(&[message("during"), message("during")]).await;
    assert!(answers.iter().all(is_blocked), "{answers:?}");
    assert!(asked_at.elapsed() < Duration::from_secs(1), "it is known at once");
    let in_hand = receive_one(&queue).await;
    delete(&queue, &[in_hand]).await;
    assert_eq!(receive_one(&queue).await.body, "before too");

    watermark("0.6");
    until("sends go on", || async { queue.send(&[message("after")]).await[0].is_ok() }).await;
}
