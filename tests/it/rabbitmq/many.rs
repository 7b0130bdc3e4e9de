//! Many messages through two hosts at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wasq_core::message::MessageId;
use wasq_queues::Queue;
use wasq_queues::rabbitmq::{QueueType, RabbitMqQueue};

use super::{LONG, connect, count, make, message, new_name, receipts};
use crate::support::servers::rabbitmq;

const MESSAGES: usize = 1_000;
const SENDERS: usize = 10;
const POLLERS: usize = 4;

/// How often each message was deleted.
type Deleted = Arc<Mutex<BTreeMap<MessageId, usize>>>;

/// Receives and deletes until all are gone. Every seventh is put back at its first delivery.
async fn work(queue: RabbitMqQueue, deleted: Deleted) {
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
    for queue_type in [QueueType::Classic, QueueType::Quorum] {
        let (name, deleted) = (new_name(), Deleted::default());
        let first = make(&connect(rabbitmq()).await, &name, queue_type).await;
        let second = connect(rabbitmq()).await.queue(&name, 50).await.unwrap();
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
        assert!(deleted.values().all(|times| *times == 1), "{queue_type:?}");
        count(&first, "0", "0").await;
        count(&second, "0", "0").await;
    }
}
