//! How long a message is ours, and how it is handed out again.

use std::time::Duration;

use futures::FutureExt;
use wasq_core::clock;
use wasq_core::message::Receipt;
use wasq_queues::kafka::{Kafka, KafkaConfig, KafkaOrder, KafkaQueue};
use wasq_queues::{Broker, Queue};

use super::{
    CONCURRENCY, LONG, MOMENT, SOON, change, cluster, comes_nothing, config, count, delete, is_lost, new_name,
    new_queue, open_with, receipts, receive, receive_all, receive_one, send, text, texts,
};

#[tokio::test]
async fn what_is_shown_comes_again_and_is_counted() {
    let queue = new_queue(1).await;
    send(&queue, &["x"]).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let delivery = receive_one(&queue).await;
        change(&queue, &delivery, 0).await.unwrap();
        seen.push((delivery.message_id, delivery.receive_count));
    }
    assert_eq!(seen.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(seen.iter().all(|(id, _)| *id == seen[0].0), "it is one message");
}

#[tokio::test]
async fn a_lease_that_nobody_renews_ends_and_one_that_is_renewed_does_not() {
    let queue = new_queue(1).await;
    send(&queue, &["renewed", "left"]).await;
    let mut both = Vec::new();
    while both.len() < 2 {
        both.extend(queue.receive(2, SOON, Duration::from_secs(1)).await.unwrap());
    }
    let received_at = both[1].received_at;
    let (renewed, left) = both.into_iter().partition::<Vec<_>, _>(|delivery| delivery.body == "renewed");
    change(&queue, &renewed[0], 600).await.unwrap();
    let again = receive_one(&queue).await;
    assert_eq!((text(&again).as_str(), again.receive_count), ("left", 2));
    assert!(clock::now() >= received_at + Duration::from_secs(1), "it came early");
    let answers = queue.delete(&receipts(&left)).await;
    assert!(is_lost(&answers[0]), "its lease has ended: {answers:?}");
    comes_nothing(&queue).await;
    delete(&queue, &renewed).await;
    delete(&queue, &[again]).await;
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn what_is_hidden_shows_again_after_its_time() {
    let queue = new_queue(1).await;
    send(&queue, &["hidden", "let go"]).await;
    let both = receive_all(&queue, 2).await;
    let hidden_at = clock::now();
    let changes = [(both[0].receipt.clone(), 1), (both[1].receipt.clone(), 0)];
    for answer in queue.hide(&changes).await {
        answer.unwrap();
    }
    assert!(is_lost(&change(&queue, &both[0], 600).await), "a renewal that is late keeps nothing hidden");
    assert_eq!(receive_one(&queue).await.body, "let go");
    let again = receive_one(&queue).await;
    assert_eq!((text(&again).as_str(), again.receive_count), ("hidden", 2));
    assert!(clock::now() >= hidden_at + Duration::from_secs(1), "it showed early");
}

#[tokio::test]
async fn a_receipt_is_good_once_and_at_its_own_queue() {
    let queue = new_queue(1).await;
    send(&queue, &["x", "y"]).await;
    let both = receive_all(&queue, 2).await;
    delete(&queue, &both[..1]).await;
    let receipt = |text: &str| Receipt(text.into());
    let (own, other) = (both[0].receipt.clone(), new_queue(1).await);
    for (queue, receipt) in
        [(&queue, own), (&queue, receipt("1:0:999:1")), (&queue, receipt("AQEB")), (&other, both[1].receipt.clone())]
    {
        let deleted = queue.delete(std::slice::from_ref(&receipt)).await;
        let hidden = queue.hide(&[(receipt.clone(), 5)]).await;
        let changed = queue.change_visibility(&[(receipt.clone(), 5), (receipt.clone(), 0)]).await;
        let answers: Vec<_> = deleted.iter().chain(&hidden).chain(&changed).collect();
        assert_eq!(answers.len(), 4);
        assert!(answers.iter().all(|answer| is_lost(answer)), "{receipt:?}: {answers:?}");
    }
    delete(&queue, &both[1..]).await;
    count(&queue, "0", "0").await;
}

/// What one message holds up is bounded: then its partition waits, and the others go on.
#[tokio::test]
async fn the_gap_bounds_what_is_done_beyond_a_message_that_is_not() {
    let topic = new_name();
    cluster().create(&topic, 1);
    let bounded = KafkaConfig { max_gap: 20, order: KafkaOrder::None, ..config(cluster(), &topic) };
    let queue = open_with(bounded, &topic).await;
    let messages: Vec<_> = (0..100).map(|n| super::message(&format!("{n:03}"))).collect();
    for answer in queue.send(&messages).await {
        answer.unwrap();
    }
    let first = receive_one(&queue).await;
    assert_eq!(text(&first), "000");
    let mut beyond = Vec::new();
    loop {
        let more = queue.receive(10, MOMENT, LONG).await.unwrap();
        if more.is_empty() {
            break;
        }
        delete(&queue, &more).await;
        beyond.extend(more);
    }
    assert!((19..60).contains(&beyond.len()), "{} were done beyond it", beyond.len());
    delete(&queue, &[first]).await;
    while beyond.len() < 99 {
        let more = receive(&queue, 10).await;
        delete(&queue, &more).await;
        beyond.extend(more);
    }
    super::committed(&queue).await;
}

#[tokio::test]
async fn a_receive_that_is_dropped_loses_nothing() {
    let queue = new_queue(1).await;
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
    let queue = new_queue(1).await;
    let wait = |queue: KafkaQueue| tokio::spawn(async move { queue.receive(1, SOON, LONG).await.unwrap().len() });
    let (first, second) = (wait(queue.clone()), wait(queue.clone()));
    tokio::task::yield_now().await;
    let asked_at = clock::now();
    comes_nothing(&queue).await;
    assert!(asked_at.elapsed() < SOON / 2);
    send(&queue, &["x", "y"]).await;
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 1));
}

#[tokio::test]
async fn a_queue_says_what_the_host_asks_of_it() {
    let queue = new_queue(1).await;
    assert_eq!((queue.broker(), queue.is_fifo(), queue.is_exact()), (Broker::Kafka, false, false));
    assert_eq!((queue.keeps_order(), queue.hides_up_to()), (true, Duration::from_secs(12 * 60 * 60)));
    assert_eq!(queue.delays_up_to(), Duration::ZERO);
    let loose = KafkaConfig { order: KafkaOrder::None, ..config(cluster(), queue.name()) };
    let loose = Kafka::new(loose).unwrap().queue(queue.name(), CONCURRENCY).await.unwrap();
    assert_eq!((loose.keeps_order(), loose.hides_up_to()), (false, Duration::from_secs(10)));
    let empty_at = clock::now();
    assert!(queue.receive(10, MOMENT, LONG).await.unwrap().is_empty());
    assert!(clock::now() >= empty_at + MOMENT, "it waits");
}
