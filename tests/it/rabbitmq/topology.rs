//! Queues that are made, and what RabbitMQ does with letters that it drops.

use lapin::options::QueueDeleteOptions;
use wasq_queues::rabbitmq::{QueueTopology, QueueType, RabbitMqConfig};
use wasq_queues::{DeliveryLimit, Queue, QueueError};

use super::{Other, PREFETCH, connect, count, make, new_name, put_back, receive_one, send};
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
async fn the_delivery_limit_of_a_queue_is_read_whatever_else_it_was_declared_with_and_none_is_made() {
    let server = connect(rabbitmq()).await;
    let limit_of = async |topology: QueueTopology| {
        server.declare(&topology).await.unwrap();
        server.queue(&topology.name, PREFETCH).await.unwrap().delivery_limit().await.unwrap()
    };
    let quorum =
        |limit| QueueTopology { delivery_limit: limit, ..QueueTopology::of(&RabbitMqConfig::default(), &new_name()) };
    assert_eq!(limit_of(quorum(Some(7))).await, DeliveryLimit::Deliveries(8));
    assert_eq!(limit_of(quorum(None)).await, DeliveryLimit::Default);
    let with_dlq = QueueTopology {
        dead_letter_exchange: Some(String::new()),
        dead_letter_routing_key: Some("it's \"there\", but current is none".into()),
        ..quorum(Some(20))
    };
    assert_eq!(limit_of(with_dlq).await, DeliveryLimit::Deliveries(21));
    let classic = QueueTopology { queue_type: QueueType::Classic, ..quorum(None) };
    assert_eq!(limit_of(classic).await, DeliveryLimit::None);

    let gone = quorum(Some(7));
    server.declare(&gone).await.unwrap();
    let queue = server.queue(&gone.name, PREFETCH).await.unwrap();
    let other = Other::connect(rabbitmq()).await;
    other.channel.queue_delete(gone.name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    assert_eq!(queue.delivery_limit().await.unwrap(), DeliveryLimit::None);
    let error = server.queue(&gone.name, PREFETCH).await.err().expect("asking makes no queue");
    assert!(error.says_missing(), "{error}");
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
