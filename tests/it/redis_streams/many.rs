//! Many messages through two hosts at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wasq_core::message::MessageId;
use wasq_queues::Queue;
use wasq_queues::redis::RedisQueue;

use super::{LONG, count, message, new_queue, other_host, receipts};
use crate::support::servers::redis;

const MESSAGES: usize = 1_000;
const SENDERS: usize = 10;
const POLLERS: usize = 4;

/// How often each message was deleted.
type Deleted = Arc<Mutex<BTreeMap<MessageId, usize>>>;

/// Receives and deletes until all are gone. Every seventh is put back at its first delivery.
async fn work(queue: RedisQueue, deleted: Deleted) {
    while deleted.lock().len() < MESSAGES {
        let batch = queue.receive(10, Duration::from_millis(200), LONG).await.expect("the queue answers");
        let is_refused = |body: &[u8]| std::str::from_utf8(body).unwrap().parse::<usize>().unwrap().is_multiple_of(7);
        let (back, done): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|delivery| delivery.receive_count == 1 && is_refused(&delivery.body));
        let back: Vec<_> = receipts(&back).into_iter().map(|receipt| (receipt, 0)).collect();
        for answer in queue.hide(&back).await.into_iter().chain(queue.delete(&receipts(&done)).await) {
            answer.expect("the lease holds");
        }
        for delivery in done {
            *deleted.lock().entry(delivery.message_id).or_default() += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_through_two_hosts_are_each_deleted_once() {
    let deleted = Deleted::default();
    let first = new_queue(redis()).await;
    let second = other_host(redis(), &first).await;
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let queue = if sender % 2 == 0 { first.clone() } else { second.clone() };
        tasks.spawn(async move {
            let numbers = sender * MESSAGES / SENDERS..(sender + 1) * MESSAGES / SENDERS;
            let messages: Vec<_> = numbers.map(|n| message(&n.to_string())).collect();
            for answer in queue.send(&messages).await {
                answer.expect("it is sent");
            }
        });
    }
    for poller in 0..POLLERS {
        let queue = if poller % 2 == 0 { first.clone() } else { second.clone() };
        tasks.spawn(work(queue, deleted.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let deleted = std::mem::take(&mut *deleted.lock());
    assert_eq!(deleted.len(), MESSAGES);
    assert!(deleted.values().all(|times| *times == 1), "{deleted:?}");
    count(&first, "0", "0").await;
    count(&second, "0", "0").await;
}

#[tokio::test]
async fn leases_that_ended_are_found_among_many_that_have_not() {
    let queue = new_queue(redis()).await;
    let messages: Vec<_> = (0..1_200).map(|n| message(&n.to_string())).collect();
    queue.send(&messages).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    // Two sweeps of entries that are in hand, before and behind a few whose leases end at once.
    let mut in_hand = super::receive_all(&queue, 590).await;
    let left = super::receive(&queue, 10, Duration::from_millis(200)).await;
    in_hand.extend(super::receive_all(&queue, 1_200 - in_hand.len() - left.len()).await);
    let other = other_host(redis(), &queue).await;
    let mut again = Vec::new();
    while again.len() < left.len() {
        again.extend(super::receive(&other, 10, Duration::from_millis(200)).await);
    }
    assert!(again.iter().all(|delivery| delivery.receive_count >= 2));
}
