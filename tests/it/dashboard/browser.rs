//! The dashboard as a person uses it, in a real Chromium: what is clicked there shows on the queue.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{TOKEN, open, paused};
use crate::profile::spinning;
use crate::support::{Rig, Setup, until};

/// How long one step may take, with the browser's start.
const PATIENCE: Duration = Duration::from_secs(90);

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients")
}

fn chromium(rig: &Rig, step: &[&str]) -> Child {
    let setup = clients().join("setup.sh");
    let installed = clients().join("node_modules/puppeteer-core");
    assert!(installed.exists(), "{} is missing: run {} once", installed.display(), setup.display());
    let base = format!("http://127.0.0.1:{}", rig.host().admin_addr().port());
    let mut node = Command::new("node");
    node.arg("browser.mjs").arg(base).args(step).current_dir(clients());
    node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    node.spawn().unwrap_or_else(|error| panic!("node does not run ({error}); {} needs it", setup.display()))
}

async fn ends_well(browser: Child, step: &[&str]) {
    let output = tokio::time::timeout(PATIENCE, browser.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{step:?} is not done after {PATIENCE:?}")).unwrap();
    assert!(output.status.success(), "{step:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn browse(rig: &Rig, step: &[&str]) {
    ends_well(chromium(rig, step), step).await;
}

fn setup() -> Setup {
    Setup::probe().config(|config| config.limits.pause_hold = Duration::from_secs(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_resume_are_clicked_and_show_on_the_queue() {
    let rig = setup().start().await;
    browse(&rig, &["pause", "probe"]).await;
    assert_eq!(paused(&rig), 1);
    rig.send(json!({ "do": "done" })).await;
    rig.until_exits("paused", 1).await;
    assert_eq!((rig.exits("done"), rig.runs()), (0, 0), "it is held");
    browse(&rig, &["resume", "probe"]).await;
    rig.until_exits("done", 1).await;
    rig.emptied().await;
    browse(&rig, &["pause-queue"]).await;
    assert_eq!(paused(&rig), 1);
    browse(&rig, &["keyboard"]).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_profiled_by_a_click_and_its_picture_shows() {
    let rig = Setup::new().plugin(spinning("15s")).start().await;
    rig.send(json!({})).await;
    browse(&rig, &["profile", "spin", "spin_for_ever"]).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_replayed_mended_and_discarded_by_clicks() {
    let rig = setup().start().await;
    let dead = async |count| until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == count }).await;
    let live = &["live", "a reason of its own"];
    let mut watching = chromium(&rig, live);
    let mut said = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert_eq!(said.next_line().await.unwrap().as_deref(), Some("watching"));
    rig.sink.answers("mail", [json!({ "do": "reject", "reason": "a reason of its own" })]);
    rig.send(rig.sink.ask("mail")).await;
    ends_well(watching, live).await;

    dead(1).await;
    browse(&rig, &["replay", "jobs", "a reason of its own"]).await;
    rig.until_exits("done", 1).await;
    rig.emptied().await;
    assert_eq!((rig.counts("jobs-dlq").await, rig.sink.count("mail")), ((0, 0, 0), 2));

    rig.send(json!({ "do": "reject", "reason": "to be mended" })).await;
    dead(1).await;
    browse(&rig, &["edit", "jobs", r#"{"do":"done"}"#]).await;
    rig.until_exits("done", 2).await;

    rig.send(json!({ "do": "reject", "reason": "to be thrown away" })).await;
    dead(1).await;
    browse(&rig, &["discard", "jobs"]).await;
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    assert_eq!(rig.exits("done"), 2, "it was not run");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_makes_the_browser_ask_for_letters_in_vain() {
    let rig = setup().start().await;
    rig.send(json!({ "do": "reject", "reason": "to be seen" })).await;
    until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == 1 }).await;
    browse(&rig, &["drive-by", "jobs"]).await;
    assert_eq!(rig.counts("jobs-dlq").await, (1, 0, 0), "it is not hidden");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_a_person_logs_in_and_may_only_look() {
    let rig = open(setup(), None).start().await;
    browse(&rig, &["login", TOKEN]).await;
    rig.end().await;
}
