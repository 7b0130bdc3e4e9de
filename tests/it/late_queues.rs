//! Queues that are not there when the host starts: the others work, readiness names the one, and it
//! is opened as soon as it can be.

use std::time::Duration;

use serde_json::json;
use wasq::config::{Config, OutletConfig, QueueConfig};
use wasq::host::Host;
use wasq_local_sqs::{Effect, Fault};

use crate::support::{Plugin, Rig, Setup, until, wat};

const LONG: Duration = Duration::from_secs(60);

fn probe() -> Setup {
    Setup::new().plugin(Plugin::component("probe", wat::done()))
}

/// A queue of the config that is nowhere yet.
fn add_queue(config: &mut Config, name: &str) {
    let queue = QueueConfig { dlq: Some(format!("{name}-dlq")), ..config.queues["jobs"].clone() };
    config.queues.insert(name.into(), queue);
}

async fn create(rig: &Rig, names: &[&str]) {
    for name in names {
        rig.client.create_queue().queue_name(*name).send().await.unwrap();
    }
}

fn reasons(rig: &Rig) -> String {
    rig.services().health.ready().reasons.join("\n")
}

async fn refused(config: &Config) -> String {
    Host::start(config.clone()).await.err().expect("the host does not start").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_queue_that_is_missing_does_not_keep_the_others_from_working() {
    let mut rig = probe().without_host().await;
    add_queue(&mut rig.config, "later");
    rig.start_host().await;
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;
    let said = reasons(&rig);
    assert!(said.contains("`later`") && said.contains("NonExistentQueue") && said.contains("create it"), "{said}");
    assert!(!said.contains("jobs"), "{said}");
    assert_eq!(rig.host().runtimes().len(), 1);

    create(&rig, &["later"]).await;
    until("its DLQ is missed", || async { reasons(&rig).contains("`later-dlq`") }).await;
    create(&rig, &["later-dlq"]).await;
    until("it is open", || async { rig.services().health.ready().ok }).await;
    let url = rig.client.get_queue_url().queue_name("later").send().await.unwrap().queue_url.unwrap();
    let kind = aws_sdk_sqs::types::MessageAttributeValue::builder().data_type("String").string_value("probe").build();
    let send = rig.client.send_message().queue_url(url).message_body("{}").message_attributes("type", kind.unwrap());
    send.send().await.unwrap();
    rig.until_exits("done", 2).await;
    let names: Vec<_> = rig.host().runtimes().iter().map(|runtime| runtime.name.clone()).collect();
    assert_eq!(names, ["jobs", "later"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_up_late_is_waited_for() {
    let mut rig = probe().without_host().await;
    let down = Effect::FailBefore { code: "ServiceUnavailable".into(), status: 503 };
    rig.sqs.faults().add(Fault::on("GetQueueUrl", down).times(9));
    rig.start_host().await;
    assert!(reasons(&rig).contains("`jobs`"), "{}", reasons(&rig));
    until("it is open", || async { rig.services().health.ready().ok }).await;
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_outbox_sends_to_an_outlet_that_is_missing_waits_for_it() {
    let setup = Setup::probe().config(|config| {
        config.outlets.insert("mails".into(), OutletConfig::default());
        config.plugins.entry("probe".into()).or_default().queues = Some(vec!["mails".into()]);
    });
    let rig = setup.start().await;
    assert!(reasons(&rig).contains("outlet `mails`"), "{}", reasons(&rig));
    let (body, then) = (json!({ "do": "done" }), json!({ "do": "done" }));
    rig.send(json!({ "do": "outbox", "queue": "mails", "kind": "probe", "body": body, "count": 1, "then": then }))
        .await;
    rig.until_exits("unavailable", 1).await;
    create(&rig, &["mails"]).await;
    until("it is open", || async { rig.services().health.ready().ok }).await;
    rig.until_exits("done", 1).await;
    assert_eq!(rig.counts("mails").await.0, 1);
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0), "no attempt is counted");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_start_wants_every_queue() {
    let mut rig = probe().without_host().await;
    add_queue(&mut rig.config, "one");
    add_queue(&mut rig.config, "two");
    rig.config.strict_start = true;
    let error = refused(&rig.config).await;
    assert!(error.contains("`one`") && error.contains("`two`") && !error.contains("`jobs`"), "{error}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_no_waiting_mends_is_refused_beside_a_queue_that_is_missing() {
    let mut rig = probe().without_host().await;
    add_queue(&mut rig.config, "later");
    add_queue(&mut rig.config, "wrong");
    create(&rig, &["wrong"]).await;
    rig.config.queues.get_mut("wrong").unwrap().dlq = Some("x.fifo".into());
    let error = refused(&rig.config).await;
    assert!(error.contains("`wrong`") && error.contains("standard") && error.contains("`later`"), "{error}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_would_close_a_ring_is_not_opened_later_either() {
    let mut rig = probe().without_host().await;
    add_queue(&mut rig.config, "later");
    // By their URLs the two are each other's DLQ, which their names do not tell.
    let url = |name: &str| format!("{}/000000000000/{name}", rig.sqs.endpoint_url());
    let (jobs, later) = (url("jobs"), url("later"));
    rig.config.queues.get_mut("later").unwrap().dlq = Some(jobs);
    create(&rig, &["later"]).await;
    rig.config.queues.get_mut("jobs").unwrap().dlq = Some(later.clone());
    rig.client.delete_queue().queue_url(&later).send().await.unwrap();
    rig.start_host().await;
    create(&rig, &["later"]).await;
    until("the ring is found", || async { reasons(&rig).contains("dead letters would go from") }).await;
    assert!(rig.host().runtimes().len() < 2, "not both are open");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_waits_for_a_queue_stops_at_once() {
    let mut rig = probe().without_host().await;
    add_queue(&mut rig.config, "later");
    rig.start_host().await;
    let began = wasq_core::clock::now();
    tokio::time::timeout(LONG, rig.stop_host()).await.expect("it stops");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    rig.end().await;
}
