//! A host whose queue is on Redis: all of the promise, to the dead letter and its replay.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use wasq::config::{Broker, QueueUrl, RedisQueueConfig};
use wasq_core::message::AttributeValue;
use wasq_queues::redis::RedisQueue;
use wasq_queues::{Outgoing, Queue};
use wasq_tests::servers::{PASSWORD, Server};

use super::{Other, connect, counts, make, new_name};
use crate::cli::binary::{program, wasq};
use crate::cli::config_file;
use crate::support::servers::{redis, started};
use crate::support::{Plugin, Rig, Setup, until};

/// A host over a queue of a test's own, whose handler gives up after three attempts.
struct Site {
    rig: Rig,
    queue: RedisQueue,
    dlq: RedisQueue,
    url: String,
}

impl Site {
    async fn new(server: &Server) -> Self {
        Self::with(server, "[retry]\nmax_attempts = 3\ninitial_interval = '0s'\n").await
    }

    async fn with(server: &Server, manifest: &str) -> Self {
        let (redis, name, config) = (connect(server).await, new_name(), RedisQueueConfig::default());
        let queue = make(&redis, &config, &name).await;
        let dlq = make(&redis, &config, &format!("{name}-dlq")).await;
        let url = server.url();
        let on_redis = {
            let (url, dlq) = (url.clone(), format!("{name}-dlq"));
            move |queue: &mut wasq::config::QueueConfig| {
                queue.broker = Broker::Redis;
                queue.url = Some(QueueUrl(url));
                queue.redis = Some(RedisQueueConfig { stream: Some(name), ..config });
                queue.dlq = Some(dlq);
            }
        };
        let setup = Setup::new().plugin(Plugin::probe("probe").manifest(manifest));
        let rig = setup.queue("jobs", on_redis).queue("mails", |_| {}).start().await;
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

    /// Nothing waits, and nobody has anything in hand.
    async fn emptied(&self) {
        self.count(&self.queue, "0", "0").await;
    }

    /// So many wait at last, and so many are in hand.
    async fn count(&self, queue: &RedisQueue, waiting: &str, in_hand: &str) {
        until(&format!("{waiting} wait and {in_hand} are in hand"), || async {
            counts(queue).await == Some((waiting.to_owned(), in_hand.to_owned()))
        })
        .await;
    }

    /// The config as a file, for commands.
    fn config(&self) -> PathBuf {
        let (name, url) = (self.queue.name(), &self.url);
        let jobs = format!(
            "[queues.jobs]\nbroker = 'redis'\nurl = '{url}'\ndlq = '{name}-dlq'\n[queues.jobs.redis]\nstream = '{name}'\n\
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
    let site = Site::new(redis()).await;
    site.send(&site.rig.sink.ask("work")).await;
    site.rig.until_called("work", 1).await;
    site.emptied().await;
    let report = &site.rig.sink.calls("work")[0].report;
    assert_eq!((&report["attempt"], &report["attributes"]["type"]), (&json!(1), &json!("probe")), "{report}");
    assert_eq!(site.rig.exits("done"), 1);
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_done_runs_no_second_time() {
    let site = Site::new(redis()).await;
    for _ in 0..2 {
        site.send_with(&site.rig.sink.ask("once"), &[("idempotency-key", "k")]).await;
    }
    until("one is a duplicate", || async { site.rig.duplicates() == 1 }).await;
    site.emptied().await;
    assert_eq!(site.rig.sink.count("once"), 1);
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_then_dead_lettered_and_replayed_by_the_command() {
    let site = Site::new(redis()).await;
    let no = json!({ "do": "retry", "reason": "the printer is out" });
    site.rig.sink.answers("print", [no.clone(), no.clone(), no]);
    site.send(&site.rig.sink.ask("print")).await;
    site.count(&site.dlq, "1", "0").await;
    site.rig.until_exits("retry", 3).await;
    assert_eq!(site.rig.sink.count("print"), 3);
    site.emptied().await;

    site.command(&["dlq", "ls"], &["the printer is out"]).await;
    site.command(&["dlq", "replay", "--all"], &["1"]).await;
    site.rig.until_called("print", 4).await;
    site.rig.until_exits("done", 1).await;
    site.emptied().await;
    site.count(&site.dlq, "0", "0").await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_sqs_would_not_take_goes_to_the_dlq_whole_and_back() {
    let site = Site::with(redis(), "max_body = '4MiB'\n[retry]\nmax_attempts = 1\n").await;
    site.rig.sink.answers("large", [json!({ "do": "reject", "reason": "too much" })]);
    let mut order = site.rig.sink.ask("large");
    order["padding"] = "x".repeat(1_500_000).into();
    let names: Vec<_> = (0..12).map(|n| format!("field-{n}")).collect();
    let more: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    site.send_with(&order, &more).await;
    site.count(&site.dlq, "1", "0").await;
    site.emptied().await;
    site.command(&["dlq", "ls"], &["too much"]).await;
    site.command(&["dlq", "replay", "--all"], &["1"]).await;
    site.rig.until_exits("done", 1).await;
    let report = &site.rig.sink.calls("large")[1].report;
    assert_eq!(report["attributes"]["field-11"], "x", "{report}");
    site.emptied().await;
    site.count(&site.dlq, "0", "0").await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_wait_is_parked_in_the_ledger_and_kept_by_nobody() {
    let site = Site::new(redis()).await;
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
async fn an_outbox_goes_from_redis_to_sqs_and_back() {
    let site = Site::new(redis()).await;
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
async fn a_broker_that_is_killed_while_handlers_run_costs_no_message_and_no_second_completion() {
    let mut server = started(Server::redis());
    let site = Site::with(&server, "timeout = '60s'\n").await;
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
    site.emptied().await;
    assert_eq!(site.rig.exits("done"), 8, "each has one completion");
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_starts_before_its_broker_does() {
    let mut server = started(Server::redis());
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
    let site = Site::new(redis()).await;
    let text = std::fs::read_to_string(site.config()).unwrap();
    let (name, url) = (site.queue.name(), site.url.as_str());
    let wrong_password = url.replace(PASSWORD, "no-such");
    for (text, expect) in [
        (text.replace(&format!("stream = '{name}'"), "stream = 'no-such'"), &["no-such", "topology apply"][..]),
        (text.replace(&format!("dlq = '{name}-dlq'"), ""), &["has no DLQ", "[queues.jobs]", "Redis"][..]),
        (text.replace(&format!("dlq = '{name}-dlq'"), "dlq = 'nowhere'"), &["nowhere", "XGROUP CREATE nowhere"][..]),
        (text.replace(url, &wrong_password), &["jobs", "the password in `url`"][..]),
        (text.replace("dlq =", "visibility = '9s'\ndlq ="), &["queues.jobs.visibility", "9s", "10s"][..]),
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
async fn the_topology_command_makes_what_the_config_says_and_names_what_is_something_else() {
    let (server, rig) = (redis(), Setup::probe().without_host().await);
    let (name, url) = (new_name(), server.url());
    let text = format!(
        "[queues.jobs]\nbroker = 'redis'\nurl = '{url}'\ndlq = '{name}-dlq'\n[queues.jobs.redis]\nstream = '{name}'\ngroup = 'shop'\n\
         [outlets.mails]\nbroker = 'redis'\nurl = '{url}'\n[outlets.mails.redis]\nstream = '{name}-mails'\n"
    );
    let apply = |arguments: &[&str]| {
        let file = config_file(&rig, "", &text);
        wasq(["topology", "apply"].iter().chain(arguments)).env("WASQ_CONFIG", file)
    };
    let (dlq, mails) = (format!("{name}-dlq"), format!("{name}-mails"));
    let parts = [name.as_str(), "read by the group shop", &dlq, &mails];
    apply(&["--dry-run"]).check(0, &[&["would make"], &parts[..]].concat()).await;
    let mut other = Other::connect(server).await;
    assert_eq!(other.ask::<usize>(&["EXISTS", &name, &dlq, &mails]).await, 0, "nothing was made");
    for _ in 0..2 {
        apply(&[]).check(0, &[&["ok"], &parts[..]].concat()).await;
    }
    let redis = connect(server).await;
    let config = RedisQueueConfig { group: "shop".into(), ..RedisQueueConfig::default() };
    for (stream, is_outlet) in [(&name, false), (&dlq, false), (&mails, true)] {
        redis.queue(&config, stream, is_outlet).await.expect("it is there");
    }
    let groups: Vec<redis::Value> = other.ask(&["XINFO", "GROUPS", &mails]).await;
    assert!(groups.is_empty(), "nobody here reads what is only sent to: {groups:?}");
    let _: usize = other.ask(&["DEL", &mails]).await;
    let _: usize = other.ask(&["RPUSH", &mails, "a job"]).await;
    apply(&[]).check(1, &["ok", "problem", &mails, "a list, not a stream"]).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_redis_cli_adds_runs() {
    let site = Site::new(redis()).await;
    let port = redis().port().to_string();
    let body = site.rig.sink.ask("foreign").to_string();
    let add = ["XADD", site.queue.name(), "*", "type", "probe", "body", &body, "idempotency-key", "k"];
    let command = program("redis-cli", ["-h", "127.0.0.1", "-p", &port].iter().chain(&add));
    command.env("REDISCLI_AUTH", PASSWORD).check(0, &["-"]).await;
    site.rig.until_called("foreign", 1).await;
    site.emptied().await;
    assert_eq!(site.rig.exits("done"), 1);
    site.rig.end().await;
}
