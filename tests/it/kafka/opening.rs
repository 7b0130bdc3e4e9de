//! What is wrong is said when a queue is opened: where, why, and what to do.

use std::time::Duration;

use rdkafka::types::RDKafkaRespErr as Error;
use wasq_queues::kafka::{Kafka, KafkaConfig};
use wasq_queues::{Queue, QueueError};
use wasq_tests::servers::{PASSWORD, free_port};

use super::{CONCURRENCY, Cluster, LONG, cluster, config, new_name, new_queue, send};
use crate::support::servers;

/// Why a topic is not opened.
async fn refused(config: KafkaConfig, topic: &str) -> QueueError {
    let error = Kafka::new(config).expect("the settings are right").queue(topic, CONCURRENCY).await;
    error.err().expect("it must not open")
}

fn check(error: &QueueError, is_permanent: bool, code: &str, words: &[&str]) {
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    assert_eq!(matches!(error, QueueError::Permanent { .. }), is_permanent, "{error}");
    assert_eq!(error.code(), code, "{error}");
    for part in words {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named_and_how_to_make_it_and_it_is_not_made() {
    let name = new_name();
    for _ in 0..2 {
        let error = refused(config(cluster(), &name), &name).await;
        check(&error, true, "NotFound", &[&name, &cluster().brokers(), "wasq topology apply"]);
        assert!(error.says_missing());
    }
}

#[tokio::test]
async fn a_topic_that_may_not_be_read_is_named() {
    let cluster = Cluster::new(1);
    cluster.create("secret", 1);
    cluster.mock().topic_error("secret", Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    let error = refused(config(&cluster, "secret"), "secret").await;
    check(&error, true, "AccessRefused", &["\"secret\"", "kafka-acls.sh"]);
    assert!(error.says_denied());
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_named_in_time() {
    let port = free_port().unwrap();
    let url = format!("kafka://u:{PASSWORD}@127.0.0.1:{port}");
    let closed = KafkaConfig { connect_timeout: Duration::from_millis(500), ..KafkaConfig::new(&url) };
    let error = refused(closed, "orders").await;
    check(&error, false, "NoAnswer", &[&format!("127.0.0.1:{port}"), "within 500ms", "refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_and_tls_that_is_not_spoken_are_named() {
    let port = servers::kafka().port();
    let login = refused(KafkaConfig::new(&format!("kafka://u:{PASSWORD}@127.0.0.1:{port}")), "orders").await;
    check(&login, true, "AccessRefused", &[&format!("127.0.0.1:{port}"), "the password in `url`", "`sasl_mechanism`"]);
    let tls = refused(KafkaConfig::new(&format!("kafkas://127.0.0.1:{port}")), "orders").await;
    check(&tls, false, "NoAnswer", &[&format!("127.0.0.1:{port}"), "SSL"]);
}

#[tokio::test]
async fn a_topic_without_a_group_is_sent_to_and_not_received_from() {
    let queue = new_queue(1).await;
    let outlet = KafkaConfig { group: None, ..config(cluster(), queue.name()) };
    let outlet = super::open_with(outlet, queue.name()).await;
    send(&outlet, &["x"]).await;
    let error = outlet.receive(1, Duration::ZERO, LONG).await.unwrap_err();
    check(&error, true, "Configuration", &["set `group`"]);
    assert_eq!(outlet.attributes().await.unwrap()["MaximumMessageSize"], "1000000");
}

#[tokio::test]
async fn a_name_that_is_no_topics_is_refused() {
    let error = refused(config(cluster(), "x"), "no topic").await;
    check(&error, true, "Configuration", &["\"no topic\"", "1 to 249"]);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_alone_and_says_why() {
    let queue = new_queue(1).await;
    let large = super::message(&"x".repeat(1_000_001));
    let answers = queue.send(&[super::message("a"), large, super::message("b")]).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    check(answers[1].as_ref().unwrap_err(), true, "TooLarge", &["1000000", "`message_max_bytes`"]);
    // The topic may take less than the config says.
    let cluster = Cluster::new(1);
    cluster.create("small", 1);
    let small = super::open_with(config(&cluster, "small"), "small").await;
    let too_large = Error::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.answers(rdkafka::types::RDKafkaApiKey::Produce, &[too_large]);
    let error = small.send(&[super::message("x")]).await.remove(0).unwrap_err();
    check(&error, true, "TooLarge", &["\"small\"", "max.message.bytes"]);
}

#[tokio::test]
async fn a_queue_leads_to_its_dlq_by_name_and_url() {
    let (queue, dlq) = (new_queue(1).await, new_queue(1).await);
    for named in [dlq.name(), dlq.url()] {
        assert_eq!(queue.sibling(named).await.unwrap().url(), dlq.url());
    }
    let error = queue.sibling("no-such-topic").await.err().expect("it is not there");
    check(&error, true, "NotFound", &["no-such-topic"]);
}
