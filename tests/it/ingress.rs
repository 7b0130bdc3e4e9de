//! The ingress port: what it takes, what it answers, and that a 202 is never given for what is not
//! in its queue.

mod access;
mod callbacks;
pub mod client;
mod fuzz;
mod tls;

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wasq::config::Config;
use wasq_ledgers::timers::{Timers, When};
use wasq_local_sqs::{Effect, Fault};

use crate::support::{Rig, Setup, until};
use client::{Request, post};

/// What a config says of the port, taken into a rig's.
fn with(text: &str) -> impl FnOnce(&mut Config) + Send + use<> {
    let text = format!("[queues.jobs]\n[ingress]\nlisten = '127.0.0.1:0'\n{text}");
    let parsed = Config::parse(&text, std::path::Path::new("wasq.toml")).expect("it is a config");
    move |config| {
        config.ingress = parsed.ingress;
        config.secrets = parsed.secrets;
    }
}

/// A probe, and a port that takes its messages.
async fn rig(text: &str) -> Rig {
    Setup::probe().config(with(text)).start().await
}

fn messages(rig: &Rig, more: &str) -> Request {
    post(rig.host().ingress_addr().expect("it listens"), &format!("/v1/messages/probe{more}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_is_handled_with_its_key_and_attributes() {
    let rig = rig("").await;
    let order = rig.sink.ask("work");
    let request = messages(&rig, "").header("Idempotency-Key", "order-7").header("X-Wasq-Attribute-Shop", "north");
    let answer = request.body(order.to_string()).send().await;
    assert_eq!((answer.status, &answer.json()["key"]), (202, &json!("order-7")), "{}", answer.body);
    assert!(answer.json()["message_id"].is_string());
    // A twin is recognised by its key.
    messages(&rig, "").header("Idempotency-Key", "order-7").body(order.to_string()).send().await;
    rig.until_exits("duplicate", 1).await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 1);
    let report = &rig.sink.calls("work")[0].report;
    assert_eq!((&report["attributes"]["shop"], &report["body"]), (&json!("north"), &json!(order.to_string())));
    let without_a_key = messages(&rig, "").body(order.to_string()).send().await.json();
    assert_eq!(without_a_key["key"], without_a_key["message_id"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_be_for_later() {
    let rig = rig("").await;
    let order = rig.sink.ask("work").to_string();
    let timers = rig.services().ledger.timers(&rig.config.scope).expect("it keeps timers");
    assert_eq!(messages(&rig, "?delay=600").body(&order).send().await.status, 202);
    until("it is delayed", || async { rig.counts("jobs").await == (0, 0, 1) }).await;
    assert_eq!(messages(&rig, "?delay=3days").body(&order).send().await.status, 202);
    assert_eq!(messages(&rig, "?at=2099-01-01T00:00:00Z").body(&order).send().await.status, 202);
    let waiting = async |count| timers.counts().await.expect("the ledger answers").all == count;
    until("two are parked", || waiting(2)).await;
    assert_eq!(messages(&rig, "?at=2001-01-01T00:00:00Z").body(&order).send().await.status, 202);
    rig.until_called("work", 1).await;
    for (bad, part) in [
        ("delay=soon", "delay"),
        ("at=soon", "at"),
        ("delay=1&at=2099-01-01T00:00:00Z", "two ways"),
        ("wait=1", "wait"),
    ] {
        let answer = messages(&rig, &format!("?{bad}")).body(&order).send().await;
        assert!(answer.status == 400 && answer.body.contains(part), "{bad}: {} {}", answer.status, answer.body);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_are_answered_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let schema = json!({ "type": "object", "required": ["do"], "properties": { "do": { "type": "string" } } });
    let path = dir.path().join("probe.json");
    std::fs::write(&path, schema.to_string()).unwrap();
    let rig = rig(&format!("[ingress.types.probe]\nschema = '{}'", path.display())).await;
    let (good, bad) = (json!({ "do": "done" }), json!({ "do": 7 }));
    let lines = format!("{good}\n{bad}\n{good}\n");
    let answer = messages(&rig, "").header("content-type", "application/x-ndjson").body(lines).send().await;
    let statuses: Vec<_> = answer.json().as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    assert_eq!((answer.status, statuses), (207, vec![json!(202), json!(422), json!(202)]));
    let why = answer.json()[1]["error"].as_str().unwrap().to_owned();
    assert!(why.contains("/do") && !why.contains('7'), "it names the place, and no value: {why}");
    let array = json!(vec![&good; 25]).to_string();
    let answer = messages(&rig, "").header("idempotency-key", "all").body(array).send().await;
    assert_eq!((answer.status, &answer.json()[24]["key"]), (202, &json!("all#24")));
    rig.until_exits("done", 27).await;
    assert_eq!(messages(&rig, "").body(bad.to_string()).send().await.status, 422);
    assert_eq!(messages(&rig, "").body("{").send().await.status, 422);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_answered_and_counted() {
    let rig = rig("request_timeout = '1s'").await;
    let mut slow = TcpStream::connect(rig.host().ingress_addr().unwrap()).await.unwrap();
    slow.write_all(b"POST /v1/messages/probe HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{").await.unwrap();
    let mut answer = vec![0; 1_000];
    let length = slow.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("ingress.request_timeout"), "{answer}");
    let counted = rig.services().ingress.by_status();
    assert!(counted.iter().any(|(status, count)| (*status, *count) == (408, 1)), "{counted:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_nothing_is_sent() {
    let rig = rig("max_body = '2KiB'\nmax_messages = 3").await;
    let order = rig.sink.ask("work").to_string();
    let at = rig.host().ingress_addr().unwrap();
    let check = async |request: Request, status: u16, part: &str| {
        let answer = request.send().await;
        assert!(
            answer.status == status && answer.body.contains(part),
            "{status} {part}: {} {}",
            answer.status,
            answer.body
        );
    };
    check(post(at, "/v1/messages/unheard-of").body(&order), 404, "unheard-of").await;
    check(post(at, "/v1/nothing"), 404, "openapi").await;
    check(Request::new("GET", at, "/v1/messages/probe"), 405, "method").await;
    check(messages(&rig, "").body("x".repeat(3_000)), 413, "2048").await;
    check(messages(&rig, "").body("[1,2,3,4]"), 413, "max_messages").await;
    check(messages(&rig, "").header("content-type", "text/html").body(&order), 415, "text/html").await;
    check(messages(&rig, "").body(""), 400, "empty").await;
    check(messages(&rig, "").header("x-wasq-attribute-wasq-key", "k").body(&order), 400, "own").await;
    check(messages(&rig, "").header("idempotency-key", "").body(&order), 400, "empty").await;
    check(messages(&rig, "").header("idempotency-key", "k".repeat(2_000)).body(&order), 400, "key_bytes").await;
    let attributes =
        (0..10).fold(messages(&rig, ""), |request, n| request.header(format!("x-wasq-attribute-a{n}"), "v"));
    check(attributes.body(&order), 400, "attributes").await;
    assert_eq!(rig.sqs.faults().calls("SendMessageBatch"), 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_answer_is_a_503_and_nothing_was_kept() {
    let rig = rig("").await;
    let gone = Effect::FailBefore { code: "ServiceUnavailable".into(), status: 503 };
    rig.sqs.faults().add(Fault::on("SendMessageBatch", gone).queue("jobs").times(100));
    let answer = messages(&rig, "").body(rig.sink.ask("work").to_string()).send().await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{}", answer.body);
    assert_eq!(rig.counts("jobs").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_too_full_is_a_429_with_a_time() {
    let rig = Setup::probe()
        .config(with("[ingress.types.probe]\nmax_depth = 3"))
        .config(|config| config.telemetry.sample_interval = Duration::from_secs(1))
        .without_host()
        .await;
    let mut rig = rig;
    let held = rig.queue("jobs").await;
    for n in 0..5 {
        rig.message(json!({ "do": "done" })).key(&format!("k{n}")).send().await;
    }
    // Nobody takes them.
    let pause = wasq_core::pause::Pause::new("queue:jobs".parse().unwrap(), "test", wasq_core::clock::unix_ms(), None);
    let ledger = wasq_ledgers::local::LocalLedger::open(&rig.ledger_dir()).unwrap();
    wasq_ledgers::Ledger::put_pause(&ledger, &rig.config.scope, &pause.unwrap()).await.unwrap();
    ledger.close();
    rig.start_host().await;
    let full = || async {
        let answer = messages(&rig, "").body("{}").send().await;
        answer.status == 429
            && answer.header("retry-after").as_deref() == Some("1")
            && answer.body.contains("max_depth")
    };
    until("the depth is known", full).await;
    held.receive(10, Duration::from_secs(1), Duration::from_secs(30)).await.unwrap();
    let empty = || async { messages(&rig, "").body("{}").send().await.status == 202 };
    until("the queue has room", empty).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_gets_groups_and_keeps_their_order() {
    let rig = Setup::probe().queue("jobs.fifo", |_| {}).config(with("queue = 'jobs'")).without_host().await;
    let mut rig = rig;
    rig.config.ingress.queue = Some("jobs.fifo".into());
    rig.start_host().await;
    let mut lines = String::new();
    for n in 0..12 {
        writeln!(lines, "{}", rig.sink.ask(&format!("n{n:02}"))).unwrap();
    }
    let request = messages(&rig, "").header("content-type", "application/x-ndjson").header("x-wasq-group", "a");
    assert_eq!(request.body(lines).send().await.status, 202);
    rig.emptied().await;
    let names: Vec<_> = (0..12).map(|n| format!("n{n:02}")).collect();
    let expect: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(rig.sink.order(&expect), expect);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_requests_are_counted() {
    let rig = rig("").await;
    messages(&rig, "").body("{\"do\": \"done\"}").send().await;
    messages(&rig, "").body("").send().await;
    let metrics = crate::support::get(rig.admin_addr().unwrap(), "/metrics").await.1;
    for line in [
        "wasq_ingress_requests_total{status=\"202\"} 1",
        "wasq_ingress_requests_total{status=\"400\"} 1",
        "wasq_ingress_duration_seconds_count 2",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    rig.end().await;
}

/// A timer that is as good as due.
async fn bring_forward(timers: &dyn Timers) {
    for listed in timers.list(10, None).await.unwrap().timers {
        let Some(fence) = timers.get(&listed.id).await.unwrap().and_then(|timer| timer.fence) else { continue };
        let update = wasq_ledgers::timers::Update { id: listed.id, fence, due: When::NOW, message: None };
        timers.update_batch(vec![update]).await.remove(0).unwrap();
    }
}
