//! `wasq status` and `wasq plugins`: what a running host says of itself.

use std::time::Duration;

use super::binary::wasq;
use crate::support::Setup;

#[tokio::test]
async fn they_show_queues_types_and_plugins() {
    let rig = Setup::probe().start().await;
    rig.send(serde_json::json!({ "do": "done" })).await;
    rig.until_exits("done", 1).await;
    rig.emptied().await;
    let admin = rig.host().admin_addr().to_string();

    let status = wasq(["status", "--json", "--admin", &admin]).check(0, &[]).await.json();
    assert_eq!(status["ready"]["ok"], true);
    assert_eq!(status["queues"][0]["name"], "jobs");
    assert_eq!(status["queues"][0]["visible"], 0);
    assert_eq!(status["lines"][0]["type"], "probe");
    assert_eq!(status["lines"][0]["exits"]["done"], 1);
    wasq(["status"]).env("WASQ_ADMIN", &admin).check(0, &["ready", "jobs", "probe", "dead letters"]).await;

    let plugins = wasq(["plugins", "--json", "--admin", &admin]).check(0, &[]).await.json();
    let plugin = &plugins["plugins"][0];
    assert_eq!((&plugin["name"], &plugin["types"][0]), (&"probe".into(), &"probe".into()));
    assert_eq!(plugin["digest"].as_str().unwrap().len(), 64);
    assert_eq!(plugin["timeout_ms"], 30_000);
    wasq(["plugins", "--admin", &admin]).check(0, &["probe", "30000 ms", "64 MiB"]).await;
    wasq(["plugins", "--grants", "--admin", &admin])
        .check(0, &["probe", "may call", &rig.sink.origin(), "self", "secrets"])
        .await;
    rig.end().await;
}

#[tokio::test]
async fn without_a_host_they_say_so() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for command in ["status", "plugins", "top"] {
        wasq([command, "--admin", &free]).check(1, &["no host answers", &free, "--admin"]).await;
        wasq([command, "--admin", "not an address"]).check(1, &["not an address", "host:port"]).await;
    }
}

#[tokio::test]
async fn it_watches_until_it_is_interrupted() {
    let rig = Setup::probe().start().await;
    let admin = rig.host().admin_addr().to_string();
    let watch =
        |more: &[&str]| wasq([&["status", "--watch", "--every", "50ms", "--admin", &admin], more].concat()).spawn();
    let (plain, json) = (watch(&[]), watch(&["--json"]));
    rig.send(serde_json::json!({ "do": "reject", "reason": "what went wrong" })).await;
    plain.line("what went wrong").await;
    let line = json.line("what went wrong").await;
    let status: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&status["failures"][0]["class"], &status["permits"][0]["name"]), (&"reject".into(), &"host".into()));
    // No terminal, no codes for one.
    assert!(!plain.shown().contains('\u{1b}'), "{}", plain.shown());
    for watching in [plain, json] {
        watching.signal("INT").await;
        assert_eq!(watching.ends_within(Duration::from_secs(10)).await, Some(0));
    }
    rig.end().await;
}
