//! A new version on trial: it gets a share of the messages, and is promoted or rolled back by how
//! it does.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use wasq::config::Config;

use crate::support::{Plugin, Rig, Setup, get, until, wat};

/// A handler that rejects: a failure's discriminant is 1, and its case `reject` is 2.
fn rejects() -> Vec<u8> {
    let code =
        "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1032) (i32.const 2)) (i32.const 1024)";
    wat::handler("", code)
}

/// A handler that does what `done` does, and is another component.
fn done_too() -> Vec<u8> {
    wat::handler("", "(drop (i32.const 7)) (i32.const 1024)")
}

fn digest(component: &[u8]) -> String {
    blake3::hash(component).to_hex().to_string()
}

/// A host whose plugin is on trial when its file changes. `rules` are lines of the config's
/// `[rollout]`.
async fn rig(canary: &str, rules: &str) -> (Rig, tempfile::TempDir) {
    let kept = tempfile::tempdir().unwrap();
    let text = format!("[queues.x]\n[plugins.probe]\ncanary = '{canary}'\n[rollout]\n{rules}");
    let said = Config::parse(&text, std::path::Path::new("wasq.toml")).unwrap();
    let dir = kept.path().join("cache");
    let rig = Setup::new().plugin(Plugin::component("probe", wat::done())).config(move |config| {
        (config.plugins, config.rollout, config.compile_cache) = (said.plugins, said.rollout, dir);
    });
    (rig.start().await, kept)
}

async fn drop_in(rig: &Rig, component: &[u8]) {
    fs::write(rig.plugins_dir().join("probe.wasm"), component).unwrap();
    rig.host().reload_plugins().await.unwrap();
}

async fn send(rig: &Rig, count: usize) {
    for n in 0..count {
        rig.message(n).send().await;
    }
}

/// The serving version, the one on trial and why one was refused.
async fn versions(rig: &Rig) -> (String, Option<String>, Option<String>) {
    let all = rig.admin("/plugins").await;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let plugin = &all["plugins"][0];
    (text(&plugin["digest"]).unwrap(), text(&plugin["canary"]["digest"]), text(&all["failures"][0]["reason"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_more_is_rolled_back_and_what_failed_on_it_is_done_uncounted_on_the_earlier_one() {
    let (mut rig, _kept) = rig("50%", "min_runs = 5").await;
    drop_in(&rig, &rejects()).await;
    assert_eq!(versions(&rig).await, (digest(&wat::done()), Some(digest(&rejects())), None));
    send(&rig, 60).await;
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 60);
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0), "a reject on trial is no dead letter");
    let failed = rig.exits("reject");
    assert!((5..=45).contains(&failed), "{failed} of about 30 before the verdict, or not many more");

    // The host takes it back by itself, and says so.
    until("it is rolled back", || async { versions(&rig).await.2.is_some() }).await;
    let (serving, on_trial, refused) = versions(&rig).await;
    assert_eq!((serving, on_trial), (digest(&wat::done()), None));
    assert!(refused.is_some_and(|why| why.contains("rolled back") && why.contains("of 5 runs failed")));
    send(&rig, 20).await;
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.exits("reject")), (80, failed));

    // A restart finds the earlier version and the verdict again.
    rig.stop_host().await;
    rig.start_host().await;
    let (serving, on_trial, refused) = versions(&rig).await;
    assert_eq!((serving, on_trial, refused.is_some()), (digest(&wat::done()), None, true));
    send(&rig, 10).await;
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.exits("reject")), (10, 0));

    // A mended version is tried like any other.
    drop_in(&rig, &done_too()).await;
    assert_eq!(versions(&rig).await, (digest(&wat::done()), Some(digest(&done_too())), None));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_does_well_takes_all_messages_at_the_end_of_its_window() {
    let (mut rig, _kept) = rig("100%", "min_runs = 5\nwindow = '1s'").await;
    drop_in(&rig, &done_too()).await;
    send(&rig, 4).await;
    rig.until_exits("done", 4).await;
    let canary = rig.admin("/plugins").await["plugins"][0]["canary"].clone();
    assert_eq!((&canary["runs"], &canary["failures"], &canary["share"]), (&json!(4), &json!(0), &json!("100%")));
    let (_, metrics) = get(rig.host().admin_addr(), "/metrics").await;
    for (version, role) in [(wat::done(), "stable"), (done_too(), "candidate")] {
        let line =
            format!("wasq_plugin_info{{plugin=\"probe\",digest=\"{}\",role=\"{role}\"}} 1", &digest(&version)[..12]);
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    send(&rig, 1).await;
    until("it is promoted", || async { versions(&rig).await == (digest(&done_too()), None, None) }).await;
    // Its failures count from now on, as everybody's.
    drop_in(&rig, &wat::done()).await;
    assert_eq!(versions(&rig).await.1, Some(digest(&wat::done())), "the version before it is a new one now");
    rig.stop_host().await;
    rig.start_host().await;
    assert_eq!(
        versions(&rig).await,
        (digest(&done_too()), Some(digest(&wat::done())), None),
        "a restart goes on with the trial"
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_for_a_moment_keeps_the_version_to_go_back_to() {
    let (rig, _kept) = rig("50%", "").await;
    fs::remove_file(rig.plugins_dir().join("probe.wasm")).unwrap();
    for _ in 0..2 {
        assert_eq!(rig.host().reload_plugins().await.unwrap().plugins().count(), 0);
    }
    drop_in(&rig, &rejects()).await;
    assert_eq!(versions(&rig).await, (digest(&wat::done()), Some(digest(&rejects())), None));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_runs_on_the_earlier_version() {
    let (rig, _kept) = rig("100%", "min_runs = 1000").await;
    drop_in(&rig, &rejects()).await;
    rig.message("x").send().await;
    rig.emptied().await;
    assert_eq!((rig.exits("reject"), rig.exits("done")), (1, 1));
    let canary = rig.admin("/plugins").await["plugins"][0]["canary"].clone();
    assert_eq!((&canary["runs"], &canary["failures"], &canary["stable_runs"]), (&json!(1), &json!(1), &json!(0)));

    // The operator puts the earlier file back: the trial is over.
    drop_in(&rig, &wat::done()).await;
    assert_eq!(versions(&rig).await, (digest(&wat::done()), None, None));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_version_that_was_tampered_with_is_passed_over() {
    let (mut rig, kept) = rig("10%", "").await;
    rig.stop_host().await;
    let copy = kept.path().join("cache/rollouts/probe/probe.wasm");
    assert_eq!(fs::read(&copy).unwrap(), wat::done());
    fs::write(&copy, rejects()).unwrap();
    fs::write(rig.plugins_dir().join("probe.wasm"), done_too()).unwrap();
    rig.start_host().await;
    assert_eq!(versions(&rig).await, (digest(&done_too()), None, None));
    rig.end().await;
}

#[test]
fn a_canary_says_its_share_and_goes_with_no_pin() {
    let check = |lines: &str, expect: &str| {
        let text = format!("[queues.a]\n{lines}");
        let error = Config::parse(&text, std::path::Path::new("wasq.toml")).unwrap_err().to_string();
        assert!(error.contains(expect), "{lines}: {error}");
    };
    check("[plugins.p]\ncanary = '10'", "write one as \"10%\"");
    check("[plugins.p]\ncanary = '10%'\nblake3 = '00'", "plugins.p.canary");
    check("[rollout]\nmin_runs = 0", "rollout.min_runs");
    check("[rollout]\nwindow = '0s'", "rollout.window");
    assert_eq!(wasq::config::RolloutConfig::default().window, Duration::from_secs(600));
}
