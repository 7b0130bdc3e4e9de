//! Messages of one key come one after the other.

use wasq_queues::Queue;
use wasq_queues::kafka::{KafkaConfig, KafkaOrder};

use super::{
    change, cluster, comes_nothing, config, delete, new_name, new_queue, open_with, receive_all, receive_one, send,
    text, texts,
};

#[tokio::test]
async fn a_message_waits_until_the_one_of_its_key_before_it_is_done() {
    let queue = new_queue(2).await;
    send(&queue, &["a:1", "a:2", "b:1", "a:3", "b:2", "none"]).await;
    let first = receive_all(&queue, 3).await;
    assert_eq!(texts(&first), ["a:1", "b:1", "none"]);
    comes_nothing(&queue).await;
    let of = |name: &str| first.iter().find(|delivery| text(delivery) == name).unwrap();
    change(&queue, of("a:1"), 0).await.unwrap();
    let again = receive_one(&queue).await;
    assert_eq!((text(&again).as_str(), again.receive_count), ("a:1", 2), "it keeps its place");
    queue.hide(&[(of("b:1").receipt.clone(), 600)]).await.remove(0).unwrap();
    comes_nothing(&queue).await;
    delete(&queue, &[again]).await;
    let next = receive_one(&queue).await;
    assert_eq!(text(&next), "a:2");
    delete(&queue, &[next]).await;
    assert_eq!(text(&receive_one(&queue).await), "a:3");
    comes_nothing(&queue).await;
}

#[tokio::test]
async fn without_an_order_nothing_waits_for_another() {
    let topic = new_name();
    cluster().create(&topic, 1);
    let loose = KafkaConfig { order: KafkaOrder::None, ..config(cluster(), &topic) };
    let queue = open_with(loose, &topic).await;
    send(&queue, &["a:1", "a:2", "a:3"]).await;
    assert_eq!(texts(&receive_all(&queue, 3).await), ["a:1", "a:2", "a:3"]);
}

/// What stands in line takes no room from what does not.
#[tokio::test]
async fn a_key_that_waits_keeps_the_others_going() {
    let queue = new_queue(1).await;
    let line: Vec<String> = (0..100).map(|n| format!("a:{n}")).collect();
    send(&queue, &line.iter().map(String::as_str).collect::<Vec<_>>()).await;
    send(&queue, &["b:1"]).await;
    let first = receive_one(&queue).await;
    assert_eq!(text(&first), "a:0");
    assert_eq!(text(&receive_one(&queue).await), "b:1");
    delete(&queue, &[first]).await;
    assert_eq!(text(&receive_one(&queue).await), "a:1");
}
