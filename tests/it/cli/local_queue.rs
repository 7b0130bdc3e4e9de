//! `wasq local-queue`: a queue that other processes use.

use std::time::Duration;

use serde_json::{Value, json};

use super::binary::{client, wasq};

#[tokio::test]
async fn it_makes_its_queues_and_keeps_what_is_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let start = || wasq(["local-queue", "orders", "mail.fifo", "--listen", "0.0.0.0:0"]).dir(dir.path()).spawn();
    let first = start();
    let line = first.line("local queue http://127.0.0.1:").await;
    let endpoint = line.split_whitespace().last().unwrap().to_owned();
    let listed = sqs(&endpoint, &["list-queues"]).await;
    let url = |name: &str| format!("{endpoint}/000000000000/{name}");
    let mut urls: Vec<String> = serde_json::from_value(listed["QueueUrls"].clone()).unwrap();
    urls.sort();
    assert_eq!(urls, ["mail-dlq.fifo", "mail.fifo", "orders", "orders-dlq"].map(url));

    let send = ["send", "greeting", r#"{"name":"Ada"}"#, "--queue", "orders", "--endpoint-url", &endpoint];
    wasq(send).dir(dir.path()).check(0, &[]).await;
    first.signal("TERM").await;
    assert_eq!(first.ends_within(Duration::from_secs(10)).await, Some(0));

    let second = start();
    let line = second.line("local queue http://127.0.0.1:").await;
    let endpoint = line.split_whitespace().last().unwrap().to_owned();
    let url = format!("{endpoint}/000000000000/orders");
    let received = sqs(&endpoint, &["receive-message", "--queue-url", &url]).await;
    assert_eq!(received["Messages"][0]["Body"], json!(r#"{"name":"Ada"}"#));
}

/// What the AWS CLI is answered.
async fn sqs(endpoint: &str, arguments: &[&str]) -> Value {
    let command = client("aws", ["sqs", "--endpoint-url", endpoint].iter().chain(arguments));
    let command = command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
    command.env("AWS_DEFAULT_REGION", "us-east-1").check(0, &[]).await.json()
}
