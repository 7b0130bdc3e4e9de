//! A stream whose messages come one after the other, on whichever host.

use std::time::Duration;

use serde_json::json;
use wasq_core::clock;
use wasq_core::message::Delivery;
use wasq_queues::Queue;
use wasq_queues::redis::{RedisConfig, RedisOrder, RedisQueue};
use wasq_tests::servers::Server;

use super::two_hosts::run_with;
use super::{
    LONG, Other, SOON, comes_nothing, connect, count, counts, delete, hide, is_lost, make, message, new_name,
    new_queue_with, put_back, receive, receive_one, send,
};
use crate::support::hosts::{end, exits};
use crate::support::servers::{redis, started};
use crate::support::{Plugin, Setup, until};

fn ordered() -> RedisConfig {
    RedisConfig { order: RedisOrder::Stream, ..RedisConfig::default() }
}

/// One stream as two hosts have it.
async fn two_hosts() -> (RedisQueue, RedisQueue) {
    let queue = new_queue_with(redis(), &ordered()).await;
    let other = connect(redis()).await.queue(&ordered(), queue.name(), false).await.expect("the stream is there");
    (queue, other)
}

fn in_order(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned()).collect()
}

#[tokio::test]
async fn the_next_one_comes_when_those_before_it_are_done() {
    let (queue, other) = two_hosts().await;
    assert!(queue.keeps_order() && queue.is_one_group());
    send(&queue, &["a", "b", "c", "d"]).await;
    let first = receive(&queue, 2, LONG).await;
    assert_eq!(in_order(&first), ["a", "b"], "one receive has what follows each other");
    comes_nothing(&other).await;
    comes_nothing(&queue).await;
    delete(&queue, &first[..1]).await;
    comes_nothing(&other).await;
    // The rest of a batch goes back when one of it has failed, and keeps its place.
    put_back(&queue, &first[1]).await;
    let again = receive(&other, 10, LONG).await;
    assert_eq!(in_order(&again), ["b", "c", "d"]);
    assert_eq!(again.iter().map(|delivery| delivery.receive_count).collect::<Vec<_>>(), [2, 1, 1]);
    delete(&other, &again).await;
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn what_waits_holds_up_the_rest_for_as_long_as_it_takes() {
    let (queue, other) = two_hosts().await;
    assert_eq!(queue.hides_up_to(), Duration::from_secs(12 * 60 * 60), "it is not parked: it would lose its place");
    send(&queue, &["a", "b"]).await;
    let first = receive_one(&queue).await;
    let hidden_at = clock::now();
    hide(&queue, &first, 2).await.unwrap();
    assert!(is_lost(&hide(&queue, &first, 0).await), "whoever let go of it has it no more");
    let both = receive(&other, 10, LONG).await;
    assert_eq!(in_order(&both), ["a", "b"]);
    let waited = hidden_at.elapsed();
    assert!(waited >= Duration::from_millis(1_950) && waited < Duration::from_secs(4), "{waited:?}");
    hide(&other, &both[0], 600).await.unwrap();
    put_back(&other, &both[1]).await;
    comes_nothing(&queue).await;
    comes_nothing(&other).await;
}

#[tokio::test]
async fn a_receive_that_waits_gets_what_comes_at_once() {
    let (queue, other) = two_hosts().await;
    for to in [&queue, &other] {
        let waiting = tokio::spawn({
            let to = to.clone();
            async move { receive_one(&to).await }
        });
        // It waits by then, or finds it there.
        comes_nothing(if to.name() == queue.name() { &other } else { &queue }).await;
        let sent_at = clock::now();
        send(&queue, &["x"]).await;
        let delivery = waiting.await.unwrap();
        assert!(sent_at.elapsed() < Duration::from_millis(700), "it was not awaited by looking now and then");
        // And the one after it when it is done.
        send(&queue, &["y"]).await;
        let next = tokio::spawn({
            let to = to.clone();
            async move { receive_one(&to).await }
        });
        comes_nothing(&other).await;
        let deleted_at = clock::now();
        delete(to, &[delivery]).await;
        let next = next.await.unwrap();
        assert!(deleted_at.elapsed() < Duration::from_millis(700), "its own host is told");
        delete(to, &[next]).await;
    }
}

#[tokio::test]
async fn what_a_host_that_is_gone_had_comes_first_when_its_lease_is_over() {
    let (queue, other) = two_hosts().await;
    send(&queue, &["a", "b", "c"]).await;
    let lease = Duration::from_secs(2);
    let first = receive(&queue, 2, lease).await;
    let received_at = first[0].received_at;
    assert_eq!(in_order(&receive(&other, 10, LONG).await), ["a", "b", "c"]);
    assert!(received_at.elapsed() >= lease - Duration::from_millis(50), "it came early");
    assert!(is_lost(&queue.delete(&[first[0].receipt.clone()]).await[0]));
}

#[tokio::test]
async fn entries_that_were_trimmed_hold_up_nobody() {
    let queue = new_queue_with(redis(), &ordered()).await;
    send(&queue, &["a", "b", "c"]).await;
    let first = receive(&queue, 2, LONG).await;
    Other::connect(redis()).await.ask::<i64>(&["XTRIM", queue.name(), "MAXLEN", "1"]).await;
    for delivery in &first {
        assert!(is_lost(&hide(&queue, delivery, 0).await), "it is gone");
    }
    assert_eq!(in_order(&[receive_one(&queue).await]), ["c"]);
}

#[tokio::test]
async fn a_receive_that_is_given_up_loses_nothing_and_no_place() {
    let queue = new_queue_with(redis(), &ordered()).await;
    send(&queue, &["a", "b", "c"]).await;
    for wait in 0..20 {
        let given_up = tokio::time::timeout(Duration::from_micros(200 * wait), queue.receive(3, SOON, LONG)).await;
        let Ok(received) = given_up else { continue };
        let received = received.expect("the queue answers");
        assert_eq!(in_order(&received), ["a", "b", "c"]);
        for delivery in received.iter().rev() {
            put_back(&queue, delivery).await;
        }
    }
    let one = receive(&queue, 1, LONG).await;
    assert_eq!(in_order(&one), ["a"], "what another receive has left beyond it goes back");
    comes_nothing(&queue).await;
    delete(&queue, &one).await;
    assert_eq!(in_order(&receive(&queue, 10, LONG).await), ["b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_one_of_which_is_killed_run_the_stream_in_its_order() {
    let server = started(Server::redis());
    let (redis, stream, url) = (connect(&server).await, new_name(), server.url());
    let queue = make(&redis, &ordered(), &stream).await;
    make(&redis, &RedisConfig::default(), &format!("{stream}-dlq")).await;
    let manifest = "timeout = '60s'\n[retry]\nmax_attempts = 5\ninitial_interval = '100ms'\n";
    let rig = Setup::new().plugin(Plugin::probe("probe").manifest(manifest)).without_host().await;
    let names: Vec<_> = (0..30).map(|n| format!("{n:02}")).collect();
    // Some fail at first, and keep their places.
    for name in ["03", "11", "12"] {
        rig.sink.answers(name, [json!({ "do": "retry" })]);
    }
    let first = run_with(&rig, &url, &stream, "order = 'stream'").await;
    let held = rig.sink.hold("15");
    for name in &names {
        queue.send(&[message(&rig.sink.ask(name).to_string())]).await.remove(0).expect("it is sent");
    }
    rig.until_called("15", 1).await;
    let second = run_with(&rig, &url, &stream, "order = 'stream'").await;
    first.kill().await;
    drop(held);
    until("the queue is empty", || async { counts(&queue).await == Some(("0".into(), "0".into())) }).await;
    let mut order = rig.sink.order(&names.iter().map(String::as_str).collect::<Vec<_>>());
    order.dedup();
    assert_eq!(order, names, "each was called again before the next one was");
    assert_eq!(exits(&second, "done").await, 15, "those that the first had not done");
    assert_eq!(rig.sink.count("15"), 2, "the killed host's run, and its repetition");
    end(second).await;
    rig.end().await;
}
