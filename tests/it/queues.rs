//! The queues of the config: what the host asks SQS about them, and what it refuses.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use wasq::config::{OutletConfig, PluginConfig, QueueConfig, QueueUrl};
use wasq::host::Host;
use wasq::host::queues;
use wasq::plugins::demands::Demands;
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Brokers;

use crate::support::{Plugin, Rig, Setup, until, wat};

/// A host that does nothing, with the queue `jobs`.
fn idle() -> Setup {
    Setup::new().plugin(Plugin::component("probe", wat::done()))
}

/// Sets an attribute of a queue in SQS.
async fn set(rig: &Rig, queue: &str, name: QueueAttributeName, value: &str) {
    let url = rig.queue(queue).await.url().to_owned();
    rig.client.set_queue_attributes().queue_url(url).attributes(name, value).send().await.unwrap();
}

/// Why a host with this config does not start.
async fn refused(rig: &Rig) -> String {
    match Host::start(rig.config.clone()).await {
        Ok(_) => panic!("the host starts"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_knows_how_long_its_queue_keeps_messages_and_how_large_a_letter_may_be() {
    let setup = idle().config(|config| config.telemetry.sample_interval = Duration::from_millis(100));
    let mut rig = setup.without_host().await;
    set(&rig, "jobs", QueueAttributeName::MessageRetentionPeriod, "7200").await;
    set(&rig, "jobs-dlq", QueueAttributeName::MaximumMessageSize, "2048").await;
    rig.start_host().await;
    let known = || {
        let runtime = &rig.host().runtimes()[0];
        (runtime.retention.get().map(|retention| retention.as_secs()), runtime.dlq_max_bytes.get())
    };
    assert_eq!(known(), (Some(7_200), Some(2_048)));
    set(&rig, "jobs", QueueAttributeName::MessageRetentionPeriod, "60").await;
    set(&rig, "jobs-dlq", QueueAttributeName::MaximumMessageSize, "4096").await;
    until("the changes are known", || async { known() == (Some(60), Some(4_096)) }).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unroutable_after_beyond_the_queues_retention_is_refused() {
    let setup = idle().queue("jobs", |queue| queue.unroutable_after = Duration::from_secs(120));
    let mut rig = setup.without_host().await;
    set(&rig, "jobs", QueueAttributeName::MessageRetentionPeriod, "60").await;
    let error = refused(&rig).await;
    assert!(error.contains("`unroutable_after` is 2m") && error.contains("[queues.jobs]"), "{error}");
    set(&rig, "jobs", QueueAttributeName::MessageRetentionPeriod, "121").await;
    rig.start_host().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_arrives_at_the_end_of_a_long_poll_runs() {
    let short_visibility = |queue: &mut QueueConfig| {
        queue.visibility = Duration::from_secs(2);
        queue.wait = Duration::from_secs(20);
    };
    let rig = idle().queue("jobs", short_visibility).start().await;
    // A poll of 20 s would outlive the lease of all that comes in its last 18.
    until("idle polls are short", || async { rig.sqs.faults().calls("ReceiveMessage") >= 4 }).await;
    rig.message("x").send().await;
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.exits("lease-lost")), (1, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_answers_at_once_is_asked_once_a_second_while_it_is_empty() {
    let mut rig = idle().queue("jobs", |queue| queue.wait = Duration::ZERO).without_host().await;
    let began = wasq_core::clock::now();
    rig.start_host().await;
    rig.sqs.faults().calls_reach("ReceiveMessage", 4).await;
    assert!(began.elapsed() >= Duration::from_secs(3), "four receives in {:?}", began.elapsed());
    rig.message("x").send().await;
    rig.emptied().await;
    rig.end().await;
}

/// The local queue's URL of a name, by another name of this machine than its own.
fn url_by_another_name(rig: &Rig, queue: &str) -> String {
    let endpoint = rig.sqs.endpoint_url().replace("127.0.0.1", "localhost");
    format!("{endpoint}/000000000000/{queue}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_dlqs_is_refused_whatever_its_queues_are_called() {
    let mut rig = idle().queue("jobs", |_| {}).queue("mails", |_| {}).without_host().await;
    let [jobs, mails] = ["jobs", "mails"].map(|queue| url_by_another_name(&rig, queue));
    rig.config.queues.get_mut("jobs").unwrap().dlq = Some(jobs.clone());
    let error = refused(&rig).await;
    assert!(error.contains("queue `jobs`") && error.contains("its own DLQ"), "{error}");

    rig.config.queues.get_mut("jobs").unwrap().dlq = Some(mails);
    rig.config.queues.get_mut("mails").unwrap().dlq = Some(jobs);
    let error = refused(&rig).await;
    assert!(error.contains("from jobs to mails to jobs"), "{error}");

    rig.config.queues.get_mut("mails").unwrap().dlq = Some("mails-dlq".into());
    rig.start_host().await;
    rig.end().await;
}

/// A queue's ARN, as SQS says it.
async fn arn(rig: &Rig, queue: &str) -> String {
    rig.queue(queue).await.attributes().await.unwrap()["QueueArn"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_a_dlq_and_an_outlet_may_be_named_by_their_arns() {
    let probe = Plugin::probe("probe");
    let mut rig = Setup::new().plugin(probe).queue("jobs", |_| {}).without_host().await;
    rig.client.create_queue().queue_name("mail-service").send().await.unwrap();
    let url = Some(arn(&rig, "mail-service").await);
    rig.config.outlets.insert("mails".into(), OutletConfig { url: url.map(QueueUrl), ..OutletConfig::default() });
    let granted = PluginConfig { queues: Some(vec!["self".into(), "mails".into()]), ..PluginConfig::default() };
    rig.config.plugins.insert("probe".into(), granted);
    let dlq = arn(&rig, "jobs-dlq").await;
    // Blanks and capitals are what a copy and paste brings.
    let url = format!(" {}/000000000000/jobs ", rig.sqs.endpoint_url().replace("http", "HTTP"));
    let jobs = rig.config.queues.get_mut("jobs").unwrap();
    (jobs.url, jobs.dlq) = (Some(QueueUrl(url)), Some(dlq));
    rig.start_host().await;

    let outbox = |queue: &str, body: Value| {
        let then = json!({ "do": "done" });
        json!({ "do": "outbox", "queue": queue, "kind": "probe", "body": body, "count": 1, "then": then })
    };
    rig.send(outbox("mails", json!({ "do": "reject", "reason": "not for this host" }))).await;
    rig.send(outbox("self", json!({ "do": "reject", "reason": "by the name `self`" }))).await;
    rig.send(outbox("", json!({ "do": "reject", "reason": "by no name" }))).await;
    let mut reasons: Vec<_> = rig.letters(2).await.into_iter().map(|dead| dead.letter.reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["by no name", "by the name `self`"]);
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 3);
    assert_eq!(rig.counts("mail-service").await, (1, 0, 0), "it waits for the service whose queue it is");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dlq_of_another_account_is_not_looked_up_in_our_own() {
    let mut rig = idle().without_host().await;
    let theirs = "arn:aws:sqs:eu-central-1:111122223333:jobs-dlq";
    rig.config.queues.get_mut("jobs").unwrap().dlq = Some(theirs.into());
    rig.config.strict_start = true;
    let error = refused(&rig).await;
    assert!(error.contains(theirs) && error.contains("NonExistentQueue"), "{error}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_may_not_read_attributes_starts_and_says_what_it_cannot_check() {
    let mut rig = idle().without_host().await;
    let denied = Effect::FailBefore { code: "AccessDeniedException".into(), status: 403 };
    rig.sqs.faults().add(Fault::on("GetQueueAttributes", denied));
    let brokers = Brokers::new(&rig.config.aws);
    let open = queues::open_queue(&brokers, "jobs", &rig.config.queues["jobs"], Demands::default()).await.unwrap();
    let warnings = open.warnings.join("\n");
    for part in ["sqs:GetQueueAttributes is denied for jobs,", "maxReceiveCount", "denied for jobs-dlq,"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    rig.start_host().await;
    assert_eq!(rig.host().runtimes()[0].retention.get(), None);
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;

    let no_dlq = QueueConfig::default();
    let error = queues::open_queue(&brokers, "jobs", &no_dlq, Demands::default()).await.err().unwrap().to_string();
    assert!(error.contains("set `dlq`, or allow sqs:GetQueueAttributes"), "{error}");
    rig.sqs.faults().clear();
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_loaded_later_may_not_make_more_attempts_than_the_redrive_policy_lets_it() {
    let mut rig = Setup::new().plugin(attempts(2)).without_host().await;
    let policy = json!({ "deadLetterTargetArn": arn(&rig, "jobs-dlq").await, "maxReceiveCount": 3 });
    set(&rig, "jobs", QueueAttributeName::RedrivePolicy, &policy.to_string()).await;
    rig.start_host().await;
    assert!(rig.services().health.ready().ok);
    attempts(5).install(&rig.plugins_dir(), &rig.sink);
    rig.host().reload_plugins().await.unwrap();
    let verdict = rig.services().health.ready();
    assert!(!verdict.ok && verdict.reasons[0].contains("maxReceiveCount 3"), "{verdict:?}");
    rig.end().await;
}

fn attempts(max_attempts: u32) -> Plugin {
    Plugin::component("probe", wat::done()).manifest(&format!("[retry]\nmax_attempts = {max_attempts}\n"))
}

/// An order for two messages to `mails`, one after the other, in one group.
fn two_mails(rig: &Rig, queue: &str) -> Value {
    let mail = |name: &str, then: Value| {
        let body = rig.sink.ask(name);
        json!({ "do": "outbox", "queue": queue, "kind": "mail", "body": body, "count": 1, "group": "g", "then": then })
    };
    mail("m1", mail("m2", json!({ "do": "done" })))
}

/// A probe that sends mails to a queue, and one that reads them there.
fn mailing(queue: &str) -> Setup {
    let plugins = [Plugin::probe("sender"), Plugin::probe("reader").types(&["mail"])];
    plugins.into_iter().fold(Setup::new(), Setup::plugin).queue("jobs", |_| {}).queue(queue, |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_of_an_outbox_overtakes_another_of_its_group_that_could_not_be_sent() {
    let rig = mailing("mails.fifo").start().await;
    let refused = Effect::FailEntries { places: vec![0], code: "InternalError".into() };
    rig.sqs.faults().add(Fault::on("SendMessageBatch", refused).queue("mails.fifo").times(1));
    rig.send(two_mails(&rig, "mails.fifo")).await;
    rig.until_called("m2", 1).await;
    rig.emptied().await;
    assert_eq!(rig.sink.order(&["m1", "m2"]), ["m1", "m2"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_queue_has_taken_of_an_outbox_is_not_sent_again() {
    let rig = mailing("mails").start().await;
    let refused = Effect::FailEntries { places: vec![1], code: "InternalError".into() };
    rig.sqs.faults().add(Fault::on("SendMessageBatch", refused).queue("mails").times(1));
    rig.send(two_mails(&rig, "mails")).await;
    rig.until_called("m2", 1).await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("m1"), rig.sink.count("m2"), rig.duplicates(), rig.exits("outbox")), (1, 1, 0, 0));
    rig.end().await;
}
