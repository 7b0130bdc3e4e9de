//! The consumers of hosts that are gone.

use std::time::Duration;

use wasq_queues::Queue;

use super::{Other, delete, new_queue, other_host, receive_one, send};
use crate::support::servers::redis;

/// Names of the group's consumers.
async fn consumers(other: &mut Other, stream: &str) -> Vec<String> {
    let all: Vec<redis::Value> = other.ask(&["XINFO", "CONSUMERS", stream, "wasq"]).await;
    let name = |consumer: redis::Value| {
        let fields: std::collections::HashMap<String, redis::Value> = redis::from_redis_value(consumer).unwrap();
        redis::from_redis_value(fields["name"].clone()).unwrap()
    };
    all.into_iter().map(name).collect()
}

/// What the host runs now and then.
const TIDY: &str = concat!(
    include_str!("../../../queues/src/redis/common.lua"),
    "\n",
    include_str!("../../../queues/src/redis/tidy.lua")
);

#[tokio::test]
async fn consumers_that_are_away_are_removed_unless_something_is_pending_or_they_are_not_ours() {
    let queue = new_queue(redis()).await;
    let mut other = Other::connect(redis()).await;
    for name in ["wasq-gone-60000ms", "worker"] {
        let _: usize = other.ask(&["XGROUP", "CREATECONSUMER", queue.name(), "wasq", name]).await;
    }
    send(&queue, &["pending"]).await;
    let pending = receive_one(&queue).await;
    let gone = "wasq-gone-60000ms".to_owned();
    super::comes_nothing(&other_host(redis(), &queue).await).await;
    assert!(consumers(&mut other, queue.name()).await.contains(&gone), "it is not away for an hour");
    let tidy = |idle_ms: &'static str| ["EVAL", TIDY, "1", queue.name(), "wasq", idle_ms];
    assert_eq!(other.ask::<usize>(&tidy("3600000")).await, 0);
    assert!(other.ask::<usize>(&tidy("0")).await >= 1);
    let left = consumers(&mut other, queue.name()).await;
    assert!(!left.contains(&gone) && left.contains(&"worker".into()), "{left:?}");
    delete(&queue, &[pending]).await;
}

#[tokio::test]
async fn the_messages_of_a_foreign_consumer_come_after_our_own_visibility() {
    let queue = new_queue(redis()).await;
    let mut other = Other::connect(redis()).await;
    send(&queue, &["x"]).await;
    let read = ["XREADGROUP", "GROUP", "wasq", "worker", "STREAMS", queue.name(), ">"];
    let _: redis::Value = other.ask(&read).await;
    super::comes_nothing(&queue).await;
    let received = super::receive(&queue, 1, Duration::from_secs(1)).await;
    assert_eq!(received[0].receive_count, 2);
}
