//! The port itself: by which names it answers, what it gives to whom, and that its clients take a
//! bounded part of the host.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, TOKEN, open};
use crate::cli::binary::wasq;
use crate::support::{Plugin, Setup, until};

/// Another name may lead to this machine: a page that knows it could read what the port answers
/// (DNS rebinding).
#[tokio::test]
async fn by_another_name_the_port_of_loopback_answers_probes_and_scrapes_alone() {
    let rig = Setup::probe().start().await;
    let rebound = Client::of(&rig).with("host", "any.example:9325");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(rebound.get(path).await.status, 200, "{path}");
    }
    for path in [
        "/",
        "/status",
        "/plugins",
        "/pauses",
        "/envelopes/0",
        "/groups",
        "/dashboard",
        "/dashboard/login",
        "/assets/dashboard.js",
    ] {
        let answer = rebound.get(path).await;
        assert!(answer.status == 421 && answer.body.contains("127.0.0.1"), "{path}: {} {}", answer.status, answer.body);
    }
    rig.end().await;
}

#[tokio::test]
async fn an_envelope_in_the_ledger_is_for_those_who_may_see_letters() {
    let rig = open(Setup::probe(), None).start().await;
    rig.services().ledger.put_envelope("0a", b"{\"reason\":\"no\"}", Duration::from_secs(60)).await.unwrap();
    let client = Client::of(&rig).with("host", "wasq.example");
    let asked = client.get("/envelopes/0a").await;
    assert!(asked.status == 401 && !asked.body.contains("reason"), "{}", asked.body);
    let inside = client.with("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(
        (inside.get("/envelopes/0a").await.body.as_str(), inside.get("/envelopes/0b").await.status),
        ("{\"reason\":\"no\"}", 404)
    );
    rig.end().await;

    let rig = Setup::probe().start().await;
    let client = Client::of(&rig);
    assert_eq!(client.get("/envelopes/0b").await.status, 404, "on loopback it is for this machine");
    rig.end().await;
}

/// It is asked again and again by whoever wants to: the sampler alone asks SQS.
#[tokio::test]
async fn status_is_answered_without_a_call_to_sqs() {
    let rig =
        Setup::probe().config(|config| config.telemetry.sample_interval = Duration::from_secs(3_600)).start().await;
    let counts = async || {
        let queue = rig.admin("/status").await["queues"][0].clone();
        (queue["visible"].clone(), queue["dead_letters"].clone())
    };
    until("the first sample is there", || async { counts().await == (json!(0), json!(0)) }).await;
    let calls = rig.sqs.faults().calls("GetQueueAttributes");
    for _ in 0..20 {
        counts().await;
    }
    assert_eq!(rig.sqs.faults().calls("GetQueueAttributes"), calls);
    rig.end().await;
}

#[tokio::test]
async fn a_connection_that_is_kept_open_does_not_hold_the_hosts_stop() {
    let rig = Setup::probe().start().await;
    let addr = Client::of(&rig).addr;
    let mut kept = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET /livez HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    kept.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    assert!(kept.read(&mut answer).await.unwrap() > 0);
    let services = std::sync::Arc::downgrade(rig.services());
    tokio::time::timeout(Duration::from_secs(10), rig.end()).await.expect("it stops");
    assert_eq!(kept.read(&mut answer).await.unwrap_or(0), 0, "it is closed");
    assert_eq!(services.strong_count(), 0, "nothing holds the host's state");
}

#[tokio::test]
async fn a_type_that_no_plugin_handles_is_listed_with_the_reason_and_a_message_once_with_its_plugins() {
    let rig = Setup::new().plugin(Plugin::probe("ship")).plugin(Plugin::probe("bill")).start().await;
    rig.message(json!({ "do": "done" })).kind("order_completd").send().await;
    rig.until_exits("unroutable", 1).await;
    rig.send(json!({ "do": "reject", "reason": "no such order" })).await;
    rig.until_exits("reject", 2).await;
    until("the letters are there", || async { rig.counts("jobs-dlq").await.0 == 2 }).await;

    let status = rig.admin("/status").await;
    let (unroutable, failures) = (&status["unroutable"][0], &status["failures"]);
    assert_eq!((&unroutable["type"], &unroutable["queue"]), (&json!("order_completd"), &json!("jobs")));
    assert!(unroutable["reason"].as_str().unwrap().contains("no plugin handles it"), "{unroutable}");
    let mut plugins: Vec<_> = failures[0]["plugins"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    plugins.sort_unstable();
    assert_eq!((failures.as_array().unwrap().len(), plugins), (1, vec!["bill", "ship"]));
    let admin = rig.host().admin_addr().to_string();
    wasq(["status", "--admin", &admin]).check(0, &["unroutable type", "order_completd", "no plugin handles it"]).await;

    let client = Client::of(&rig);
    let overview = client.get("/dashboard").await;
    assert!(overview.body.contains("Unroutable") && overview.body.contains("order_completd"), "{}", overview.body);
    let group = client.get(&client.get("/dashboard/letters/jobs").await.link("class=reject")).await;
    let rows = group.body.split("<tbody>").nth(1).unwrap().matches("<tr>").count();
    assert!(rows == 1 && group.body.contains(">ship<") && group.body.contains(">bill<"), "{}", group.body);
    rig.end().await;
}
