//! Hosts of one group come and go.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wasq_core::message::MessageId;
use wasq_queues::Queue;
use wasq_queues::kafka::KafkaQueue;

use super::{
    LONG, cluster, comes_nothing, committed, delete, is_lost, keyed, message, new_name, new_queue, open, receipts,
    receive, receive_all, receive_one, send, texts,
};
use crate::support::until;

const MESSAGES: usize = 1_000;
const PARTITIONS: i32 = 6;

#[derive(Default)]
struct Seen {
    /// How often each message was handed out.
    handed_out: BTreeMap<MessageId, usize>,
    deleted: HashSet<MessageId>,
    /// How many were handed out by each host.
    of_hosts: [usize; 2],
    /// Those whose delete came too late.
    lost: usize,
}

/// Receives and deletes until all are gone.
async fn work(host: usize, queue: KafkaQueue, seen: Arc<Mutex<Seen>>) {
    while seen.lock().deleted.len() < MESSAGES {
        let batch = queue.receive(10, Duration::from_millis(100), LONG).await.expect("the queue answers");
        seen.lock().of_hosts[host] += batch.len();
        for delivery in &batch {
            *seen.lock().handed_out.entry(delivery.message_id.clone()).or_default() += 1;
        }
        // Messages are in hand while partitions move.
        tokio::task::yield_now().await;
        for (answer, delivery) in queue.delete(&receipts(&batch)).await.into_iter().zip(&batch) {
            let mut seen = seen.lock();
            match answer {
                Ok(()) => drop(seen.deleted.insert(delivery.message_id.clone())),
                Err(error) => {
                    assert!(is_lost(&Err(error)));
                    seen.lost += 1;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_are_all_done_while_a_host_comes_and_another_goes() {
    let first = new_queue(PARTITIONS).await;
    let messages: Vec<_> = (0..MESSAGES).map(|n| keyed(&format!("k{}:{n}", n % 100))).collect();
    let (at_first, later) = messages.split_at(MESSAGES / 4);
    for answer in first.send(at_first).await {
        answer.expect("it is sent");
    }
    let topic = first.name().to_owned();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let sender = open(cluster(), &topic).await;
    let working = tokio::spawn(work(0, first, seen.clone()));
    until("the first has begun", || async { seen.lock().deleted.len() > 50 }).await;
    let second = open(cluster(), &topic).await;
    let joining = tokio::spawn(work(1, second.clone(), seen.clone()));
    // One with each look, so that there are some left.
    let mut later = later.chunks(1);
    until("the second has its part", || {
        let (seen, sender, more) = (&seen, &sender, later.next());
        async move {
            for answer in sender.send(more.unwrap_or_default()).await {
                answer.expect("it is sent");
            }
            seen.lock().of_hosts[1] > 0
        }
    })
    .await;
    for answer in sender.send(&later.collect::<Vec<_>>().concat()).await {
        answer.expect("it is sent");
    }
    until("they have come halfway", || async { seen.lock().deleted.len() > MESSAGES / 2 }).await;
    // It goes with messages in hand.
    working.abort();
    drop(working.await);
    joining.await.expect("the second goes on to the end");
    let seen = std::mem::take(&mut *seen.lock());
    assert_eq!((seen.handed_out.len(), seen.deleted.len()), (MESSAGES, MESSAGES), "none is lost");
    // Twice was handed out what was in hand or done beyond it when a partition moved, and no more.
    let twice = seen.handed_out.values().filter(|times| **times > 1).count();
    assert!(twice < MESSAGES / 4, "{twice} were handed out twice; {} receipts were void", seen.lost);
    drop(second);
    let queue = open(cluster(), &topic).await;
    committed(&queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_partition_that_went_to_another_host_are_void_there() {
    let first = new_queue(2).await;
    // One message in each partition.
    let mut sent = HashSet::new();
    for n in 0.. {
        let id = first.send(&[keyed(&format!("{n}:x"))]).await.remove(0).unwrap();
        let partition = id.0.split(':').nth(1).unwrap().to_owned();
        if sent.insert(partition) && sent.len() == 2 {
            break;
        }
    }
    let mut in_hand = receive_all(&first, 2).await;
    let second = open(cluster(), first.name()).await;
    // Whoever has joined gets one of the two, and with it what is not done there.
    let taken = receive_one(&second).await;
    let mut kept = in_hand.split_off(1);
    if kept[0].message_id == taken.message_id {
        std::mem::swap(&mut kept, &mut in_hand);
    }
    assert_eq!((&in_hand[0].message_id, taken.receive_count), (&taken.message_id, 1));
    assert!(is_lost(&first.delete(&receipts(&in_hand)).await[0]), "it is the other host's");
    assert!(is_lost(&super::change(&first, &in_hand[0], 60).await));
    delete(&first, &kept).await;
    delete(&second, &[taken]).await;
    committed(&first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_goes_says_how_far_it_has_come_and_others_begin_there() {
    let first = new_queue(1).await;
    send(&first, &["0", "1", "2", "3"]).await;
    let all = receive_all(&first, 4).await;
    delete(&first, &[all[0].clone(), all[1].clone(), all[3].clone()]).await;
    let topic = first.name().to_owned();
    drop(first);
    let reader = cluster().reader(&format!("{topic}-group"));
    assert_eq!(reader.committed(&topic), [Some(2)], "up to the first that is not done, before it has gone");
    let second = open(cluster(), &topic).await;
    assert_eq!(texts(&receive_all(&second, 2).await), ["2", "3"]);
    comes_nothing(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_groups_read_a_topic_each_for_itself() {
    let first = new_queue(1).await;
    send(&first, &["x"]).await;
    let other = wasq_queues::kafka::KafkaConfig { group: Some(new_name()), ..super::config(cluster(), first.name()) };
    let other = super::open_with(other, first.name()).await;
    let received = receive(&first, 10).await;
    delete(&first, &received).await;
    assert_eq!(texts(&receive(&other, 10).await), ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_begins_where_the_config_says() {
    let early = new_queue(1).await;
    send(&early, &["before"]).await;
    let topic = early.name();
    let start_from = wasq_queues::kafka::StartFrom::Latest;
    let group = Some(new_name());
    let latest = wasq_queues::kafka::KafkaConfig { group, start_from, ..super::config(cluster(), topic) };
    let late = super::open_with(latest, topic).await;
    super::count(&late, "0", "0").await;
    // It has begun once it gets what is sent; until then what is sent comes before its beginning.
    let mut received = Vec::new();
    while received.is_empty() {
        early.send(&[message("after")]).await.remove(0).unwrap();
        received = late.receive(1, Duration::from_millis(200), LONG).await.unwrap();
    }
    assert_eq!(texts(&received), ["after"]);
    assert_eq!(texts(&[receive_one(&early).await]), ["before"]);
}
