//! Connections and servers that end, and what is left of a message then.

use std::time::Duration;

use parking_lot::Mutex;
use wasq_core::message::Delivery;
use wasq_queues::redis::RedisQueue;
use wasq_queues::{Queue, QueueError};
use wasq_tests::servers::Server;

use super::{
    LONG, Other, SOON, change, connect, count, delete, message, new_queue, receipts, receive_all, receive_one, send,
    texts,
};
use crate::support::servers::started;
use crate::support::until;

/// Receives until something comes, whatever fails before.
async fn receive_in_the_end(queue: &RedisQueue) -> Vec<Delivery> {
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
async fn a_connection_that_is_cut_takes_nothing_away() {
    let server = started(Server::redis());
    let queue = new_queue(&server).await;
    send(&queue, &["in hand"]).await;
    let in_hand = receive_one(&queue).await;
    let mut other = Other::connect(&server).await;
    let _: usize = other.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    until("it is renewed", || async { change(&queue, &in_hand, 600).await.is_ok() }).await;
    send(&queue, &["goes on"]).await;
    assert_eq!(texts(&receive_in_the_end(&queue).await), ["goes on"]);
    delete(&queue, &[in_hand]).await;
}

#[tokio::test]
async fn a_receive_that_waits_says_that_its_connection_has_ended() {
    let server = started(Server::redis());
    let queue = new_queue(&server).await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(1, SOON, LONG).await }
    });
    let mut other = Other::connect(&server).await;
    until("it waits", || {
        let mut other = Other(other.0.clone());
        async move { other.ask::<String>(&["CLIENT", "LIST"]).await.contains("cmd=xreadgroup") }
    })
    .await;
    let _: usize = other.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(&error, QueueError::Transient { .. }), "{error}");
    assert!(error.to_string().contains(queue.name()), "{error}");
    send(&queue, &["x"]).await;
    assert_eq!(texts(&receive_in_the_end(&queue).await), ["x"]);
}

#[tokio::test]
async fn a_server_that_is_killed_keeps_messages_leases_and_receipts() {
    let mut server = started(Server::redis());
    let queue = new_queue(&server).await;
    send(&queue, &["waits", "in hand", "hidden"]).await;
    let mut all = receive_all(&queue, 3).await;
    all.sort_by(|a, b| a.body.cmp(&b.body));
    let (hidden, in_hand, waits) = (&all[0], &all[1], &all[2]);
    super::put_back(&queue, waits).await;
    super::hide(&queue, hidden, 1).await.unwrap();
    server.kill().unwrap();
    let error = queue.send(&[message("x")]).await.remove(0).unwrap_err();
    assert!(matches!(&error, QueueError::Transient { .. }), "{error}");
    let error = queue.receive(1, Duration::ZERO, LONG).await.unwrap_err();
    assert!(matches!(&error, QueueError::Transient { code, .. } if code == "NoAnswer"), "{error}");
    assert!(queue.delete(&receipts(std::slice::from_ref(in_hand))).await[0].is_err());
    server.restart().unwrap();
    until("it is renewed", || async { change(&queue, in_hand, 600).await.is_ok() }).await;
    let mut again = receive_in_the_end(&queue).await;
    while again.len() < 2 {
        again.extend(receive_in_the_end(&queue).await);
    }
    assert_eq!(texts(&again), ["hidden", "waits"]);
    assert!(again.iter().all(|delivery| delivery.receive_count == 2), "{again:?}");
    delete(&queue, &again).await;
    delete(&queue, std::slice::from_ref(in_hand)).await;
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_is_given_them_again() {
    let server = started(Server::redis());
    let queue = new_queue(&server).await;
    for _ in 0..2 {
        send(&queue, &["x"]).await;
        let delivery = receive_one(&queue).await;
        change(&queue, &delivery, 30).await.unwrap();
        delete(&queue, &[delivery]).await;
        let _: String = Other::connect(&server).await.ask(&["SCRIPT", "FLUSH"]).await;
    }
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn a_server_that_stands_still_fails_calls_in_time_and_goes_on() {
    let mut server = started(Server::redis());
    let queue = new_queue(&server).await;
    send(&queue, &["x"]).await;
    let delivery = receive_one(&queue).await;
    server.stop().unwrap();
    let messages = [message("y")];
    let (mut sent, renewed) = tokio::join!(queue.send(&messages), change(&queue, &delivery, 60));
    for error in [sent.remove(0).err(), renewed.err()] {
        let error = error.expect("nobody answers");
        assert!(matches!(&error, QueueError::Transient { code, .. } if code == "Timeout"), "{error}");
    }
    server.cont().unwrap();
    until("it is deleted", || async { queue.delete(&receipts(std::slice::from_ref(&delivery))).await[0].is_ok() })
        .await;
}

#[tokio::test]
async fn a_replica_takes_no_writes_and_says_what_it_is() {
    let (primary, replica) = (started(Server::redis()), started(Server::redis()));
    let queue = new_queue(&replica).await;
    let mut other = Other::connect(&replica).await;
    let (port, password) = (primary.port().to_string(), wasq_tests::servers::PASSWORD);
    let _: String = other.ask(&["CONFIG", "SET", "masterauth", password]).await;
    let _: String = other.ask(&["REPLICAOF", "127.0.0.1", &port]).await;
    let error = queue.send(&[message("x")]).await.remove(0).unwrap_err();
    assert!(
        matches!(&error, QueueError::Transient { code, .. } if code == "ReadOnly" || code == "MASTERDOWN"),
        "{error}"
    );
    assert!(connect(&primary).await.queue(&Default::default(), queue.name(), false).await.is_err());
}
