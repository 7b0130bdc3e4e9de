//! A host whose queue is on Kafka: all of the promise, to the dead letter and its replay.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::{Value, json};
use wasq::config::{Broker, KafkaConfig, QueueUrl};
use wasq_core::message::AttributeValue;
use wasq_queues::kafka::{KafkaOrder, KafkaQueue};
use wasq_queues::{KAFKA_KEY, Outgoing, Queue};
use wasq_tests::servers::PASSWORD;

use super::{Cluster, cluster, config, new_name, open_with};
use crate::cli::binary::wasq;
use crate::cli::config_file;
use crate::support::{Plugin, Rig, Setup, until};

/// A host over a topic of a test's own, whose handler gives up after three attempts.
struct Site {
    rig: Rig,
    /// To send with: it reads nothing.
    queue: KafkaQueue,
    dlq: String,
    order: KafkaOrder,
}

impl Site {
    async fn new() -> Self {
        Self::with(cluster(), KafkaOrder::Key, "[retry]\nmax_attempts = 3\ninitial_interval = '0s'\n").await
    }

    async fn with(cluster: &Cluster, order: KafkaOrder, manifest: &str) -> Self {
        let topic = new_name();
        let dlq = format!("{topic}-dlq");
        cluster.create(&topic, 2);
        cluster.create(&dlq, 1);
        let queue = open_with(config(cluster, &topic), &topic).await;
        let kafka = KafkaConfig { topic: Some(topic.clone()), order, ..config(cluster, &topic) };
        let (url, letters) = (cluster.url(), dlq.clone());
        let on_kafka = move |queue: &mut wasq::config::QueueConfig| {
            queue.broker = Broker::Kafka;
            queue.url = Some(QueueUrl(url));
            queue.kafka = Some(kafka);
            queue.dlq = Some(letters);
        };
        let setup = Setup::new().plugin(Plugin::probe("probe").manifest(manifest));
        let rig = setup.queue("jobs", on_kafka).queue("mails", |_| {}).start().await;
        Self { rig, queue, dlq, order }
    }

    async fn send(&self, order: &Value) {
        self.send_with(order, &[]).await;
    }

    async fn send_with(&self, order: &Value, more: &[(&str, &str)]) {
        let attributes = [("type", "probe")].iter().chain(more);
        let attributes = attributes.map(|(name, value)| ((*name).to_owned(), AttributeValue::string(*value)));
        let body = order.to_string().into();
        let message =
            Outgoing { body, attributes: attributes.collect(), delay_s: 0, group: None, deduplication_id: None };
        self.queue.send(&[message]).await.remove(0).expect("the queue takes it");
    }

    /// Kafka was told that everything is done.
    async fn emptied(&self) {
        let reader = cluster().reader(&format!("{}-group", self.queue.name()));
        until("the group has come to the end", || async { reader.lag(self.queue.name()) == 0 }).await;
    }

    /// So many letters in the DLQ.
    async fn letters(&self, count: i64) {
        let reader = cluster().reader(&format!("wasq-letters-{}", self.dlq));
        until(&format!("{count} letters"), || async { reader.lag(&self.dlq) == count }).await;
    }

    /// The config as a file, for commands.
    fn config(&self) -> PathBuf {
        let (name, url) = (self.queue.name(), cluster().url());
        let order = if self.order == KafkaOrder::Key { "key" } else { "none" };
        let jobs = format!(
            "[queues.jobs]\nbroker = 'kafka'\nurl = '{url}'\ndlq = '{name}-dlq'\n[queues.jobs.kafka]\ntopic = '{name}'\n\
             group = '{name}-group'\norder = '{order}'\n[queues.mails]\ndlq = 'mails-dlq'\n"
        );
        config_file(&self.rig, "", &jobs)
    }

    /// A command that must end so and say this.
    async fn command(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        let addr = self.rig.admin_addr().expect("the host runs").to_string();
        let target = ["--queue", "jobs", "--admin", &addr];
        let command = wasq(arguments.iter().chain(&target)).env("WASQ_CONFIG", self.config());
        let ran = command.check(code, parts).await;
        assert!(!ran.says("SQS"), "the queue is on another broker: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_runs_and_kafka_is_told() {
    let site = Site::new().await;
    site.send_with(&site.rig.sink.ask("work"), &[(KAFKA_KEY, "customer 7")]).await;
    site.rig.until_called("work", 1).await;
    site.emptied().await;
    let report = &site.rig.sink.calls("work")[0].report;
    assert_eq!((&report["attempt"], &report["attributes"][KAFKA_KEY]), (&json!(1), &json!("customer 7")), "{report}");
    assert_eq!(site.rig.exits("done"), 1);
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_done_runs_no_second_time() {
    let site = Site::new().await;
    for _ in 0..2 {
        site.send_with(&site.rig.sink.ask("once"), &[("idempotency-key", "k")]).await;
    }
    until("one is a duplicate", || async { site.rig.duplicates() == 1 }).await;
    site.emptied().await;
    assert_eq!(site.rig.sink.count("once"), 1);
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_in_its_place_then_dead_lettered_and_replayed_by_the_command() {
    let site = Site::new().await;
    let no = json!({ "do": "retry", "reason": "the printer is out" });
    site.rig.sink.answers("print", [no.clone(), no.clone(), no]);
    site.send_with(&site.rig.sink.ask("print"), &[(KAFKA_KEY, "k")]).await;
    site.send_with(&site.rig.sink.ask("behind"), &[(KAFKA_KEY, "k")]).await;
    site.send_with(&site.rig.sink.ask("beside"), &[(KAFKA_KEY, "l")]).await;
    site.rig.until_called("behind", 1).await;
    site.rig.until_called("beside", 1).await;
    site.rig.until_exits("retry", 3).await;
    assert_eq!(site.rig.sink.count("print"), 3, "before the one behind it");
    site.letters(1).await;
    site.emptied().await;

    site.command(&["dlq", "ls"], 0, &["the printer is out"]).await;
    site.command(&["dlq", "replay", "--all"], 0, &["1"]).await;
    site.rig.until_called("print", 4).await;
    site.rig.until_exits("done", 3).await;
    site.emptied().await;
    site.letters(0).await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_behind_others_is_neither_replayed_nor_discarded_alone() {
    let site = Site::with(cluster(), KafkaOrder::Key, "[retry]\nmax_attempts = 1\n").await;
    for name in ["first", "second"] {
        site.rig.sink.answers(name, [json!({ "do": "reject", "reason": name })]);
        site.send(&site.rig.sink.ask(name)).await;
        site.rig.until_called(name, 1).await;
    }
    site.letters(2).await;
    let sentence = "Kafka cannot delete one message";
    site.command(&["dlq", "replay", "--reason", "second"], 1, &[sentence]).await;
    site.command(&["dlq", "discard", "--yes", "--reason", "second"], 1, &[sentence]).await;
    site.letters(2).await;
    assert_eq!(site.rig.sink.count("second"), 1, "it was not sent");
    site.command(&["dlq", "discard", "--yes", "--all"], 0, &["2 discarded"]).await;
    site.letters(0).await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_order_a_long_wait_is_parked_in_the_ledger() {
    let site = Site::with(cluster(), KafkaOrder::None, "[retry]\nmax_attempts = 3\n").await;
    site.rig.sink.answers("later", [json!({ "do": "snooze", "ms": 3_600_000 })]);
    site.send(&site.rig.sink.ask("later")).await;
    let timers = site.rig.services().ledger.timers(&site.rig.config.scope).expect("it keeps timers");
    until("it waits", || async { timers.list(10, None).await.unwrap().timers.len() == 1 }).await;
    site.emptied().await;
    let listed = timers.list(10, None).await.unwrap().timers.remove(0);
    let fence = timers.get(&listed.id).await.unwrap().and_then(|timer| timer.fence);
    let due = wasq_ledgers::timers::When::NOW;
    let update = wasq_ledgers::timers::Update { id: listed.id, fence: fence.expect("it waits"), due, message: None };
    timers.update_batch(vec![update]).await.remove(0).expect("it is changed");
    site.rig.until_called("later", 2).await;
    site.emptied().await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_order_a_long_wait_keeps_its_place_and_another_host_takes_it_up() {
    let mut site = Site::new().await;
    site.rig.sink.answers("later", [json!({ "do": "snooze", "ms": 3_600_000 })]);
    site.send_with(&site.rig.sink.ask("later"), &[(KAFKA_KEY, "k")]).await;
    site.send_with(&site.rig.sink.ask("behind"), &[(KAFKA_KEY, "k")]).await;
    site.rig.until_exits("snooze", 1).await;
    let timers = site.rig.services().ledger.timers(&site.rig.config.scope).expect("it keeps timers");
    assert_eq!(timers.list(10, None).await.unwrap().timers.len(), 0, "it is in memory");
    drop(timers);
    assert_eq!(site.rig.sink.count("behind"), 0);
    // The wait is this host's own: the next one begins where Kafka was told.
    site.rig.stop_host().await;
    site.rig.start_host().await;
    site.rig.until_called("later", 2).await;
    site.rig.until_called("behind", 1).await;
    site.emptied().await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_goes_from_kafka_to_sqs_and_back() {
    let site = Site::new().await;
    let then = json!({ "do": "done" });
    let order = |queue: &str, body: &Value| json!({ "do": "outbox", "queue": queue, "kind": "probe", "body": body, "count": 1, "then": then });
    let back = order("jobs", &site.rig.sink.ask("arrived"));
    site.send(&order("mails", &back)).await;
    site.rig.until_called("arrived", 1).await;
    site.emptied().await;
    site.rig.until_exits("done", 3).await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_says_what_is_missing() {
    let site = Site::new().await;
    let text = std::fs::read_to_string(site.config()).unwrap();
    let (name, brokers) = (site.queue.name(), cluster().brokers());
    let nobody = format!("u:{PASSWORD}@127.0.0.1:1");
    for (text, expect) in [
        (text.replace(&format!("topic = '{name}'"), "topic = 'no-such'"), &["no-such", "topology apply"][..]),
        (text.replace(&format!("dlq = '{name}-dlq'"), ""), &["has no DLQ", "[queues.jobs]", "Kafka"][..]),
        (text.replace(&format!("dlq = '{name}-dlq'"), "dlq = 'nowhere'"), &["nowhere"][..]),
        (text.replace(&brokers, &nobody), &["jobs", "NoAnswer", "127.0.0.1:1"][..]),
    ] {
        let file = site.config().with_file_name("wrong.toml");
        std::fs::write(&file, text).unwrap();
        let ran = wasq([OsStr::new("check"), "--live".as_ref(), "--config".as_ref(), file.as_os_str()]).run().await;
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        expect.iter().for_each(|part| assert!(ran.says(part), "{part}: {ran:#?}"));
        assert!(!ran.says(PASSWORD), "{ran:#?}");
    }
    site.rig.end().await;
}
