//! Against a broker that is not librdkafka's: Tansu, which keeps its data in S3. Topics are made
//! there, and it is killed and started again.

use std::time::Duration;

use wasq_queues::kafka::{Kafka, KafkaConfig, KafkaQueue, TopicTopology, make_topic};
use wasq_queues::{Queue, QueueError};
use wasq_tests::servers::free_port;

use super::{CONCURRENCY, delete, message, new_name, receive, text, texts};
use crate::cli::binary::{Running, Wasq, client, wasq};
use crate::cli::config_file;
use crate::support::{Setup, until};

/// Tansu, and moto's S3, in which its data are.
struct Tansu {
    port: u16,
    s3: String,
    broker: Option<Running>,
    _moto: Running,
}

impl Tansu {
    async fn start() -> Self {
        let moto = client("moto_server", ["--port", "0"]).spawn();
        let line = moto.line("Running on http://").await;
        let s3 = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        let bucket = client("aws", ["s3api", "create-bucket", "--bucket", "tansu", "--endpoint-url", &s3]);
        in_moto(bucket, &s3).check(0, &[]).await;
        let mut tansu = Self { port: free_port().unwrap(), s3, broker: None, _moto: moto };
        tansu.restart().await;
        tansu
    }

    /// Kills it if it runs, and starts it on the same port with the same data.
    async fn restart(&mut self) {
        self.kill().await;
        let url = format!("tcp://127.0.0.1:{}", self.port);
        let at = ["--listener-url", &url, "--advertised-listener-url", &url];
        let broker = client("tansu", ["broker", "--storage-engine", "s3://tansu/"].iter().chain(&at));
        let broker = in_moto(broker, &self.s3).spawn();
        broker.line("ready in").await;
        self.broker = Some(broker);
    }

    async fn kill(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.kill().await;
        }
    }

    fn config(&self, topic: &str) -> KafkaConfig {
        KafkaConfig {
            group: Some(format!("{topic}-group")),
            session_timeout: Duration::from_secs(6),
            ..KafkaConfig::new(&format!("kafka://127.0.0.1:{}", self.port))
        }
    }

    async fn open(&self, topic: &str) -> KafkaQueue {
        Kafka::new(self.config(topic)).unwrap().queue(topic, CONCURRENCY).await.expect("the topic is there")
    }
}

/// A command whose S3 is moto.
fn in_moto(command: Wasq, s3: &str) -> Wasq {
    let settings = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1")];
    let settings =
        settings.into_iter().chain([("AWS_ENDPOINT", s3), ("AWS_ALLOW_HTTP", "true"), ("AWS_CONDITIONAL_PUT", "etag")]);
    settings.fold(command, |command, (name, value)| command.env(name, value))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_started_again_costs_no_message() {
    let mut tansu = Tansu::start().await;
    let topic = new_name();
    let wanted = TopicTopology { name: topic.clone(), partitions: Some(2), replication_factor: Some(1) };
    make_topic(&tansu.config(&topic), &wanted).await.unwrap();
    let queue = tansu.open(&topic).await;
    let messages: Vec<_> = (0..20).map(|n| message(&n.to_string())).collect();
    for answer in queue.send(&messages).await {
        answer.expect("it is sent");
    }
    let mut all = Vec::new();
    while all.len() < 20 {
        all.extend(receive(&queue, 10).await);
    }
    delete(&queue, &all[..5]).await;
    tansu.kill().await;
    // What was in hand is done while nobody hears of it.
    delete(&queue, &all[5..10]).await;
    let sent = queue.send(&[message("in vain")]).await.remove(0);
    assert!(matches!(sent, Err(QueueError::Transient { .. })), "{sent:?}");
    tansu.restart().await;
    until("it takes messages again", || async { queue.send(&[message("new")]).await.remove(0).is_ok() }).await;
    // Another host has what was not done, and what was sent meanwhile.
    drop(queue);
    let queue = tansu.open(&topic).await;
    let mut missing = texts(&all[10..]);
    missing.push("new".into());
    while !missing.is_empty() {
        let received: Vec<_> = receive(&queue, 10).await.iter().map(text).collect();
        missing.retain(|body| !received.contains(body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topology_command_makes_what_the_config_says_and_names_what_differs() {
    let (tansu, rig) = (Tansu::start().await, Setup::probe().without_host().await);
    let (name, port) = (new_name(), tansu.port);
    let apply = |more: &str, arguments: &[&str]| {
        let queue = format!(
            "[queues.jobs]\nbroker = 'kafka'\nurl = 'kafka://127.0.0.1:{port}'\ndlq = '{name}-dlq'\n[queues.jobs.kafka]\n\
             topic = '{name}'\ngroup = 'g'\n{more}"
        );
        let file = config_file(&rig, "", &queue);
        wasq(["topology", "apply"].iter().chain(arguments)).env("WASQ_CONFIG", file)
    };
    let dlq = format!("{name}-dlq");
    let three = "partitions = 3\nreplication_factor = 1";
    apply(three, &["--dry-run"]).check(0, &["would make", &name, "partitions: 3", &dlq]).await;
    let kafka = Kafka::new(tansu.config(&name)).unwrap();
    assert!(kafka.queue(&name, 1).await.is_err(), "nothing was made");
    for _ in 0..2 {
        apply(three, &[]).check(0, &["ok", &name, &dlq]).await;
    }
    kafka.queue(&name, 1).await.expect("it is there");
    kafka.queue(&dlq, 1).await.expect("it is there");
    apply("", &[]).check(0, &["ok", "the cluster's"]).await;
    apply("partitions = 4", &[]).check(1, &["problem", &name, "it has 3 partitions", "partitions = 3"]).await;
    rig.end().await;
}
