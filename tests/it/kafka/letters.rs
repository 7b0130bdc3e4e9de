//! A DLQ on Kafka is read by a group of its own, and letters leave it in their turn.

use std::sync::Arc;

use wasq_core::message::Delivery;
use wasq_queues::kafka::KafkaQueue;
use wasq_queues::{Queue, QueueError};

use super::{LONG, SOON, new_queue, receipts, send, texts};

/// A DLQ with three letters in one partition, and a queue that leads to it.
async fn with_letters() -> (KafkaQueue, String) {
    let (queue, dlq) = (new_queue(1).await, new_queue(1).await);
    send(&dlq, &["k:0", "k:1", "k:2"]).await;
    (queue, dlq.name().to_owned())
}

async fn read_all(dlq: &Arc<dyn Queue>, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(dlq.receive(10, SOON, LONG).await.expect("the queue answers"));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_are_looked_at_stay() {
    let (queue, dlq) = with_letters().await;
    for _ in 0..2 {
        let reader = queue.sibling(&dlq).await.unwrap();
        assert_eq!(reader.attributes().await.unwrap()["ApproximateNumberOfMessages"], "3");
        let all = read_all(&reader, 3).await;
        assert_eq!(texts(&all), ["k:0", "k:1", "k:2"], "of one key, and none waits for another");
        let changes: Vec<_> = receipts(&all).into_iter().map(|receipt| (receipt, 0)).collect();
        reader.change_visibility(&changes).await.into_iter().for_each(|answer| answer.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_in_the_middle_cannot_be_deleted_alone_and_all_of_them_can() {
    let (queue, dlq) = with_letters().await;
    let reader = queue.sibling(&dlq).await.unwrap();
    let all = read_all(&reader, 3).await;
    let error = reader.delete(&receipts(&all[1..2])).await.remove(0).unwrap_err();
    let QueueError::Permanent { code, message } = &error else { panic!("{error}") };
    assert!(code == "NotInTurn" && message.contains("Kafka cannot delete one message"), "{error}");
    // Whatever the order in which they are named.
    let others_first: Vec<_> = receipts(&all).into_iter().rev().collect();
    for answer in reader.delete(&others_first).await {
        answer.unwrap();
    }
    drop(reader);
    let reader = queue.sibling(&dlq).await.unwrap();
    assert_eq!(reader.attributes().await.unwrap()["ApproximateNumberOfMessages"], "0");
}
