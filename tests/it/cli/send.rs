//! `wasq send`: one message, or a file of them.

use std::time::Duration;

use wasq_core::message::Delivery;

use super::binary::{Wasq, wasq};
use crate::support::{Rig, Setup};

fn send(rig: &Rig, arguments: &[&str]) -> Wasq {
    let url = rig.sqs.endpoint_url();
    wasq(["send"].iter().chain(arguments).chain(&["--endpoint-url", &url]))
}

/// All that is in the rig's queue.
async fn sent(rig: &Rig, count: usize) -> Vec<Delivery> {
    let queue = rig.queue("jobs").await;
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let some = queue.receive(10, Duration::from_secs(1), Duration::from_secs(60)).await.unwrap();
        assert!(!some.is_empty(), "only {} of {count} were sent", deliveries.len());
        deliveries.extend(some);
    }
    assert!(queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.unwrap().is_empty(), "more than {count}");
    deliveries
}

fn text<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a str> {
    delivery.attributes.get(name)?.text()
}

#[tokio::test]
async fn one_message_with_its_attributes() {
    let rig = Setup::new().without_host().await;
    let arguments = ["greeting", r#"{"name":"Ada"}"#, "--key", "k-1", "--attribute", "shop=north"];
    let ran = send(&rig, &arguments).check(0, &[]).await;
    let delivery = sent(&rig, 1).await.remove(0);
    assert_eq!(ran.out.trim(), delivery.message_id.0);
    assert_eq!(delivery.body, r#"{"name":"Ada"}"#);
    assert_eq!(text(&delivery, "type"), Some("greeting"));
    assert_eq!(text(&delivery, "idempotency-key"), Some("k-1"));
    assert_eq!(text(&delivery, "shop"), Some("north"));
    rig.end().await;
}

#[tokio::test]
async fn a_body_from_stdin() {
    let rig = Setup::new().without_host().await;
    send(&rig, &["greeting", "-"]).input("from a pipe").check(0, &[]).await;
    assert_eq!(sent(&rig, 1).await[0].body, "from a pipe");
    rig.end().await;
}

#[tokio::test]
async fn a_file_line_by_line() {
    let rig = Setup::new().without_host().await;
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<_> = (0..25).map(|n| format!("{{\"n\":{n}}}")).collect();
    std::fs::write(dir.path().join("orders.jsonl"), lines.join("\n") + "\n\n").unwrap();
    send(&rig, &["order", "--file", "orders.jsonl"]).dir(&dir).check(0, &["25 sent, 0 failed"]).await;
    let deliveries = sent(&rig, 25).await;
    let mut bodies: Vec<_> = deliveries.iter().map(|delivery| delivery.body.clone()).collect();
    bodies.sort_by_key(|body| (body.len(), body.clone()));
    assert_eq!(bodies, lines);
    assert!(deliveries.iter().all(|delivery| text(delivery, "type") == Some("order")));
    rig.end().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_said() {
    let rig = Setup::new().without_host().await;
    send(&rig, &["greeting", "{}", "--queue", "nowhere"]).check(1, &["nowhere", &rig.sqs.endpoint_url()]).await;
    send(&rig, &["greeting", &"x".repeat(100), "--attribute", "bad name!=1"]).check(1, &["jobs"]).await;
    send(&rig, &["greeting", "--file", "gone.jsonl"]).check(1, &["gone.jsonl"]).await;
    rig.end().await;

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{free}");
    wasq(["send", "greeting", "{}", "--endpoint-url", &nobody]).check(1, &[&nobody, "start `wasq dev`"]).await;
}
