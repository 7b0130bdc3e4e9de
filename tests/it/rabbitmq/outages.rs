//! Connections and servers that end, and what is left of a message then.

use std::time::Duration;

use parking_lot::Mutex;
use wasq_queues::rabbitmq::{QueueTopology, QueueType, RabbitMq, RabbitMqConfig, RabbitMqQueue};
use wasq_queues::{Queue, QueueError};
use wasq_tests::servers::Server;

use super::{
    LONG, SOON, change, connect, count, delete, is_lost, make, message, new_name, new_queue, receipts, receive_all,
    receive_one, send, texts,
};
use crate::support::servers::started;
use crate::support::until;

/// Receives until something comes, whatever fails before.
async fn receive_in_the_end(queue: &RabbitMqQueue) -> Vec<wasq_core::message::Delivery> {
    let received = Mutex::new(Vec::new());
    until("something comes", || async {
        match queue.receive(10, Duration::from_secs(1), LONG).await {
            Ok(deliveries) => *received.lock() = deliveries,
            Err(error) => assert!(matches!(error, QueueError::Transient { .. }), "{error}"),
        }
        !received.lock().is_empty()
    })
    .await;
    received.into_inner()
}

#[tokio::test]
async fn a_connection_that_is_cut_voids_receipts_and_gives_messages_back() {
    let server = started(Server::rabbitmq());
    let queue = new_queue(&server).await;
    send(&queue, &["in hand", "hidden", "buffered"]).await;
    let mut two = receive_all(&queue, 2).await;
    let (first, second) = (two.remove(0), two.remove(0));
    queue.hide(&[(second.receipt.clone(), 1)]).await.remove(0).unwrap();
    server.rabbitmqctl(&["close_all_connections", "a test"]).unwrap();
    until("the receipt is void", || async { is_lost(&change(&queue, &first, 600).await) }).await;
    let answers = queue.delete(&receipts(&[first.clone(), second.clone()])).await;
    assert!(answers.iter().all(is_lost), "{answers:?}");

    let mut again = receive_in_the_end(&queue).await;
    while again.len() < 3 {
        again.extend(receive_in_the_end(&queue).await);
    }
    assert_eq!(texts(&again), ["buffered", "hidden", "in hand"]);
    let one = again.iter().find(|delivery| delivery.message_id == first.message_id).expect("it comes again");
    assert_eq!(one.receive_count, 2);
    // The old receipts name other deliveries of the same tags.
    let answers = queue.delete(&receipts(&[first, second])).await;
    assert!(answers.iter().all(is_lost), "{answers:?}");
    count(&queue, "0", "3").await;
    delete(&queue, &again).await;
    send(&queue, &["goes on"]).await;
    assert_eq!(receive_one(&queue).await.body, "goes on");
}

#[tokio::test]
async fn the_reason_for_the_end_is_told_once_and_then_the_queue_goes_on() {
    let server = started(Server::rabbitmq());
    let queue = new_queue(&server).await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(1, SOON, LONG).await }
    });
    until("it consumes", || async {
        server.rabbitmqctl(&["list_consumers", "queue_name"]).unwrap().contains(queue.name())
    })
    .await;
    server.rabbitmqctl(&["close_all_connections", "a test of ours"]).unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(&error, QueueError::Transient { code, .. } if code == "ConnectionForced"), "{error}");
    assert!(error.to_string().contains("a test of ours") && error.to_string().contains(queue.name()), "{error}");
    let (received, ()) = tokio::join!(receive_in_the_end(&queue), send(&queue, &["x"]));
    assert_eq!(texts(&received), ["x"]);
}

#[tokio::test]
async fn what_was_confirmed_survives_the_death_of_its_server() {
    let mut server = started(Server::rabbitmq());
    let rabbitmq = connect(&server).await;
    let queues =
        [make(&rabbitmq, &new_name(), QueueType::Classic).await, make(&rabbitmq, &new_name(), QueueType::Quorum).await];
    server.keep_queues().unwrap();
    for queue in &queues {
        send(queue, &["waits", "in hand"]).await;
        receive_one(queue).await;
    }
    server.kill().unwrap();
    for queue in &queues {
        until("a send says that there is no connection", || async {
            let error = queue.send(&[message("nobody takes it")]).await.remove(0).unwrap_err();
            assert!(matches!(error, QueueError::Transient { .. }), "{error}");
            error.code() == "NoAnswer"
        })
        .await;
    }
    // What it holds already it may hand out as long as it has not noticed.
    until("a receive says so, too", || async {
        let asked_at = wasq_core::clock::now();
        let Err(error) = queues[0].receive(1, Duration::ZERO, LONG).await else { return false };
        assert!(asked_at.elapsed() < Duration::from_secs(1), "a call does not wait for the next try");
        error.code() == "NoAnswer" && error.to_string().contains(&format!("127.0.0.1:{}", server.port()))
    })
    .await;
    server.restart().unwrap();
    for queue in &queues {
        let mut received = receive_in_the_end(queue).await;
        while received.len() < 2 {
            received.extend(receive_in_the_end(queue).await);
        }
        assert_eq!(texts(&received), ["in hand", "waits"]);
        delete(queue, &received).await;
        send(queue, &["goes on"]).await;
        assert_eq!(receive_one(queue).await.body, "goes on");
    }
}

/// It closes no connection. Heartbeats tell that nobody is there.
#[tokio::test]
async fn a_server_that_stands_still_is_noticed_by_its_heartbeats() {
    let mut server = started(Server::rabbitmq());
    let config = RabbitMqConfig { heartbeat: Duration::from_secs(5), ..RabbitMqConfig::new(&server.url()) };
    let queue = make(&RabbitMq::connect(config).await.unwrap(), &new_name(), QueueType::Classic).await;
    send(&queue, &["x"]).await;
    let delivery = receive_one(&queue).await;
    server.stop().unwrap();
    let sent = queue.send(&[message("nobody reads it")]).await.remove(0);
    assert!(matches!(sent, Err(QueueError::Transient { .. })), "{sent:?}");
    until("the lease is lost", || async { is_lost(&change(&queue, &delivery, 600).await) }).await;
    server.cont().unwrap();
    // What was sent to it meanwhile it may read now, and it comes first.
    let mut again = receive_in_the_end(&queue).await;
    while !again.iter().any(|again| again.message_id == delivery.message_id) {
        again.extend(receive_in_the_end(&queue).await);
    }
}

#[tokio::test]
async fn a_queue_that_is_deleted_ends_its_consumer_and_is_missed() {
    let server = started(Server::rabbitmq());
    let rabbitmq = connect(&server).await;
    let queue = make(&rabbitmq, &new_name(), QueueType::Classic).await;
    send(&queue, &["x"]).await;
    let gone = receive_one(&queue).await;
    server.rabbitmqctl(&["delete_queue", queue.name()]).unwrap();
    let error = queue.receive(1, SOON, LONG).await.unwrap_err();
    assert!(matches!(&error, QueueError::Transient { code, .. } if code == "ConsumerCancelled"), "{error}");
    let error = queue.receive(1, SOON, LONG).await.unwrap_err();
    assert!(error.says_missing() && error.to_string().contains(queue.name()), "{error}");
    assert!(is_lost(&queue.delete(&receipts(&[gone])).await[0]));

    rabbitmq
        .declare(&QueueTopology {
            queue_type: QueueType::Classic,
            delivery_limit: None,
            ..QueueTopology::of(&RabbitMqConfig::default(), queue.name())
        })
        .await
        .unwrap();
    send(&queue, &["anew"]).await;
    assert_eq!(texts(&receive_in_the_end(&queue).await), ["anew"]);
}
