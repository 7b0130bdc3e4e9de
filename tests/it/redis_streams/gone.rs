//! Entries that are trimmed or deleted before they were handled.

use std::time::Duration;

use wasq_queues::Queue;

use super::{
    LONG, Other, change, comes_nothing, count, hide, is_lost, new_queue, put_back, receipts, receive_all, receive_one,
    send, texts,
};
use crate::support::servers::redis;

#[tokio::test]
async fn what_is_gone_is_not_pending_any_more_and_keeps_nobody_from_the_rest() {
    let queue = new_queue(redis()).await;
    let mut other = Other::connect(redis()).await;
    send(&queue, &["a", "b", "c", "d"]).await;
    let all = receive_all(&queue, 4).await;
    for delivery in &all {
        put_back(&queue, delivery).await;
    }
    let _: usize = other.ask(&["XTRIM", queue.name(), "MAXLEN", "1"]).await;
    let left = receive_one(&queue).await;
    assert_eq!(texts(std::slice::from_ref(&left)), ["d"]);
    comes_nothing(&queue).await;
    count(&queue, "0", "1").await;
    type Holders = Option<Vec<Vec<String>>>;
    let pending: (usize, Option<String>, Option<String>, Holders) =
        other.ask(&["XPENDING", queue.name(), "wasq"]).await;
    assert_eq!(pending.0, 1);
}

#[tokio::test]
async fn what_was_trimmed_before_it_was_delivered_never_comes() {
    let queue = new_queue(redis()).await;
    send(&queue, &["a", "b"]).await;
    let _: usize = Other::connect(redis()).await.ask(&["XTRIM", queue.name(), "MAXLEN", "1"]).await;
    assert_eq!(receive_one(&queue).await.body, "b");
    comes_nothing(&queue).await;
}

#[tokio::test]
async fn what_is_gone_while_it_is_in_hand_can_be_settled_and_nothing_else() {
    let queue = new_queue(redis()).await;
    let mut other = Other::connect(redis()).await;
    send(&queue, &["done", "renewed", "hidden"]).await;
    let all = receive_all(&queue, 3).await;
    let _: usize = other.ask(&["XTRIM", queue.name(), "MAXLEN", "0"]).await;
    let of = |body: &str| all.iter().find(|delivery| delivery.body == body.as_bytes()).unwrap();
    queue.delete(&receipts(std::slice::from_ref(of("done")))).await.remove(0).expect("it is done");
    for (answer, name) in
        [(change(&queue, of("renewed"), 5).await, "renewed"), (hide(&queue, of("hidden"), 1).await, "hidden")]
    {
        assert!(is_lost(&answer), "{name}: {answer:?}");
        assert!(answer.unwrap_err().to_string().contains("deleted from the stream"), "{name}");
    }
    assert!(queue.receive(10, Duration::from_millis(1_500), LONG).await.unwrap().is_empty());
    count(&queue, "0", "0").await;
}
