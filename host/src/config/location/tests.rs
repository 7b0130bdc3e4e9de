use std::path::Path;

use super::*;
use crate::config::ConfigError;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("wasq.toml"))
}

#[test]
fn a_queue_is_on_sqs_unless_it_says_otherwise() {
    let config =
        parse("[queues.jobs]\n[outlets.mails]\nurl = 'https://sqs.eu-west-1.amazonaws.com/123456789012/m.fifo'");
    let config = config.expect("it is valid");
    let jobs = config.location("jobs").expect("it is there");
    assert!(matches!(jobs.address(), QueueAddress::Sqs(named) if named == "jobs"));
    let mails = config.location("mails").expect("it is there");
    assert_eq!((mails.name_there().as_str(), mails.is_fifo()), ("m.fifo", true));
    assert!(config.location("other").is_none());
}

#[test]
fn a_queue_on_rabbitmq_has_its_server_and_its_name_there() {
    let config = parse(
        "[queues.jobs]\nbroker = 'rabbitmq'\nurl = 'amqp://u:pa55@mq/shop'\nconcurrency = 7\ndlq = 'dead.fifo'\n\
         [queues.jobs.rabbitmq]\nqueue = 'orders.fifo'\nheartbeat = '10s'\n\
         [outlets.mails]\nbroker = 'rabbitmq'\nurl = 'amqps://u:pa55@mq/shop'\n",
    );
    let config = config.expect("it is valid");
    let jobs = config.location("jobs").expect("it is there");
    assert!(!jobs.is_fifo(), "a name says nothing there");
    let QueueAddress::RabbitMq { server, name, concurrency } = jobs.address() else { panic!("it is on RabbitMQ") };
    assert_eq!((name.as_str(), concurrency), ("orders.fifo", 7));
    assert_eq!((server.url.0.as_str(), server.heartbeat.as_secs()), ("amqp://u:pa55@mq/shop", 10));
    let mails = config.location("mails").expect("it is there");
    assert!(matches!(mails.address(), QueueAddress::RabbitMq { name, .. } if name == "mails"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("pa55") && shown.contains("amqp://***@mq/shop"), "{shown}");
}

#[test]
fn a_queue_on_redis_has_its_server_and_its_stream_there() {
    let config = parse(
        "[queues.jobs]\nbroker = 'redis'\nurl = 'redis://u:pa55@db/1'\nvisibility = '10s'\ndlq = 'dead'\n\
         [queues.jobs.redis]\nstream = 'orders.fifo'\ngroup = 'shop'\n\
         [outlets.mails]\nbroker = 'redis'\nurl = 'rediss://u:pa55@db/1'\n",
    );
    let config = config.expect("it is valid");
    let jobs = config.location("jobs").expect("it is there");
    assert!(!jobs.is_fifo(), "a name says nothing there");
    let QueueAddress::Redis { config: redis, name, is_outlet } = jobs.address() else { panic!("it is on Redis") };
    assert_eq!((name.as_str(), redis.group.as_str(), is_outlet), ("orders.fifo", "shop", false));
    assert_eq!(redis.url.0, "redis://u:pa55@db/1");
    let mails = config.location("mails").expect("it is there");
    assert!(matches!(mails.address(), QueueAddress::Redis { name, is_outlet: true, .. } if name == "mails"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("pa55") && shown.contains("redis://***@db/1"), "{shown}");
}

#[test]
fn what_contradicts_its_broker_is_refused_with_the_way_out() {
    let check = |text: &str, expect: &[&str]| {
        let error = parse(text).expect_err(text).to_string();
        expect.iter().for_each(|part| assert!(error.contains(part), "{text}: {error}"));
        assert!(!error.contains("pa55"), "{error}");
    };
    check("[queues.a]\nurl = 'amqp://u:pa55@mq'", &["queues.a.url", "broker = \"rabbitmq\""]);
    check("[queues.a]\n[queues.a.rabbitmq]\nqueue = 'x'", &["queues.a.rabbitmq", "broker"]);
    check("[queues.a]\nbroker = 'rabbitmq'", &["queues.a.url", "missing", "amqp://USER"]);
    check("[outlets.a]\nbroker = 'rabbitmq'\n[queues.b]", &["outlets.a.url", "missing"]);
    check("[queues.a]\nbroker = 'rabbitmq'\nurl = 'http://u:pa55@mq'", &["queues.a.url", "amqps://"]);
    check("[queues.a]\nbroker = 'nats'", &["nats", "rabbitmq", "kafka"]);
    let more =
        |line: &str| format!("[queues.a]\nbroker = 'rabbitmq'\nurl = 'amqp://u:pa55@mq'\n[queues.a.rabbitmq]\n{line}");
    check(&more("heartbeat = '1s'"), &["queues.a.rabbitmq.heartbeat", "1s", "10 min"]);
    check(&more("exchange = 'x'"), &["queues.a.rabbitmq", "outlet"]);
    check(&more("routing_key = 'x'"), &["queues.a.rabbitmq", "outlet"]);
    check(&more("prefetch = 0"), &["queues.a.rabbitmq.prefetch", "65535"]);
    check(&more("url = 'amqp://x'"), &["unknown field", "url"]);

    check("[queues.a]\nurl = 'rediss://u:pa55@db'", &["queues.a.url", "broker = \"redis\""]);
    check("[queues.a]\n[queues.a.redis]\nstream = 'x'", &["queues.a.redis", "on SQS", "broker = \"redis\""]);
    check("[queues.a]\nbroker = 'redis'", &["queues.a.url", "missing", "redis://USER"]);
    check("[queues.a]\nbroker = 'redis'\nurl = 'amqp://u:pa55@db'", &["queues.a.url", "rediss://"]);
    let more = |line: &str| format!("[queues.a]\nbroker = 'redis'\nurl = 'redis://u:pa55@db'\n{line}");
    check(&more("[queues.a.rabbitmq]"), &["queues.a.rabbitmq", "on Redis", "broker = \"rabbitmq\""]);
    check(&more("visibility = '9s'"), &["queues.a.visibility", "9s", "10s or more on Redis"]);
    check(&more("[queues.a.redis]\nbody_field = 'wasq-group'"), &["queues.a.redis.body_field", "wasq-group"]);
    check(&more("[queues.a.redis]\nmaxlen = 0"), &["maxlen"]);
    check(&more("[queues.a.redis]\norder = 'key'"), &["order", "key", "stream"]);
    check(&more("fair_by = '{/a}'\n[queues.a.redis]\norder = 'stream'"), &["queues.a.fair_by", "keeps an order"]);
    check(&more("[queues.a.redis]\nurl = 'redis://x'"), &["unknown field", "url"]);
}

#[test]
fn a_queue_on_kafka_has_its_server_its_topic_and_its_group() {
    let config = parse(
        "[queues.jobs]\nbroker = 'kafka'\nurl = 'kafka://u:pa55@k1,k2'\nconcurrency = 7\ndlq = 'dead'\n\
         [queues.jobs.kafka]\ntopic = 'orders.fifo'\ngroup = 'shop'\nmax_gap = 5\n\
         [queues.loose]\nbroker = 'kafka'\nurl = 'kafka://k1'\nkafka = { group = 'shop', order = 'none' }\n\
         [outlets.mails]\nbroker = 'kafka'\nurl = 'kafkas://k1'\n",
    );
    let config = config.expect("it is valid");
    let jobs = config.location("jobs").expect("it is there");
    assert!(!jobs.is_fifo() && jobs.keeps_order(), "a name says nothing there");
    let QueueAddress::Kafka { server, topic, concurrency } = jobs.address() else { panic!("it is on Kafka") };
    assert_eq!((topic.as_str(), concurrency, server.max_gap), ("orders.fifo", 7, 5));
    assert_eq!((server.url.0.as_str(), server.group.as_deref()), ("kafka://u:pa55@k1,k2", Some("shop")));
    assert!(!config.location("loose").expect("it is there").keeps_order());
    assert_eq!(config.queues["jobs"].unroutable_after.as_secs(), 300, "its key waits behind it");
    assert_eq!(config.queues["loose"].unroutable_after.as_secs(), 24 * 60 * 60);
    let mails = config.location("mails").expect("it is there");
    assert!(matches!(mails.address(), QueueAddress::Kafka { topic, .. } if topic == "mails"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("pa55") && shown.contains("kafka://***@k1,k2"), "{shown}");
}

#[test]
fn what_contradicts_kafka_is_refused_with_the_way_out() {
    let check = |text: &str, expect: &[&str]| {
        let error = parse(text).expect_err(text).to_string();
        expect.iter().for_each(|part| assert!(error.contains(part), "{text}: {error}"));
        assert!(!error.contains("pa55"), "{error}");
    };
    check("[queues.a]\nurl = 'kafka://u:pa55@k'", &["queues.a.url", "broker = \"kafka\""]);
    check("[queues.a]\n[queues.a.kafka]\ngroup = 'x'", &["queues.a.kafka", "broker = \"kafka\""]);
    check("[queues.a]\nbroker = 'kafka'", &["queues.a.url", "missing", "kafka://HOST"]);
    check("[queues.a]\nbroker = 'kafka'\nurl = 'amqp://u:pa55@k'", &["queues.a.url", "kafkas://"]);
    check("[queues.a]\nbroker = 'kafka'\nurl = 'kafka://k'", &["queues.a.kafka.group", "missing", "shop-orders"]);
    let more =
        |line: &str| format!("[queues.a]\nbroker = 'kafka'\nurl = 'kafka://k'\n[queues.a.kafka]\ngroup = 'g'\n{line}");
    check(&more("max_gap = 0"), &["queues.a.kafka.max_gap", "1000000"]);
    check(&more("topic = 'a b'"), &["queues.a.kafka.topic", "249"]);
    check(&more("[queues.a.rabbitmq]"), &["queues.a.rabbitmq", "Kafka"]);
    check(&more("url = 'kafka://x'"), &["unknown field", "url"]);
    check(&more("").replace("queues.a", "queues.'a b'"), &["kafka.topic", "a b"]);
}
