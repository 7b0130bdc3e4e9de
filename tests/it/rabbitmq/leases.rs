//! How long a message is ours, and how it goes back.

use std::time::Duration;

use futures::FutureExt;
use lapin::options::QueueDeclareOptions;
use lapin::types::AMQPValue;
use wasq_core::clock;
use wasq_core::message::{Delivery, Receipt};
use wasq_queues::rabbitmq::{QueueType, RabbitMqQueue};
use wasq_queues::{Broker, Queue};

use super::{
    LONG, MOMENT, Other, PREFETCH, SOON, change, comes_nothing, connect, count, delete, is_lost, make, new_name,
    new_queue, put_back, receipts, receive, receive_all, receive_one, send, table, texts,
};
use crate::support::servers::rabbitmq;
use crate::support::until;

#[tokio::test]
async fn what_is_put_back_comes_again_and_is_counted() {
    let rabbitmq = connect(rabbitmq()).await;
    for (queue_type, expect) in [(QueueType::Classic, [1, 2, 2, 2]), (QueueType::Quorum, [1, 2, 3, 4])] {
        let queue = make(&rabbitmq, &new_name(), queue_type).await;
        send(&queue, &["x"]).await;
        let mut seen = Vec::new();
        for _ in 0..4 {
            let delivery = receive_one(&queue).await;
            put_back(&queue, &delivery).await;
            seen.push((delivery.message_id, delivery.receive_count));
        }
        assert_eq!(seen.iter().map(|(_, count)| *count).collect::<Vec<_>>(), expect, "{queue_type:?}");
        assert!(seen.iter().all(|(id, _)| *id == seen[0].0), "it is one message");
    }
}

#[tokio::test]
async fn a_lease_that_nobody_renews_ends_and_one_that_is_renewed_does_not() {
    let queue = new_queue(rabbitmq()).await;
    send(&queue, &["renewed", "left"]).await;
    let mut both = Vec::new();
    while both.len() < 2 {
        both.extend(queue.receive(2, SOON, Duration::from_secs(2)).await.unwrap());
    }
    let received_at = both[0].received_at;
    let (renewed, left) = both.into_iter().partition::<Vec<_>, _>(|delivery| delivery.body == "renewed");
    change(&queue, &renewed[0], 600).await.unwrap();
    let again = receive_one(&queue).await;
    assert_eq!((&again.body[..], again.receive_count), (&b"left"[..], 2));
    assert!(clock::now() >= received_at + Duration::from_secs(2), "it came early");
    let answers = queue.delete(&receipts(&left)).await;
    assert!(is_lost(&answers[0]), "its lease has ended: {answers:?}");
    comes_nothing(&queue).await;
    delete(&queue, &renewed).await;
    delete(&queue, &[again]).await;
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn what_is_hidden_shows_again_after_its_time() {
    let queue = new_queue(rabbitmq()).await;
    send(&queue, &["hidden", "let go"]).await;
    let both = receive_all(&queue, 2).await;
    let (hidden, let_go) = both.into_iter().partition::<Vec<_>, _>(|delivery| delivery.body == "hidden");
    let hidden_at = clock::now();
    let changes = [(hidden[0].receipt.clone(), 2), (let_go[0].receipt.clone(), 0)];
    for answer in queue.hide(&changes).await {
        answer.unwrap();
    }
    assert!(is_lost(&change(&queue, &hidden[0], 600).await), "a renewal that is late keeps nothing hidden");
    assert_eq!(receive_one(&queue).await.body, "let go");
    let again = receive_one(&queue).await;
    assert_eq!((&again.body[..], again.receive_count), (&b"hidden"[..], 2));
    assert!(clock::now() >= hidden_at + Duration::from_secs(2), "it showed early");
}

#[tokio::test]
async fn a_receipt_is_good_once_and_at_its_own_queue() {
    let queue = new_queue(rabbitmq()).await;
    send(&queue, &["x", "y"]).await;
    let (first, second) = (receive_one(&queue).await, receive_one(&queue).await);
    delete(&queue, std::slice::from_ref(&first)).await;
    let receipt = |text: &str| Receipt(text.into());
    let (own, other) = (first.receipt.clone(), new_queue(rabbitmq()).await);
    for (queue, receipt) in
        [(&queue, own), (&queue, receipt("1:999999")), (&queue, receipt("AQEB")), (&other, second.receipt.clone())]
    {
        let deleted = queue.delete(std::slice::from_ref(&receipt)).await;
        let hidden = queue.hide(&[(receipt.clone(), 5)]).await;
        let changed = queue.change_visibility(&[(receipt.clone(), 5), (receipt.clone(), 0)]).await;
        let answers: Vec<_> = deleted.iter().chain(&hidden).chain(&changed).collect();
        assert_eq!(answers.len(), 4);
        assert!(answers.iter().all(|answer| is_lost(answer)), "{receipt:?}: {answers:?}");
    }
    // Nothing of this has ended the channel.
    let answers = queue.delete(&[first.receipt.clone(), second.receipt.clone()]).await;
    assert!(is_lost(&answers[0]) && answers[1].is_ok(), "{answers:?}");
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn the_prefetch_bounds_what_a_host_has() {
    let rabbitmq = connect(rabbitmq()).await;
    let name = new_name();
    make(&rabbitmq, &name, QueueType::Classic).await;
    let queue = rabbitmq.queue(&name, 3).await.unwrap();
    send(&queue, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]).await;
    let mut in_hand = receive_all(&queue, 3).await;
    comes_nothing(&queue).await;
    count(&queue, "7", "3").await;
    // What is hidden has its place, too.
    queue.hide(&[(in_hand[0].receipt.clone(), 600)]).await.remove(0).unwrap();
    comes_nothing(&queue).await;
    delete(&queue, &in_hand.split_off(1)).await;
    assert_eq!(receive_all(&queue, 2).await.len(), 2);
    comes_nothing(&queue).await;
    count(&queue, "5", "3").await;
}

#[tokio::test]
async fn a_receive_that_is_dropped_loses_nothing() {
    let queue = new_queue(rabbitmq()).await;
    // Dropped before there is a channel, while it is made, and while it waits.
    assert!(queue.receive(10, SOON, LONG).now_or_never().is_none());
    let mut received = Vec::new();
    let bodies: Vec<String> = (0..50).map(|n| format!("{n:02}")).collect();
    for body in &bodies {
        let bodies = [body.as_str()];
        let given_up = tokio::time::timeout(Duration::from_millis(2), queue.receive(10, SOON, LONG));
        let ((), taken) = tokio::join!(send(&queue, &bodies), given_up);
        if let Ok(taken) = taken {
            let taken = taken.unwrap();
            delete(&queue, &taken).await;
            received.extend(taken);
        }
    }
    while received.len() < bodies.len() {
        let more = receive(&queue, 10).await;
        delete(&queue, &more).await;
        received.extend(more);
    }
    assert_eq!(texts(&received), bodies);
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn receives_wait_side_by_side_and_a_short_one_waits_for_none_of_them() {
    let queue = new_queue(rabbitmq()).await;
    let wait = |queue: RabbitMqQueue| tokio::spawn(async move { queue.receive(1, SOON, LONG).await.unwrap().len() });
    let (first, second) = (wait(queue.clone()), wait(queue.clone()));
    tokio::task::yield_now().await;
    let asked_at = clock::now();
    comes_nothing(&queue).await;
    assert!(asked_at.elapsed() < SOON / 2);
    send(&queue, &["x", "y"]).await;
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 1));
}

#[tokio::test]
async fn what_nobody_receives_goes_to_the_others() {
    let rabbitmq = connect(rabbitmq()).await;
    let name = new_name();
    let idle = make(&rabbitmq, &name, QueueType::Classic).await;
    send(&idle, &["0", "1", "2", "3"]).await;
    let in_hand = receive_one(&idle).await;
    count(&idle, "0", "1").await;
    let busy = rabbitmq.queue(&name, 10).await.unwrap();
    let others = receive_all(&busy, 3).await;
    assert_eq!(texts(&others), ["1", "2", "3"]);
    // What was handed out before is still in hand, and the idle one begins again when it is asked.
    delete(&idle, &[in_hand]).await;
    delete(&busy, &others).await;
    drop(busy);
    let (received, ()) = tokio::join!(receive_one(&idle), send(&idle, &["new"]));
    assert_eq!(received.body, "new");
}

#[tokio::test]
async fn a_queue_with_a_single_active_consumer_is_one_hosts_until_that_ends() {
    let name = new_name();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let single = table(&[("x-single-active-consumer", AMQPValue::Boolean(true))]);
    let other = Other::connect(rabbitmq()).await;
    other.channel.queue_declare(name.as_str().into(), durable, single).await.unwrap();
    let first = connect(rabbitmq()).await.queue(&name, PREFETCH).await.unwrap();
    let second = connect(rabbitmq()).await.queue(&name, PREFETCH).await.unwrap();
    send(&first, &["0", "1", "2"]).await;
    let in_order = |deliveries: &[Delivery]| -> Vec<_> { deliveries.iter().map(|it| it.body.clone()).collect() };
    assert_eq!(in_order(&receive_all(&first, 3).await), ["0", "1", "2"]);
    let waiting = comes_nothing(&second);
    let ((), more) = tokio::join!(waiting, async {
        send(&first, &["3"]).await;
        receive_one(&first).await
    });
    assert_eq!(more.body, "3", "the other one stands by");
    drop(first);
    assert_eq!(in_order(&receive_all(&second, 4).await), ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_queue_that_is_dropped_gives_everything_back() {
    let rabbitmq = connect(rabbitmq()).await;
    let name = new_name();
    let queue = make(&rabbitmq, &name, QueueType::Classic).await;
    send(&queue, &["0", "1", "2"]).await;
    let in_hand = receive_one(&queue).await;
    drop(queue);
    let queue = rabbitmq.queue(&name, 10).await.unwrap();
    until("everything is back", || async { super::counts(&queue).await.0 == "3" }).await;
    let answers = queue.delete(&receipts(&[in_hand])).await;
    assert!(is_lost(&answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_queue_says_what_the_host_asks_of_it() {
    let queue = new_queue(rabbitmq()).await;
    assert_eq!((queue.broker(), queue.is_fifo(), queue.is_exact()), (Broker::RabbitMq, false, false));
    assert_eq!((queue.hides_up_to(), queue.delays_up_to()), (Duration::from_secs(10), Duration::ZERO));
    let empty_at = clock::now();
    assert!(queue.receive(10, MOMENT, LONG).await.unwrap().is_empty());
    assert!(clock::now() >= empty_at + MOMENT, "it waits");
}
