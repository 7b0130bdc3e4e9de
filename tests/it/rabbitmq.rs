//! Queues on a real RabbitMQ: what is kept of a message, how long it is ours, and what becomes of it
//! when the way to the server ends.

mod host;
mod leases;
mod many;
mod opening;
mod outages;
mod round_trip;
mod sending;
mod tls;
mod topology;

use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use wasq_core::message::{AttributeValue, Delivery, Receipt};
use wasq_queues::rabbitmq::{QueueTopology, QueueType, RabbitMq, RabbitMqConfig, RabbitMqQueue};
use wasq_queues::{Outgoing, Queue, QueueError};
use wasq_tests::servers::Server;

/// How long a test waits for what has to come.
const SOON: Duration = Duration::from_secs(30);
/// How long it waits for what must not come.
const MOMENT: Duration = Duration::from_millis(300);
/// A lease that outlasts any test.
const LONG: Duration = Duration::from_secs(600);
const PREFETCH: u16 = 10;

async fn connect(server: &Server) -> RabbitMq {
    RabbitMq::connect(RabbitMqConfig::new(&server.url())).await.expect("the server answers")
}

/// A name that no other test has.
fn new_name() -> String {
    format!("q-{}", uuid::Uuid::new_v4())
}

/// Makes a queue, and opens it.
async fn make(rabbitmq: &RabbitMq, name: &str, queue_type: QueueType) -> RabbitMqQueue {
    let topology = QueueTopology {
        queue_type,
        delivery_limit: (queue_type == QueueType::Quorum).then_some(100),
        ..QueueTopology::of(&RabbitMqConfig::default(), name)
    };
    rabbitmq.declare(&topology).await.expect("the queue is made");
    rabbitmq.queue(name, PREFETCH).await.expect("the queue is there")
}

/// A classic queue of a test's own.
async fn new_queue(server: &Server) -> RabbitMqQueue {
    make(&connect(server).await, &new_name(), QueueType::Classic).await
}

fn message(body: &str) -> Outgoing {
    let attributes = [("type".to_owned(), AttributeValue::string("probe"))].into();
    Outgoing { body: body.to_owned().into(), attributes, delay_s: 0, group: None, deduplication_id: None }
}

async fn send(queue: &RabbitMqQueue, bodies: &[&str]) {
    let messages: Vec<_> = bodies.iter().map(|body| message(body)).collect();
    for answer in queue.send(&messages).await {
        answer.expect("it is sent");
    }
}

/// The next messages, at least one.
async fn receive(queue: &RabbitMqQueue, max: usize) -> Vec<Delivery> {
    let received = queue.receive(max, SOON, LONG).await.expect("the queue answers");
    assert!(!received.is_empty(), "nothing came within {SOON:?}");
    received
}

async fn receive_one(queue: &RabbitMqQueue) -> Delivery {
    receive(queue, 1).await.remove(0)
}

/// So many messages, in as many receives as it takes.
async fn receive_all(queue: &RabbitMqQueue, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(receive(queue, count - all.len()).await);
    }
    all
}

/// Nothing is there.
async fn comes_nothing(queue: &RabbitMqQueue) {
    let received = queue.receive(10, MOMENT, LONG).await.expect("the queue answers");
    assert!(received.is_empty(), "{:?}", texts(&received));
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    let mut bodies: Vec<_> =
        deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned()).collect();
    bodies.sort();
    bodies
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()
}

async fn delete(queue: &RabbitMqQueue, deliveries: &[Delivery]) {
    for answer in queue.delete(&receipts(deliveries)).await {
        answer.expect("it is deleted");
    }
}

async fn put_back(queue: &RabbitMqQueue, delivery: &Delivery) {
    change(queue, delivery, 0).await.expect("it goes back");
}

async fn change(queue: &RabbitMqQueue, delivery: &Delivery, seconds: u32) -> Result<(), QueueError> {
    queue.change_visibility(&[(delivery.receipt.clone(), seconds)]).await.remove(0)
}

/// What waits in the queue, and what this queue's host has in hand.
async fn counts(queue: &RabbitMqQueue) -> (String, String) {
    let attributes = queue.attributes().await.expect("the queue answers");
    let count = |kind: &str| attributes[&format!("ApproximateNumberOfMessages{kind}")].clone();
    (count(""), count("NotVisible"))
}

async fn count(queue: &RabbitMqQueue, waiting: &str, in_hand: &str) {
    crate::support::until(&format!("{waiting} wait and {in_hand} are in hand"), || async {
        counts(queue).await == (waiting.to_owned(), in_hand.to_owned())
    })
    .await;
}

fn is_lost(answer: &Result<(), QueueError>) -> bool {
    matches!(answer, Err(QueueError::LeaseLost { .. }))
}

/// A client that is not ours.
struct Other {
    channel: Channel,
    _connection: Connection,
}

impl Other {
    async fn connect(server: &Server) -> Self {
        let connection = Connection::connect(&server.url(), ConnectionProperties::default()).await.unwrap();
        Self { channel: connection.create_channel().await.unwrap(), _connection: connection }
    }

    async fn publish(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let publish =
            self.channel.basic_publish("".into(), queue.into(), BasicPublishOptions::default(), body, properties);
        publish.await.unwrap().await.unwrap();
    }

    /// The next message, taken off the queue.
    async fn get(&self, queue: &str) -> Option<(Vec<u8>, BasicProperties)> {
        let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()?;
        Some((got.delivery.data, got.delivery.properties))
    }
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}
