//! Queues on a real Redis: what is kept of a message, whose it is and for how long, and what becomes
//! of it when its holder or the server ends.

mod consumers;
mod gone;
mod host;
mod leases;
mod many;
mod opening;
mod order;
mod outages;
mod round_trip;
mod tls;
mod two_hosts;

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, ToRedisArgs};
use wasq_core::message::{AttributeValue, Delivery, Receipt};
use wasq_queues::redis::{Redis, RedisConfig, RedisQueue, StreamTopology};
use wasq_queues::{Outgoing, Queue, QueueError};
use wasq_tests::servers::Server;

/// How long a test waits for what has to come.
const SOON: Duration = Duration::from_secs(30);
/// How long it waits for what must not come.
const MOMENT: Duration = Duration::from_millis(300);
/// A lease that outlasts any test.
const LONG: Duration = Duration::from_secs(600);

async fn connect(server: &Server) -> Redis {
    Redis::connect(&RedisConfig::new(&server.url())).await.expect("the server answers")
}

/// A name that no other test has.
fn new_name() -> String {
    format!("q-{}", uuid::Uuid::new_v4())
}

/// Makes a stream with its group, and opens it.
async fn make(redis: &Redis, config: &RedisConfig, name: &str) -> RedisQueue {
    redis.declare(&StreamTopology::of(config, name)).await.expect("the stream is made");
    redis.queue(config, name, false).await.expect("the stream is there")
}

/// A queue of a test's own.
async fn new_queue(server: &Server) -> RedisQueue {
    new_queue_with(server, &RedisConfig::default()).await
}

async fn new_queue_with(server: &Server, config: &RedisConfig) -> RedisQueue {
    make(&connect(server).await, config, &new_name()).await
}

/// The same queue as another host has it.
async fn other_host(server: &Server, queue: &RedisQueue) -> RedisQueue {
    connect(server).await.queue(&RedisConfig::default(), queue.name(), false).await.expect("the stream is there")
}

fn message(body: &str) -> Outgoing {
    let attributes = [("type".to_owned(), AttributeValue::string("probe"))].into();
    Outgoing { body: body.to_owned().into(), attributes, delay_s: 0, group: None, deduplication_id: None }
}

async fn send(queue: &RedisQueue, bodies: &[&str]) {
    let messages: Vec<_> = bodies.iter().map(|body| message(body)).collect();
    for answer in queue.send(&messages).await {
        answer.expect("it is sent");
    }
}

/// The next messages, at least one.
async fn receive(queue: &RedisQueue, max: usize, visibility: Duration) -> Vec<Delivery> {
    let received = queue.receive(max, SOON, visibility).await.expect("the queue answers");
    assert!(!received.is_empty(), "nothing came within {SOON:?}");
    received
}

async fn receive_one(queue: &RedisQueue) -> Delivery {
    receive(queue, 1, LONG).await.remove(0)
}

/// So many messages, in as many receives as it takes.
async fn receive_all(queue: &RedisQueue, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(receive(queue, count - all.len(), LONG).await);
    }
    all
}

/// Nothing is there.
async fn comes_nothing(queue: &RedisQueue) {
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

async fn delete(queue: &RedisQueue, deliveries: &[Delivery]) {
    for answer in queue.delete(&receipts(deliveries)).await {
        answer.expect("it is deleted");
    }
}

async fn change(queue: &RedisQueue, delivery: &Delivery, seconds: u32) -> Result<(), QueueError> {
    queue.change_visibility(&[(delivery.receipt.clone(), seconds)]).await.remove(0)
}

async fn put_back(queue: &RedisQueue, delivery: &Delivery) {
    change(queue, delivery, 0).await.expect("it goes back");
}

async fn hide(queue: &RedisQueue, delivery: &Delivery, seconds: u32) -> Result<(), QueueError> {
    queue.hide(&[(delivery.receipt.clone(), seconds)]).await.remove(0)
}

/// What waits in the queue, and what any host has in hand. None while the server is away.
async fn counts(queue: &RedisQueue) -> Option<(String, String)> {
    let attributes = queue.attributes().await.ok()?;
    let count = |kind: &str| attributes[&format!("ApproximateNumberOfMessages{kind}")].clone();
    Some((count(""), count("NotVisible")))
}

async fn count(queue: &RedisQueue, waiting: &str, in_hand: &str) {
    assert_eq!(counts(queue).await, Some((waiting.to_owned(), in_hand.to_owned())));
}

fn is_lost(answer: &Result<(), QueueError>) -> bool {
    matches!(answer, Err(QueueError::LeaseLost { .. }))
}

/// A client that is not ours.
struct Other(MultiplexedConnection);

impl Other {
    async fn connect(server: &Server) -> Self {
        Self::at(&server.url()).await
    }

    async fn at(url: &str) -> Self {
        Self(redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap())
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &[impl ToRedisArgs]) -> T {
        let mut ask = redis::Cmd::new();
        ask.arg(command);
        ask.query_async(&mut self.0).await.unwrap()
    }
}
