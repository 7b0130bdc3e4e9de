//! A handler waits for an answer from outside.

use super::*;

/// Has the probe wait, for so long.
fn wait(rig: &Rig, timeout_ms: u64) -> Value {
    let url = |name: &str| rig.sink.url(name);
    json!({ "do": "wait", "name": "moderation", "timeout_ms": timeout_ms, "hand_out": url("token"), "then": url("came") })
}

const HOUR_MS: u64 = 60 * 60 * 1_000;

async fn token(rig: &Rig) -> String {
    rig.until_called("token", 1).await;
    rig.sink.calls("token")[0].report["token"].as_str().expect("it was handed out").to_owned()
}

fn callback(rig: &Rig, token: &str) -> Request {
    post(rig.host().ingress_addr().unwrap(), &format!("/v1/callbacks/{token}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_brings_the_message_back_at_once() {
    let rig = rig("").await;
    rig.send(wait(&rig, HOUR_MS)).await;
    let token = token(&rig).await;
    rig.until_exits("waiting", 1).await;
    rig.emptied().await;
    assert_eq!(rig.counts("jobs").await, (0, 0, 0), "it waits in the ledger alone");
    assert_eq!(callback(&rig, "AAAAAAAAAAAAAAAAAAAAAA").body("no").send().await.status, 404);
    assert_eq!(callback(&rig, &token).body("x".repeat(70_000)).send().await.status, 413, "and the token is still good");
    assert_eq!(callback(&rig, &token).body("fine").send().await.status, 202);
    assert_eq!(callback(&rig, &token).body("fine").send().await.status, 404, "it is good for one");
    rig.until_called("came", 1).await;
    rig.emptied().await;
    let report = &rig.sink.calls("came")[0].report;
    assert_eq!((&report["came"], &report["attempt"]), (&json!("fine"), &json!(1)), "a wait counts no attempt");
    assert_eq!((rig.sink.count("token"), rig.exits("done")), (1, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_handler_has_ended_is_kept() {
    let rig = rig("").await;
    let hold = rig.sink.hold("token");
    rig.send(wait(&rig, HOUR_MS)).await;
    let token = token(&rig).await;
    assert_eq!(callback(&rig, &token).body("early").send().await.status, 202);
    drop(hold);
    rig.until_called("came", 1).await;
    rig.emptied().await;
    assert_eq!(rig.sink.calls("came")[0].report["came"], "early");
    assert_eq!(rig.sink.count("came"), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_over_brings_it_back_without_an_answer() {
    let rig = rig("").await;
    rig.send(wait(&rig, HOUR_MS)).await;
    let token = token(&rig).await;
    rig.until_exits("waiting", 1).await;
    rig.emptied().await;
    let timers = rig.services().ledger.timers(&rig.config.scope).expect("it keeps timers");
    bring_forward(&*timers).await;
    rig.until_called("came", 1).await;
    rig.emptied().await;
    assert_eq!(rig.sink.calls("came")[0].report["came"], "timed out");
    assert_eq!(callback(&rig, &token).body("late").send().await.status, 404);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_after_it_has_handed_its_token_out_waits_on() {
    let probe = crate::support::Plugin::probe("probe").manifest("[retry]\ninitial_interval = '0s'");
    let rig = Setup::new().plugin(probe).config(with("")).start().await;
    // The call is made, and its answer says that it has failed: the next attempt makes it again.
    rig.sink.answers("token", [crate::support::Answer::status(500)]);
    rig.send(wait(&rig, HOUR_MS)).await;
    rig.until_called("token", 2).await;
    rig.until_exits("waiting", 1).await;
    let calls = rig.sink.calls("token");
    let tokens: Vec<_> = calls.iter().map(|call| call.report["token"].as_str().unwrap()).collect();
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(callback(&rig, tokens[0]).body("by the first").send().await.status, 202, "both are good, once");
    assert_eq!(callback(&rig, tokens[1]).body("by the second").send().await.status, 404);
    rig.until_called("came", 1).await;
    rig.emptied().await;
    assert_eq!(rig.sink.calls("came")[0].report["came"], "by the first");
    rig.end().await;
}
