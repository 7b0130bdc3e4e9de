//! A host whose queue is on RabbitMQ: all of the promise, to the dead letter and its replay.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use wasq::config::{Broker, QueueUrl, RabbitMqConfig};
use wasq_core::message::AttributeValue;
use wasq_queues::rabbitmq::{QueueType, RabbitMqQueue};
use wasq_queues::{Outgoing, Queue};
use wasq_tests::servers::{PASSWORD, Server};

use super::{connect, count, make, new_name};
use crate::cli::binary::wasq;
use crate::cli::config_file;
use crate::support::servers::{rabbitmq, started};
use crate::support::{Plugin, Rig, Setup, until};

/// A host over a queue of a test's own, whose handler gives up after three attempts.
struct Site {
    rig: Rig,
    queue: RabbitMqQueue,
    dlq: RabbitMqQueue,
    url: String,
}

impl Site {
    async fn new(server: &Server) -> Self {
        Self::with(server, "[retry]\nmax_attempts = 3\ninitial_interval = '0s'\n").await
    }

    async fn with(server: &Server, manifest: &str) -> Self {
        let (rabbitmq, name) = (connect(server).await, new_name());
        let queue = make(&rabbitmq, &name, QueueType::Quorum).await;
        let dlq = make(&rabbitmq, &format!("{name}-dlq"), QueueType::Quorum).await;
        let url = server.url();
        let on_rabbitmq = {
            let (url, dlq) = (url.clone(), format!("{name}-dlq"));
            move |queue: &mut wasq::config::QueueConfig| {
                queue.broker = Broker::RabbitMq;
                queue.url = Some(QueueUrl(url));
                queue.rabbitmq = Some(RabbitMqConfig { queue: Some(name), ..RabbitMqConfig::default() });
                queue.dlq = Some(dlq);
            }
        };
        let setup = Setup::new().plugin(Plugin::probe("probe").manifest(manifest));
        let rig = setup.queue("jobs", on_rabbitmq).queue("mails", |_| {}).start().await;
        Self { rig, queue, dlq, url }
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

    /// Nothing waits, and the server has nothing out.
    async fn emptied(&self, server: &Server) {
        until("the queue is empty", || async { server.messages_in_queue(self.queue.name()).unwrap() == 0 }).await;
    }

    /// The config as a file, for commands.
    fn config(&self) -> PathBuf {
        let (name, url) = (self.queue.name(), &self.url);
        let jobs = format!(
            "[queues.jobs]\nbroker = 'rabbitmq'\nurl = '{url}'\ndlq = '{name}-dlq'\n[queues.jobs.rabbitmq]\nqueue = '{name}'\n\
             [queues.mails]\ndlq = 'mails-dlq'\n"
        );
        config_file(&self.rig, "", &jobs)
    }

    /// A command that must succeed and say this.
    async fn command(&self, arguments: &[&str], parts: &[&str]) {
        let addr = self.rig.admin_addr().expect("the host runs").to_string();
        let target = ["--queue", "jobs", "--admin", &addr];
        let command = wasq(arguments.iter().chain(&target)).env("WASQ_CONFIG", self.config());
        let ran = command.check(0, parts).await;
        assert!(!ran.says("SQS"), "the queue is on another broker: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_runs_and_is_acknowledged() {
    let site = Site::new(rabbitmq()).await;
    site.send(&site.rig.sink.ask("work")).await;
    site.rig.until_called("work", 1).await;
    site.emptied(rabbitmq()).await;
    let report = &site.rig.sink.calls("work")[0].report;
    assert_eq!((&report["attempt"], &report["attributes"]["type"]), (&json!(1), &json!("probe")), "{report}");
    assert_eq!(site.rig.exits("done"), 1);
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_done_runs_no_second_time() {
    let site = Site::new(rabbitmq()).await;
    for _ in 0..2 {
        site.send_with(&site.rig.sink.ask("once"), &[("idempotency-key", "k")]).await;
    }
    until("one is a duplicate", || async { site.rig.duplicates() == 1 }).await;
    site.emptied(rabbitmq()).await;
    assert_eq!(site.rig.sink.count("once"), 1);
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_then_dead_lettered_and_replayed_by_the_command() {
    let site = Site::new(rabbitmq()).await;
    let no = json!({ "do": "retry", "reason": "the printer is out" });
    site.rig.sink.answers("print", [no.clone(), no.clone(), no]);
    site.send(&site.rig.sink.ask("print")).await;
    count(&site.dlq, "1", "0").await;
    site.rig.until_exits("retry", 3).await;
    assert_eq!(site.rig.sink.count("print"), 3);
    site.emptied(rabbitmq()).await;

    site.command(&["dlq", "ls"], &["the printer is out"]).await;
    site.command(&["dlq", "replay", "--all"], &["1"]).await;
    site.rig.until_called("print", 4).await;
    site.rig.until_exits("done", 1).await;
    site.emptied(rabbitmq()).await;
    count(&site.dlq, "0", "0").await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_sqs_would_not_take_goes_to_the_dlq_whole_and_back() {
    let site = Site::with(rabbitmq(), "max_body = '4MiB'\n[retry]\nmax_attempts = 1\n").await;
    site.rig.sink.answers("large", [json!({ "do": "reject", "reason": "too much" })]);
    let mut order = site.rig.sink.ask("large");
    order["padding"] = "x".repeat(1_500_000).into();
    let names: Vec<_> = (0..12).map(|n| format!("header-{n}")).collect();
    let more: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    site.send_with(&order, &more).await;
    count(&site.dlq, "1", "0").await;
    site.emptied(rabbitmq()).await;
    site.command(&["dlq", "ls"], &["too much"]).await;
    site.command(&["dlq", "replay", "--all"], &["1"]).await;
    site.rig.until_exits("done", 1).await;
    let report = &site.rig.sink.calls("large")[1].report;
    assert_eq!(report["attributes"]["header-11"], "x", "{report}");
    site.emptied(rabbitmq()).await;
    count(&site.dlq, "0", "0").await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_wait_is_parked_in_the_ledger_and_not_held_by_the_channel() {
    let site = Site::new(rabbitmq()).await;
    site.rig.sink.answers("later", [json!({ "do": "snooze", "ms": 3_600_000 })]);
    site.send(&site.rig.sink.ask("later")).await;
    let timers = site.rig.services().ledger.timers(&site.rig.config.scope).expect("it keeps timers");
    until("it waits", || async { timers.list(10, None).await.unwrap().timers.len() == 1 }).await;
    site.emptied(rabbitmq()).await;
    let listed = timers.list(10, None).await.unwrap().timers.remove(0);
    let fence = timers.get(&listed.id).await.unwrap().and_then(|timer| timer.fence);
    let due = wasq_ledgers::timers::When::NOW;
    let update = wasq_ledgers::timers::Update { id: listed.id, fence: fence.expect("it waits"), due, message: None };
    timers.update_batch(vec![update]).await.remove(0).expect("it is changed");
    site.rig.until_called("later", 2).await;
    site.emptied(rabbitmq()).await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_goes_from_rabbitmq_to_sqs_and_back() {
    let site = Site::new(rabbitmq()).await;
    let then = json!({ "do": "done" });
    let order = |queue: &str, body: &Value| json!({ "do": "outbox", "queue": queue, "kind": "probe", "body": body, "count": 1, "then": then });
    let back = order("jobs", &site.rig.sink.ask("arrived"));
    site.send(&order("mails", &back)).await;
    site.rig.until_called("arrived", 1).await;
    site.emptied(rabbitmq()).await;
    site.rig.until_exits("done", 3).await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_while_handlers_run_costs_no_message_and_no_second_completion() {
    let mut server = started(Server::rabbitmq());
    let site = Site::with(&server, "timeout = '60s'\n").await;
    server.keep_queues().unwrap();
    let held = site.rig.sink.hold("work");
    for n in 0..8 {
        let order = site.rig.sink.ask("work");
        site.send_with(&order, &[("idempotency-key", &n.to_string())]).await;
    }
    site.rig.until_called("work", 8).await;
    server.kill().unwrap();
    drop(held);
    server.restart().unwrap();
    until("all are done", || async { site.rig.exits("done") >= 8 }).await;
    site.emptied(&server).await;
    assert_eq!(site.rig.exits("done"), 8, "each has one completion");
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_starts_before_its_broker_does() {
    let mut server = started(Server::rabbitmq());
    let site = Site::new(&server).await;
    let Site { mut rig, queue, .. } = site;
    rig.stop_host().await;
    server.stop().unwrap();
    rig.start_host().await;
    let (status, reasons) = rig.ready().await;
    assert!(status == 503 && reasons.contains("jobs") && !reasons.contains(PASSWORD), "{reasons}");
    server.restart().unwrap();
    until("it is ready", || async { rig.ready().await.0 == 200 }).await;
    let body = rig.sink.ask("work").to_string().into();
    let attributes = [("type".to_owned(), AttributeValue::string("probe"))].into();
    let message = Outgoing { body, attributes, delay_s: 0, group: None, deduplication_id: None };
    until("the queue takes it", || {
        let (queue, message) = (queue.clone(), message.clone());
        async move { queue.send(&[message]).await.remove(0).is_ok() }
    })
    .await;
    rig.until_called("work", 1).await;
    tokio::time::timeout(Duration::from_secs(30), rig.end()).await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_says_what_is_missing_without_the_password() {
    let site = Site::new(rabbitmq()).await;
    let text = std::fs::read_to_string(site.config()).unwrap();
    let (name, url) = (site.queue.name(), site.url.as_str());
    let wrong_password = url.replace(PASSWORD, "no-such");
    for (text, expect) in [
        (text.replace(&format!("queue = '{name}'"), "queue = 'no-such'"), &["no-such", "topology apply"][..]),
        (text.replace(&format!("dlq = '{name}-dlq'"), ""), &["has no DLQ", "[queues.jobs]", "RabbitMQ"][..]),
        (text.replace(&format!("dlq = '{name}-dlq'"), "dlq = 'nowhere'"), &["nowhere"][..]),
        (text.replace(url, &wrong_password), &["jobs", "ACCESS_REFUSED"][..]),
        (text.replace(url, &format!("{url}no-such")), &["jobs", "no-such"][..]),
    ] {
        let file = site.config().with_file_name("wrong.toml");
        std::fs::write(&file, text).unwrap();
        let ran = wasq([OsStr::new("check"), "--live".as_ref(), "--config".as_ref(), file.as_os_str()]).run().await;
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        expect.iter().for_each(|part| assert!(ran.says(part), "{part}: {ran:#?}"));
        assert!(!ran.says(PASSWORD) && !ran.says("no-such@"), "{ran:#?}");
    }
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_limit_under_the_attempts_is_refused_at_the_start() {
    let rig = Setup::probe().without_host().await;
    let (name, url) = (new_name(), rabbitmq().url());
    let queues = format!(
        "[queues.jobs]\nbroker = 'rabbitmq'\nurl = '{url}'\ndlq = '{name}-dlq'\n[queues.jobs.rabbitmq]\nqueue = '{name}'\ndelivery_limit = 2\n"
    );
    let file = config_file(&rig, "", &queues);
    wasq(["topology", "apply"]).env("WASQ_CONFIG", &file).check(0, &[&name]).await;
    let check = wasq([OsStr::new("check"), "--live".as_ref(), "--config".as_ref(), file.as_os_str()]);
    check.check(1, &["jobs", "after 3 deliveries (x-delivery-limit)", "a limit of 1000"]).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topology_command_makes_what_the_config_says_and_names_what_differs() {
    let (server, rig) = (rabbitmq(), Setup::probe().without_host().await);
    let (name, url) = (new_name(), server.url());
    let queue = |more: &str| {
        format!(
            "[queues.jobs]\nbroker = 'rabbitmq'\nurl = '{url}'\ndlq = '{name}-dlq'\n[queues.jobs.rabbitmq]\nqueue = '{name}'\n{more}"
        )
    };
    let apply = |more: &str, arguments: &[&str]| {
        let file = config_file(&rig, "", &queue(more));
        wasq(["topology", "apply"].iter().chain(arguments)).env("WASQ_CONFIG", file)
    };
    let dlq = format!("{name}-dlq");
    apply("", &["--dry-run"]).check(0, &["would make", &name, "comes back 1000 times at most", &dlq]).await;
    let rabbitmq = connect(server).await;
    assert!(rabbitmq.queue(&name, 1).await.is_err(), "nothing was made");
    for _ in 0..2 {
        apply("", &[]).check(0, &["ok", &name, &dlq]).await;
    }
    rabbitmq.queue(&name, 1).await.expect("it is there");
    rabbitmq.queue(&dlq, 1).await.expect("it is there");
    apply("delivery_limit = 7", &[]).check(1, &["problem", &name, "x-delivery-limit"]).await;
    let none = config_file(&rig, "", "[queues.jobs]\n");
    wasq(["topology", "apply"]).env("WASQ_CONFIG", none).check(1, &["no queue on another broker than SQS"]).await;
    rig.end().await;
}
