//! `wasq dev`: from an edit to the next message.

use std::net::TcpListener;
use std::time::Duration;

use super::binary::{client, wasq};
use super::new::{edit, make};
use crate::ingress::client::post;
use crate::support::servers::redis;

#[tokio::test]
async fn an_edit_reaches_the_next_message() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "hello-dev").await;
    let project = dir.path().join("hello-dev");
    let mut dev =
        wasq(["dev", "--sqs-port", "0", "--admin-port", "0", "--ingress-port", "0"]).dir(&project).compiles().spawn();
    let ports = dev.line_after_build("local queue http://", 1).await;
    let words: Vec<_> = ports.split_whitespace().collect();
    let (endpoint, admin) = (words[2], words[4].trim_start_matches("http://"));
    let ingress = dev.line("messages and callbacks by HTTP at ").await;
    let ingress = ingress.rsplit(' ').next().and_then(|addr| addr.parse().ok()).expect("it names the address");
    dev.line("watching").await;

    let queue_url = format!("{endpoint}/000000000000/jobs");
    let arguments = ["sqs", "send-message", "--endpoint-url", endpoint, "--queue-url", &queue_url, "--message-body"];
    let typed = "type={DataType=String,StringValue=greeting}";
    client("aws", arguments.iter().chain(&[r#"{"name":"Ada"}"#, "--message-attributes", typed]))
        .env("AWS_ACCESS_KEY_ID", "x")
        .env("AWS_SECRET_ACCESS_KEY", "x")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .check(0, &["MessageId"])
        .await;
    dev.line("Hello, Ada!").await;
    let sent = post(ingress, "/v1/messages/greeting").header("content-type", "application/json");
    assert_eq!(sent.body(r#"{"name":"Eve"}"#).send().await.status, 202);
    dev.line("Hello, Eve!").await;
    let status = wasq(["status", "--json", "--admin", admin]).check(0, &[]).await.json();
    assert_eq!(status["lines"][0]["type"], "greeting");

    edit(&project, "Hello, {}!", "Goodbye, {}!");
    dev.line_after_build("rebuilt ", 1).await;
    let send = |name: &str| {
        let body = format!(r#"{{"name":"{name}"}}"#);
        wasq(["send", "greeting", &body, "--endpoint-url", endpoint]).dir(&project)
    };
    send("Ada").check(0, &[]).await;
    dev.line("Goodbye, Ada!").await;

    edit(&project, "Ok(())", "Ok(");
    dev.line_after_build("not rebuilt", 1).await;
    send("Grace").check(0, &[]).await;
    dev.line("Goodbye, Grace!").await;

    // Both edits in one: what is saved in between would not compile.
    let source = std::fs::read_to_string(project.join("src/lib.rs")).unwrap();
    let mended = source.replace("Ok(", "Ok(())").replace("Goodbye, {}!", "Welcome back, {}!");
    std::fs::write(project.join("src/lib.rs"), mended).unwrap();
    dev.line_after_build("rebuilt ", 2).await;
    send("Ada").check(0, &[]).await;
    dev.line("Welcome back, Ada!").await;
    dev.signal("INT").await;
    assert_eq!(dev.ends_within(Duration::from_secs(25)).await, Some(0));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "hello-port").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dev = |first: &str, second: &str| {
        wasq(["dev", "--sqs-port", first, "--admin-port", second]).dir(dir.path().join("hello-port")).compiles()
    };
    dev(&port, "0").check(1, &[&port, "is taken", "another port"]).await;
    dev("0", &port).check(1, &[&port, "another"]).await;
}

#[tokio::test]
async fn it_runs_on_a_broker_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "hello-broker").await;
    let project = dir.path().join("hello-broker");
    let (queue, url) = (format!("dev-{}", uuid::Uuid::new_v4()), redis().url());
    let config = format!(
        "[queues.jobs]\nbroker = 'redis'\nurl = 'redis://nowhere'\nredis = {{ stream = '{queue}' }}\ndlq = '{queue}-dlq'\n"
    );
    std::fs::write(project.join("wasq.toml"), &config).unwrap();
    let arguments = ["dev", "--sqs-port", "0", "--admin-port", "0", "--broker", "redis"];
    let mut dev = wasq(arguments).env("WASQ_BROKER_URL", &url).dir(&project).compiles().spawn();
    dev.line_after_build("queues on redis", 1).await;
    dev.line("watching").await;
    std::fs::write(project.join("wasq.toml"), config.replace("redis://nowhere", &url)).unwrap();
    wasq(["send", "greeting", r#"{"name":"Ada"}"#, "--queue", "jobs"]).dir(&project).check(0, &[]).await;
    dev.line("Hello, Ada!").await;
    dev.signal("INT").await;
}
