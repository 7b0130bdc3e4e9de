//! Queues on Kafka: what is kept of a message, how long it is ours, in which order messages come,
//! and what becomes of them when hosts and brokers come and go.
//!
//! Most tests run against the cluster that librdkafka has for tests. What it cannot show is tried
//! against another broker, Tansu: topics that are made, and a broker that is killed.

mod cluster;
mod foreign;
mod groups;
mod host;
mod leases;
mod letters;
mod opening;
mod order;
mod outages;
mod round_trip;
mod tansu;
mod two_hosts;

use std::time::Duration;

use wasq_core::message::{AttributeValue, Delivery, Receipt};
use wasq_queues::kafka::{Kafka, KafkaConfig, KafkaQueue};
use wasq_queues::{KAFKA_KEY, Outgoing, Queue, QueueError};

use self::cluster::{Cluster, cluster};

/// How long a test waits for what has to come.
const SOON: Duration = Duration::from_secs(30);
/// How long it waits for what must not come.
const MOMENT: Duration = Duration::from_millis(300);
/// A lease that outlasts any test.
const LONG: Duration = Duration::from_secs(600);
const CONCURRENCY: usize = 10;

/// A name that no other test has.
fn new_name() -> String {
    format!("q-{}", uuid::Uuid::new_v4())
}

/// With a group of the topic's own, and sessions that end soon.
fn config(cluster: &Cluster, topic: &str) -> KafkaConfig {
    KafkaConfig {
        group: Some(format!("{topic}-group")),
        session_timeout: Duration::from_secs(6),
        ..KafkaConfig::new(&cluster.url())
    }
}

async fn open_with(config: KafkaConfig, topic: &str) -> KafkaQueue {
    let kafka = Kafka::new(config).expect("the settings are right");
    kafka.queue(topic, CONCURRENCY).await.expect("the topic is there")
}

async fn open(cluster: &Cluster, topic: &str) -> KafkaQueue {
    open_with(config(cluster, topic), topic).await
}

/// A topic of a test's own.
async fn new_queue(partitions: i32) -> KafkaQueue {
    let topic = new_name();
    cluster().create(&topic, partitions);
    open(cluster(), &topic).await
}

fn message(body: &str) -> Outgoing {
    let attributes = [("type".to_owned(), AttributeValue::string("probe"))].into();
    Outgoing { body: body.to_owned().into(), attributes, delay_s: 0, group: None, deduplication_id: None }
}

/// A message of a key, which is said in its body: `k:text`.
fn keyed(body: &str) -> Outgoing {
    let mut message = message(body);
    let (key, _) = body.split_once(':').expect("it says its key");
    message.attributes.insert(KAFKA_KEY.into(), AttributeValue::string(key));
    message
}

async fn send(queue: &KafkaQueue, bodies: &[&str]) {
    for body in bodies {
        let message = if body.contains(':') { keyed(body) } else { message(body) };
        queue.send(&[message]).await.remove(0).expect("it is sent");
    }
}

/// The next messages, at least one.
async fn receive(queue: &KafkaQueue, max: usize) -> Vec<Delivery> {
    let received = queue.receive(max, SOON, LONG).await.expect("the queue answers");
    assert!(!received.is_empty(), "nothing came within {SOON:?}");
    received
}

async fn receive_one(queue: &KafkaQueue) -> Delivery {
    receive(queue, 1).await.remove(0)
}

/// So many messages, in as many receives as it takes.
async fn receive_all(queue: &KafkaQueue, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(receive(queue, count - all.len()).await);
    }
    all
}

/// Nothing is there.
async fn comes_nothing(queue: &KafkaQueue) {
    let received = queue.receive(10, MOMENT, LONG).await.expect("the queue answers");
    assert!(received.is_empty(), "{:?}", texts(&received));
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.body).into_owned()
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    let mut bodies: Vec<_> = deliveries.iter().map(text).collect();
    bodies.sort();
    bodies
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()
}

async fn delete(queue: &KafkaQueue, deliveries: &[Delivery]) {
    for answer in queue.delete(&receipts(deliveries)).await {
        answer.expect("it is deleted");
    }
}

async fn change(queue: &KafkaQueue, delivery: &Delivery, seconds: u32) -> Result<(), QueueError> {
    queue.change_visibility(&[(delivery.receipt.clone(), seconds)]).await.remove(0)
}

/// What waits in the queue, and what this queue's host has in hand.
async fn counts(queue: &KafkaQueue) -> (String, String) {
    let attributes = queue.attributes().await.expect("the queue answers");
    let count = |kind: &str| attributes[&format!("ApproximateNumberOfMessages{kind}")].clone();
    (count(""), count("NotVisible"))
}

async fn count(queue: &KafkaQueue, waiting: &str, in_hand: &str) {
    crate::support::until(&format!("{waiting} wait and {in_hand} are in hand"), || async {
        counts(queue).await == (waiting.to_owned(), in_hand.to_owned())
    })
    .await;
}

fn is_lost(answer: &Result<(), QueueError>) -> bool {
    matches!(answer, Err(QueueError::LeaseLost { .. }))
}

/// Waits until Kafka was told that the group has come to the end.
async fn committed(queue: &KafkaQueue) {
    let reader = cluster().reader(&format!("{}-group", queue.name()));
    crate::support::until("the group has come to the end", || async { reader.lag(queue.name()) == 0 }).await;
}
