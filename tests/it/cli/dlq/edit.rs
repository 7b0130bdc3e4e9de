//! Bodies mended in an editor, or on the command line.

use std::path::Path;

use serde_json::json;

use super::{bury, dead, dlq, letter, rig, still};
use crate::cli::binary::script;

/// An editor that runs these commands on the file.
fn editor(dir: &Path, commands: &str) -> String {
    let path = dir.join("editor.sh");
    script(&path, commands);
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_body_mended_in_the_editor_is_done_under_its_key() {
    let rig = rig().await;
    let order = json!({ "do": "reject", "reason": "no such order", "url": rig.sink.url("mended") });
    rig.message(order).attribute("shop", "north").key("k").send().await;
    dead(&rig, 1).await;
    let id = dlq(&rig, &["ls", "--json"]).check(0, &[]).await.json()[0]["id"].as_str().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let script = editor(dir.path(), r#"sed -i 's/"do":"reject"/"do":"ask"/' "$1"; echo >> "$1""#);
    let edit = || dlq(&rig, &["edit", &id]).env("EDITOR", &script);
    edit().check(0, &[r#"~ /do "reject" -> "ask""#, "1 replayed"]).await;
    rig.until_called("mended", 1).await;
    rig.emptied().await;
    let report = rig.sink.calls("mended")[0].report.clone();
    assert_eq!((&report["attempt"], &report["attributes"]["shop"]), (&1.into(), &"north".into()));
    assert_eq!(rig.exits("done"), 1, "no conflict with the body that failed");
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    edit().check(1, &["no dead letter"]).await;
    rig.end().await;
}

#[tokio::test]
async fn a_body_given_on_the_command_line_is_mended_too() {
    let rig = rig().await;
    rig.message(json!({ "do": "reject", "reason": "no such order" })).send().await;
    dead(&rig, 1).await;
    let id = dlq(&rig, &["ls", "--json"]).check(0, &[]).await.json()[0]["id"].as_str().unwrap().to_owned();
    let mended = rig.sink.ask("mended").to_string();
    dlq(&rig, &["edit", &id, "--body", "-", "--dry-run"]).input(&mended).check(0, &["nothing replayed"]).await;
    dlq(&rig, &["edit", &id[..8], "--body", &mended]).check(0, &["1 replayed"]).await;
    rig.until_called("mended", 1).await;
    rig.emptied().await;
    rig.end().await;
}

#[tokio::test]
async fn an_unchanged_body_is_not_replayed() {
    let rig = still().await;
    let id = bury(&rig, &[letter("k", r#"{"a":1}"#, json!({}))]).await.remove(0);
    // Many editors end a file with a newline.
    let dir = tempfile::tempdir().unwrap();
    let script = editor(dir.path(), r#"echo >> "$1""#);
    dlq(&rig, &["edit", &id]).env("VISUAL", &script).check(0, &["unchanged", "nothing replayed"]).await;
    dlq(&rig, &["edit", &id, "--body", r#"{"a":1}"#]).check(0, &["unchanged"]).await;
    assert_eq!((rig.counts("jobs-dlq").await, rig.counts("jobs").await), ((1, 0, 0), (0, 0, 0)));
    rig.end().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_any_more_is_refused_and_kept() {
    let rig = still().await;
    let id = bury(&rig, &[letter("k", r#"{"a":1}"#, json!({}))]).await.remove(0);
    let dir = tempfile::tempdir().unwrap();
    let edit = |script: &str| {
        let script = editor(dir.path(), script);
        dlq(&rig, &["edit", &id]).env("EDITOR", script).env("TMPDIR", dir.path())
    };
    let ran = edit(r#"echo '{"a":' > "$1""#).check(1, &["not valid JSON", "line", "kept in"]).await;
    let path = ran.err.trim().rsplit("kept in ").next().unwrap().split(": ").next().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"a\":\n", "{path}");
    edit("exit 3").check(1, &["exit status: 3", "nothing replayed"]).await;
    dlq(&rig, &["edit", &id, "--body", "{"]).check(1, &["not valid JSON"]).await;
    dlq(&rig, &["edit", &id]).env("VISUAL", "").env("EDITOR", "").check(1, &["VISUAL", "EDITOR", "--body"]).await;
    // What cannot be sent is kept too.
    let ran = edit(r#"printf '{"a":"%01048576d"}' 0 > "$1""#).check(1, &["the queue takes 1048576", "kept in"]).await;
    assert!(ran.err.contains("not replayed"), "{}", ran.err);
    assert_eq!((rig.counts("jobs-dlq").await, rig.counts("jobs").await), ((1, 0, 0), (0, 0, 0)));
    rig.end().await;
}
