//! What is kept of a message, ours and others'.

use bytes::Bytes;
use wasq_core::clock;
use wasq_core::message::{AttributeData, AttributeValue};
use wasq_queues::redis::RedisConfig;
use wasq_queues::{Broker, Outgoing, Queue};

use super::{
    Other, comes_nothing, connect, count, delete, make, message, new_name, new_queue, new_queue_with, receive_all,
    receive_one, send,
};
use crate::support::servers::redis;

#[tokio::test]
async fn a_message_comes_out_as_it_went_in() {
    let queue = new_queue(redis()).await;
    let binary = |data_type: &str, bytes: &'static [u8]| AttributeValue {
        data_type: data_type.into(),
        value: AttributeData::Binary(bytes.into()),
    };
    let text = |data_type: &str, text: &str| AttributeValue {
        data_type: data_type.into(),
        value: AttributeData::Text(text.into()),
    };
    let attributes = [
        ("type", text("String", "größe")),
        ("count", text("Number.int", "7")),
        ("empty", text("String", "")),
        ("raw", binary("Binary", &[0, 0xff])),
        ("text as bytes", binary("Binary.label", b"text")),
        ("body", text("String", "an attribute of the body's name")),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
    let large = Bytes::from(vec![0xfe; 3 << 20]);
    for body in [Bytes::from_static(b"{}"), Bytes::new(), Bytes::from_static(&[0, 0xff, b'\r', b'\n']), large] {
        let message = Outgoing {
            body,
            attributes: attributes.clone().into(),
            delay_s: 0,
            group: Some("g".into()),
            deduplication_id: Some("d".into()),
        };
        let before = clock::unix_ms();
        let id = queue.send(std::slice::from_ref(&message)).await.remove(0).unwrap();
        let delivery = receive_one(&queue).await;
        assert_eq!((&delivery.message_id, delivery.receive_count), (&id, 1));
        assert_eq!((&delivery.body, &delivery.attributes), (&message.body, &message.attributes));
        assert_eq!((&delivery.group, &delivery.deduplication_id), (&message.group, &message.deduplication_id));
        assert!(delivery.sent_at >= before && delivery.sent_at <= clock::unix_ms(), "{:?}", delivery.sent_at);
        delete(&queue, &[delivery]).await;
    }
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn an_entry_of_another_client_is_read_with_or_without_a_body() {
    let queue = new_queue(redis()).await;
    let mut other = Other::connect(redis()).await;
    let name = queue.name();
    let _: String = other.ask(&["XADD", name, "5-1", "type", "order", "body", r#"{"a":1}"#]).await;
    let _: String = other.ask(&["XADD", name, "5-2", "type", "order", "id", "7"]).await;
    let mut both = receive_all(&queue, 2).await;
    both.sort_by(|a, b| a.message_id.0.cmp(&b.message_id.0));
    assert_eq!(both[0].body, r#"{"a":1}"#);
    assert_eq!(both[0].attributes.keys().collect::<Vec<_>>(), ["type"]);
    assert_eq!(both[1].body, r#"{"id":"7","type":"order"}"#);
    assert_eq!(both[1].attributes["type"].text(), Some("order"));
    assert!(both[0].message_id.0.ends_with(&format!("/{name}/5-1")), "{:?}", both[0].message_id);
    assert!(clock::unix_ms().since(both[0].sent_at).as_secs() < 60, "an id of one's own is no time");
}

#[tokio::test]
async fn entries_of_two_streams_that_have_one_id_are_two_messages() {
    let (one, two) = (new_queue(redis()).await, new_queue(redis()).await);
    let mut other = Other::connect(redis()).await;
    for queue in [&one, &two] {
        let _: String = other.ask(&["XADD", queue.name(), "1700000000000-0", "body", "x"]).await;
    }
    assert_ne!(receive_one(&one).await.message_id, receive_one(&two).await.message_id);
}

#[tokio::test]
async fn another_client_reads_what_was_sent_as_plain_fields() {
    let config = RedisConfig { body_field: "payload".into(), ..RedisConfig::default() };
    let queue = new_queue_with(redis(), &config).await;
    send(&queue, &["hello"]).await;
    let entries: Vec<(String, Vec<String>)> =
        Other::connect(redis()).await.ask(&["XRANGE", queue.name(), "-", "+"]).await;
    assert_eq!(entries[0].1, ["payload", "hello", "type", "probe"]);
    assert_eq!(receive_one(&queue).await.body, "hello");
}

#[tokio::test]
async fn what_is_done_is_deleted_or_only_acknowledged() {
    let redis_server = connect(redis()).await;
    let mut other = Other::connect(redis()).await;
    for (deletes, left) in [(true, 0), (false, 1)] {
        let config = RedisConfig { delete: deletes, ..RedisConfig::default() };
        let queue = make(&redis_server, &config, &new_name()).await;
        send(&queue, &["x"]).await;
        count(&queue, "1", "0").await;
        let delivery = receive_one(&queue).await;
        count(&queue, "0", "1").await;
        delete(&queue, &[delivery]).await;
        count(&queue, "0", "0").await;
        comes_nothing(&queue).await;
        assert_eq!(other.ask::<usize>(&["XLEN", queue.name()]).await, left);
    }
}

#[tokio::test]
async fn a_stream_that_others_trim_and_read_too_says_what_its_group_has_to_do() {
    let config = RedisConfig { delete: false, ..RedisConfig::default() };
    let queue = new_queue_with(redis(), &config).await;
    send(&queue, &["a", "b", "c"]).await;
    let one = receive_one(&queue).await;
    delete(&queue, std::slice::from_ref(&one)).await;
    count(&queue, "2", "0").await;
    // Deleted from among those to come, nobody knows any more how many these are.
    let mut other = Other::connect(redis()).await;
    let last: Vec<(String, Vec<String>)> = other.ask(&["XREVRANGE", queue.name(), "+", "-", "COUNT", "1"]).await;
    let _: usize = other.ask(&["XDEL", queue.name(), &last[0].0]).await;
    let attributes = queue.attributes().await.unwrap();
    assert!(!attributes.contains_key("ApproximateNumberOfMessages"), "{attributes:?}");
    assert_eq!(attributes["ApproximateNumberOfMessagesNotVisible"], "0");
    assert_eq!(queue.oldest().await.unwrap(), None);
}

#[tokio::test]
async fn a_stream_keeps_about_as_many_as_maxlen_says() {
    let config = RedisConfig { maxlen: std::num::NonZeroU64::new(100), ..RedisConfig::default() };
    let queue = new_queue_with(redis(), &config).await;
    let messages: Vec<_> = (0..300).map(|n| message(&n.to_string())).collect();
    queue.send(&messages).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    let length: usize = Other::connect(redis()).await.ask(&["XLEN", queue.name()]).await;
    assert!((100..300).contains(&length), "{length}");
}

#[tokio::test]
async fn a_queue_knows_its_broker_its_url_and_its_oldest_message() {
    let queue = new_queue(redis()).await;
    let (port, name) = (redis().port(), queue.name());
    assert_eq!((queue.broker(), queue.is_fifo(), queue.is_exact()), (Broker::Redis, false, true));
    assert_eq!(queue.url(), format!("redis://127.0.0.1:{port}/0/{name}"));
    assert_eq!(queue.oldest().await.unwrap(), None);
    send(&queue, &["x", "y"]).await;
    let oldest = queue.oldest().await.unwrap().expect("there is one");
    let first = receive_one(&queue).await;
    assert_eq!(first.sent_at, oldest);
    assert_eq!(queue.oldest().await.unwrap(), Some(oldest), "it is there until it is done");

    let dlq = new_queue(redis()).await;
    for named in [dlq.name(), dlq.url()] {
        let sibling = queue.sibling(named).await.unwrap();
        assert_eq!((sibling.name(), sibling.url()), (dlq.name(), dlq.url()));
    }
    assert!(queue.sibling("no such stream").await.err().expect("it is not there").says_missing());
}
