//! Queues that are made, and what RabbitMQ does with letters that it drops.

use wasq_queues::rabbitmq::{QueueTopology, QueueType, RabbitMqConfig};
use wasq_queues::{Queue, QueueError};

use super::{PREFETCH, connect, count, make, new_name, put_back, receive_one, send};
use crate::support::servers::rabbitmq;

#[tokio::test]
async fn a_queue_is_made_once_and_one_that_differs_is_named() {
    let rabbitmq = connect(rabbitmq()).await;
    let quorum = QueueTopology::of(&RabbitMqConfig::default(), &new_name());
    assert_eq!((quorum.queue_type, quorum.delivery_limit), (QueueType::Quorum, Some(1_000)));
    for _ in 0..2 {
        rabbitmq.declare(&quorum).await.unwrap();
    }
    let classic = QueueTopology { queue_type: QueueType::Classic, delivery_limit: None, ..quorum.clone() };
    let error = rabbitmq.declare(&classic).await.unwrap_err();
    assert!(matches!(&error, QueueError::Permanent { code, .. } if code == "PreconditionFailed"), "{error}");
    let words = error.to_string();
    for part in [quorum.name.as_str(), "x-queue-type", "\"/\""] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let error = rabbitmq.declare(&QueueTopology { delivery_limit: Some(3), ..classic }).await.unwrap_err();
    assert!(error.needs_other_settings() && error.to_string().contains("is classic"), "{error}");
    let queue = rabbitmq.queue(&quorum.name, PREFETCH).await.unwrap();
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn what_comes_too_often_is_a_dead_letter_of_rabbitmqs() {
    let rabbitmq = connect(rabbitmq()).await;
    let dlq = make(&rabbitmq, &new_name(), QueueType::Classic).await;
    let source = QueueTopology {
        dead_letter_exchange: Some(String::new()),
        dead_letter_routing_key: Some(dlq.name().to_owned()),
        delivery_limit: Some(2),
        ..QueueTopology::of(&RabbitMqConfig::default(), &new_name())
    };
    rabbitmq.declare(&source).await.unwrap();
    let queue = rabbitmq.queue(&source.name, PREFETCH).await.unwrap();
    send(&queue, &["x"]).await;
    let mut id = None;
    for _ in 0..3 {
        let delivery = receive_one(&queue).await;
        put_back(&queue, &delivery).await;
        id = Some(delivery.message_id);
    }
    let letter = receive_one(&dlq).await;
    assert_eq!((Some(letter.message_id), letter.receive_count), (id, 1));
    let deaths = letter.attributes["x-death"].text().expect("it is told in JSON");
    assert!(deaths.contains(&source.name) && deaths.contains("delivery_limit"), "{deaths}");
}
