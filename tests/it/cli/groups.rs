//! `wasq groups` against a host: the list, and who of a group is missing.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use wasq::groups::{EndState, OnFailure};
use wasq_ledgers::documents::Put;
use wasq_ledgers::local::LocalLedger;

use super::binary::{Ran, wasq};
use crate::support::groups::{end, make};
use crate::support::{Faulty, Rig, Setup, Trouble};

const SECRET: &str = "a result that nobody is shown";

async fn groups(rig: &Rig, arguments: &[&str], code: i32, parts: &[&str]) -> Ran {
    let admin = rig.admin_addr().expect("a host is running").to_string();
    wasq([&["groups"], arguments, &["--admin", &admin]].concat()).check(code, parts).await
}

async fn in_json(rig: &Rig, arguments: &[&str]) -> Value {
    serde_json::from_str(&groups(rig, &[arguments, &["--json"]].concat(), 0, &[]).await.out).expect("JSON")
}

/// Twelve members: one is open, one dead-lettered, one discarded, and the others are done.
async fn make_video(rig: &Rig) {
    let members = make(rig, "probe/video", "encode", 12, Some(OnFailure::Wait)).await;
    end(rig, &members[1], EndState::DeadLettered, "no such codec").await;
    end(rig, &members[2], EndState::Discarded, "not needed").await;
    for member in &members[3..] {
        end(rig, member, EndState::Done, SECRET).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_page_by_page() {
    let rig = Setup::probe().start().await;
    groups(&rig, &["ls"], 0, &["No groups"]).await;
    make_video(&rig).await;
    make(&rig, "other/it's one", "x", 0, Some(OnFailure::Cancel)).await;
    make(&rig, "probe/a/b %2F", "x", 3, None).await;
    let ids = |list: &Value| -> Vec<String> {
        let id = |group: &Value| group["id"].as_str().expect("it has one").to_owned();
        list["groups"].as_array().expect("a list").iter().map(id).collect()
    };
    let all = in_json(&rig, &["ls"]).await;
    assert_eq!(
        (ids(&all), &all["next"]),
        (vec!["other/it's one".into(), "probe/a/b %2F".into(), "probe/video".into()], &Value::Null)
    );
    let (mut after, mut found) = (None::<String>, Vec::new());
    for _ in 0..3 {
        let more = after.as_ref().map_or(vec![], |after| vec!["--after", after]);
        let part = in_json(&rig, &[&["ls", "--limit", "1"][..], &more].concat()).await;
        found.extend(ids(&part));
        after = part["next"].as_str().map(str::to_owned);
    }
    assert_eq!((found, after), (ids(&all), None));
    let shown = groups(&rig, &["ls", "--limit", "1"], 0, &["ended", r"more: --after 'other/it'\''s one'"]).await;
    assert!(shown.out.contains("x to jobs, sent"), "{}", shown.out);

    let mut video = all["groups"][2].clone();
    let times = ["opened_at", "changed_at"].map(|name| video.as_object_mut().expect("a group").remove(name));
    let [opened, changed] = times.map(|time| time.and_then(|time| time.as_u64()).expect("a time"));
    assert!(opened <= changed, "{opened} {changed}");
    // Its first chunk has a dead letter, so it was counted at each end; its second has ended.
    let expect = json!({
        "id": "probe/video", "state": "open", "members": 12, "open": 1, "done": 9, "discarded": 1, "dead_lettered": 1,
        "on_failure": "wait", "then": { "queue": "jobs", "type": "encode" }, "is_sent": false,
    });
    assert_eq!(video, expect);
    let bare = &all["groups"][1];
    assert_eq!((&bare["on_failure"], &bare["then"], &bare["open"]), (&Value::Null, &Value::Null, &json!(3)));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_shows_who_is_missing_first_and_no_result() {
    let rig = Setup::probe().start().await;
    make_video(&rig).await;
    let parts = ["12: 1 open, 1 dead-lettered, 1 discarded, 9 done", "encode to jobs, not sent yet", "wait"];
    let shown = groups(&rig, &["show", "probe/video"], 0, &parts).await;
    let rows: Vec<_> = shown.out.lines().filter(|line| line.contains("key-")).collect();
    assert!(rows.len() == 2 && rows[0].starts_with("open") && rows[0].contains("key-000"), "{}", shown.out);
    assert!(rows[1].starts_with("dead-lettered") && rows[1].contains("no such codec"), "{}", shown.out);
    let done = groups(&rig, &["show", "probe/video", "--state", "done", "--limit", "2"], 0, &["and 7 more"]).await;
    let rows: Vec<_> = done.out.lines().filter(|line| line.contains("key-")).collect();
    assert!(rows.len() == 2 && rows.iter().all(|row| row.starts_with("done") && row.contains("yes")), "{}", done.out);

    let json = in_json(&rig, &["show", "probe/video"]).await;
    let members = json["members"].as_array().expect("a list");
    assert_eq!((members.len(), &json["group"]["id"], &json["next"]), (12, &json!("probe/video"), &Value::Null));
    let open = json!({
        "state": "open", "queue": "jobs", "type": "encode", "key": "key-000", "at": null, "reason": "", "has_result": false,
    });
    assert_eq!(members[0], open);
    assert_eq!((&members[2]["state"], &members[2]["reason"]), (&json!("discarded"), &json!("not needed")));
    assert_eq!((&members[3]["state"], &members[3]["has_result"]), (&json!("done"), &json!(true)));
    assert!(members[3]["at"].is_u64() && !json.to_string().contains(SECRET), "{json}");
    assert!(!json.to_string().contains(&BASE64_STANDARD.encode(SECRET)), "{json}");

    // More members than one answer has.
    let members = make(&rig, "probe/many", "x", 205, Some(OnFailure::Send)).await;
    let all = in_json(&rig, &["show", "probe/many", "--state", "open"]).await;
    assert_eq!(all["members"].as_array().map(Vec::len), Some(205));
    for member in &members {
        end(&rig, member, EndState::Done, "").await;
    }
    groups(&rig, &["show", "probe/many"], 0, &["ended", "205 done", "x to jobs, sent", "no member is missing"]).await;
    rig.until_called("then", 1).await;
    groups(&rig, &["show", "probe/none"], 1, &["there is no group `probe/none`", "wasq groups ls"]).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_can_be_shown_and_no_control_character_reaches_the_terminal() {
    let rig = Setup::probe().start().await;
    for name in ["..", "a//b/", "?first=1&x=%00#", "é ✓", "\u{1b}[2J\r\n", "groups/show"] {
        let id = format!("probe/{name}");
        let members = make(&rig, &id, "\u{1b}]0;x\u{7}", 1, None).await;
        end(&rig, &members[0], EndState::DeadLettered, "\u{1b}[31mno").await;
        assert_eq!(in_json(&rig, &["show", &id]).await["group"]["id"], json!(id));
        let shown = groups(&rig, &["show", &id], 0, &["1 dead-lettered", "[31mno"]).await;
        let listed = groups(&rig, &["ls"], 0, &["probe/"]).await;
        let after = groups(&rig, &["ls", "--limit", "1"], 0, &["probe/"]).await;
        for out in [shown.out, listed.out, after.out] {
            assert!(!out.contains(['\u{1b}', '\u{7}', '\r']), "{out:?}");
        }
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_cannot_say_is_an_error_with_its_reason() {
    let mut rig = Setup::probe().start().await;
    make(&rig, "probe/good", "x", 1, None).await;
    let documents = rig.services().ledger.documents(&rig.config.scope).expect("it keeps them");
    let (id, value) = ("group/probe/bad".into(), "{".into());
    documents.put(Put { id, expects: None, value, kept: Duration::from_secs(60) }).await.expect("it is put");
    groups(&rig, &["show", "probe/bad"], 1, &["503", "the ledger: ", "probe/bad"]).await;
    let first = in_json(&rig, &["ls", "--limit", "1"]).await;
    assert_eq!(first, json!({ "groups": [], "next": "probe/bad" }), "the others are found behind it");
    assert_eq!(in_json(&rig, &["ls"]).await["groups"][0]["id"], json!("probe/good"));
    drop(documents);

    rig.stop_host().await;
    rig.start_on(Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::None)).await;
    for arguments in [&["ls"][..], &["show", "probe/good"]] {
        groups(&rig, arguments, 1, &["503", "the ledger keeps no groups"]).await;
    }
    rig.end().await;
}
