//! Handlers that misbehave beside others and towards other hosts. What they do to their own host is
//! in `hostile.rs`.

use serde_json::json;

use crate::support::{Plugin, Setup, until};

/// A probe with one attempt, so that its first failure is its dead letter.
fn once(lines: &str) -> Setup {
    Setup::new().plugin(Plugin::probe("probe").manifest(&format!("{lines}\n[retry]\nmax_attempts = 1")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_endless_loops_than_threads_leave_the_others_running() {
    let setup = Setup::new()
        .plugin(Plugin::probe("loops").types(&["loops"]).manifest("timeout = '12s'\n[retry]\nmax_attempts = 1"))
        .plugin(Plugin::probe("probe"));
    let mut rig = setup.without_host().await;
    for _ in 0..4 {
        rig.message(json!({ "do": "loop" })).kind("loops").send().await;
    }
    rig.start_host().await;
    until("they loop", || async { rig.admin("/plugins").await["plugins"][0]["busy"] == 4 }).await;
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    assert_eq!(rig.exits("timeout"), 0, "they loop on");
    for dead in rig.letters(4).await {
        assert_eq!(dead.letter.class, "timeout");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_answers_is_cut_off_before_the_timeout_and_named() {
    let manifest = "timeout = '2s'\n[retry]\nmax_attempts = 100\ninitial_interval = '0s'";
    let rig = Setup::new().plugin(Plugin::probe("probe").manifest(manifest)).start().await;
    let _held = rig.sink.hold("silent");
    let order = json!({ "do": "http", "url": rig.sink.url("silent") });
    rig.send(order).await;
    // The SDK keeps a little of the handler's time back to say which host did not answer. A busy
    // machine may take that too: then the attempt has timed out, and the next one says it.
    until("an attempt says which host did not answer", || async {
        let failures = rig.services().recent.failures();
        failures.iter().any(|failed| failed.class == "retry" && failed.reason.contains("/silent: "))
    })
    .await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_not_granted_is_not_called() {
    let rig = once("").start().await;
    let other = crate::support::Sink::start().await;
    rig.send(json!({ "do": "http", "url": other.url("secret") })).await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "retry", "{}", dead.letter.reason);
    assert_eq!(other.count("secret"), 0);
    rig.end().await;
}
