//! `wasq status` and `wasq plugins`: what a running host says of itself.

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
    for command in ["status", "plugins"] {
        wasq([command, "--admin", &free]).check(1, &["no host answers", &free, "--admin"]).await;
        wasq([command, "--admin", "not an address"]).check(1, &["not an address", "host:port"]).await;
    }
}
