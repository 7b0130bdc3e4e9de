//! Brokers that are away, and errors of theirs.

use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Error};
use wasq_queues::kafka::KafkaConfig;
use wasq_queues::{Queue, QueueError};

use super::{Cluster, LONG, config, delete, message, open, open_with, receive_all, receive_one, send, text, texts};
use crate::support::until;

/// A cluster of a test's own, with one topic.
fn new_cluster() -> Cluster {
    let cluster = Cluster::new(1);
    cluster.create("orders", 2);
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_stays_ours_while_the_brokers_are_away_and_is_settled_afterwards() {
    let cluster = new_cluster();
    // They are back before the session ends.
    let (session_timeout, connect_timeout) = (Duration::from_secs(120), Duration::from_secs(1));
    let patient = KafkaConfig { session_timeout, connect_timeout, ..config(&cluster, "orders") };
    let queue = open_with(patient, "orders").await;
    send(&queue, &["0", "1", "2"]).await;
    let all = receive_all(&queue, 3).await;
    cluster.mock().broker_down(1).unwrap();
    until("a receive says that nobody answers", || async {
        match queue.receive(1, Duration::from_millis(100), LONG).await {
            Ok(received) => {
                assert!(received.is_empty());
                false
            }
            Err(error) => {
                assert!(matches!(&error, QueueError::Transient { code, .. } if code == "NoAnswer"), "{error}");
                true
            }
        }
    })
    .await;
    delete(&queue, &all).await;
    let error = queue.attributes().await.unwrap_err();
    assert!(matches!(&error, QueueError::Transient { code, .. } if code == "NoAnswer"), "{error}");
    cluster.mock().broker_up(1).unwrap();
    let reader = cluster.reader("orders-group");
    until("Kafka is told", || async { reader.lag("orders") == 0 }).await;
    until("it takes messages again", || async { queue.send(&[message("new")]).await.remove(0).is_ok() }).await;
    until("they come", || async {
        let received = queue.receive(1, Duration::from_millis(100), LONG).await;
        received.is_ok_and(|received| received.iter().any(|delivery| text(delivery) == "new"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_refused_is_made_again() {
    let cluster = new_cluster();
    let queue = open(&cluster, "orders").await;
    send(&queue, &["0"]).await;
    let all = receive_all(&queue, 1).await;
    cluster.answers(RDKafkaApiKey::OffsetCommit, &[Error::RD_KAFKA_RESP_ERR_UNKNOWN; 3]);
    delete(&queue, &all).await;
    let reader = cluster.reader("orders-group");
    until("Kafka is told", || async { reader.lag("orders") == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_may_not_be_joined_is_named_until_it_may() {
    let cluster = new_cluster();
    let queue = open(&cluster, "orders").await;
    send(&queue, &["0"]).await;
    cluster.answers(RDKafkaApiKey::JoinGroup, &[Error::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 2]);
    let error = queue.receive(1, super::SOON, LONG).await.unwrap_err();
    let words = error.to_string();
    assert!(error.says_denied() && words.contains("\"orders-group\"") && words.contains("kafka-acls.sh"), "{words}");
    until("it comes", || async {
        queue.receive(1, Duration::from_millis(100), LONG).await.is_ok_and(|r| r.len() == 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_another_hosts_is_named_and_tried_again() {
    let cluster = new_cluster();
    let fenced =
        wasq_queues::kafka::KafkaConfig { group_instance_id: Some("host-1".into()), ..config(&cluster, "orders") };
    let queue = open_with(fenced, "orders").await;
    send(&queue, &["0"]).await;
    cluster.answers(RDKafkaApiKey::JoinGroup, &[Error::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID]);
    let error = queue.receive(1, super::SOON, LONG).await.unwrap_err();
    assert!(error.code() == "FencedInstance" && error.to_string().contains("give each its own"), "{error}");
    until("another consumer takes over", || async {
        queue.receive(1, Duration::from_millis(100), LONG).await.is_ok_and(|received| received.len() == 1)
    })
    .await;
}

/// The session ends while the brokers are away: then what was in hand is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_kafka_does_not_know_any_more_begins_anew() {
    let cluster = new_cluster();
    let queue = open(&cluster, "orders").await;
    send(&queue, &["0", "1"]).await;
    let all = receive_all(&queue, 2).await;
    delete(&queue, &all[..1]).await;
    let reader = cluster.reader("orders-group");
    until("Kafka is told", || async { reader.lag("orders") <= 1 }).await;
    cluster.answers(RDKafkaApiKey::Heartbeat, &[Error::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    let again = receive_one(&queue).await;
    assert_eq!((text(&again), again.receive_count), (text(&all[1]), 1));
    assert!(super::is_lost(&queue.delete(&super::receipts(&all[1..])).await[0]));
    delete(&queue, &[again]).await;
    until("Kafka is told", || async { reader.lag("orders") == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_a_broker_refuses_for_now_is_made_again() {
    let cluster = new_cluster();
    let queue = open(&cluster, "orders").await;
    cluster.answers(RDKafkaApiKey::Produce, &[Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 2]);
    send(&queue, &["x"]).await;
    assert_eq!(texts(&receive_all(&queue, 1).await), ["x"]);
}
