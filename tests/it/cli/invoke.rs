//! `wasq invoke`: one message without a queue.

use serde_json::json;

use super::binary::{Wasq, wasq};

fn invoke(body: &str, more: &[&str]) -> Wasq {
    let probe = wasq_tests::guest("probe");
    wasq(["invoke", probe.to_str().unwrap(), "--body", body].iter().chain(more))
}

#[tokio::test]
async fn it_prints_outcome_result_time_and_memory() {
    let ran = invoke(r#"{"do":"result","bytes":3}"#, &[]).check(0, &["exit     done", "result   rrr"]).await;
    let number = |name: &str| -> f64 {
        let line = ran.out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {}", ran.out));
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(number("time") > 0.0);
    assert!(number("memory") >= 64.0, "{}", ran.out);
}

#[tokio::test]
async fn the_handlers_logs_go_to_stderr() {
    let ran = invoke(r#"{"do":"log","text":"here I am","count":1}"#, &[]).check(0, &[]).await;
    assert!(ran.err.contains("here I am") && !ran.out.contains("here I am"), "{ran:?}");
}

#[tokio::test]
async fn what_is_not_done_ends_with_1_and_its_reason() {
    invoke(r#"{"do":"reject","reason":"not like this"}"#, &[]).check(1, &["reject", "not like this"]).await;
    invoke(r#"{"do":"retry","reason":"later","after_ms":null}"#, &[]).check(1, &["retry", "later"]).await;
    invoke(r#"{"do":"panic","message":"no way"}"#, &[]).check(1, &["trap"]).await;
    invoke(r#"{"do":"exit","code":0}"#, &[]).check(1, &["exited", "exit(0)"]).await;
    invoke("{}", &[]).check(1, &["reject", "do"]).await;
    invoke("no JSON", &[]).check(1, &["reject"]).await;
}

#[tokio::test]
async fn json_has_it_all() {
    let order = json!({
        "do": "outbox", "queue": "mails", "kind": "mail_due", "body": { "to": "ada" }, "count": 2, "then": { "do": "done" },
    });
    let got = invoke(&order.to_string(), &["--json"]).check(0, &[]).await.json();
    assert_eq!(got["exit"], "done");
    let mail = json!({ "queue": "mails", "type": "mail_due", "bytes": r#"{"to":"ada"}"#.len() });
    assert_eq!(got["outbox"], json!([mail, mail]));
    assert!(got["elapsed_ms"].as_f64().unwrap() > 0.0 && got["memory_bytes"].as_u64().unwrap() > 0, "{got}");
}

#[tokio::test]
async fn what_belongs_to_a_group_says_so() {
    let done = json!({ "do": "done" });
    let order = json!({ "do": "group", "name": "video", "members": [done], "follow_ups": [done], "then": done });
    invoke(&order.to_string(), &[]).check(0, &["a member of guest/video", "when guest/video has ended"]).await;
    let got = invoke(&order.to_string(), &["--json"]).check(0, &[]).await.json();
    assert_eq!(got["outbox"][0]["group"], json!({ "group": "guest/video", "role": "member" }));
    assert_eq!(got["outbox"][1]["group"], json!({ "group": "guest/video", "role": { "then": "send" } }));
}

#[tokio::test]
async fn the_body_may_come_from_a_file_or_from_stdin() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("body.json");
    std::fs::write(&file, r#"{"do":"result","bytes":2}"#).unwrap();
    invoke(&format!("@{}", file.display()), &[]).check(0, &["result   rr"]).await;
    invoke("-", &[]).input(r#"{"do":"result","bytes":1}"#).check(0, &["result   r"]).await;
    invoke("@nowhere.json", &[]).check(1, &["nowhere.json"]).await;
}

#[tokio::test]
async fn a_file_that_is_no_plugin_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text.wasm"), "text").unwrap();
    wasq(["invoke", "text.wasm"]).dir(&dir).check(1, &["text.wasm", "no WebAssembly"]).await;
    wasq(["invoke", "gone.wasm"]).dir(&dir).check(1, &["gone.wasm", "cannot read"]).await;
}

#[tokio::test]
async fn a_plugin_of_several_types_wants_one_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("probe.wasm"), crate::support::wat::done()).unwrap();
    std::fs::write(dir.path().join("probe.toml"), "name = 'probe'\ntypes = ['a', 'b']\n").unwrap();
    let body = ["invoke", "probe.wasm", "--body", r#"{"do":"done"}"#];
    wasq(body).dir(&dir).check(1, &["--type", "a, b"]).await;
    wasq(body.iter().chain(&["--type", "b"])).dir(&dir).check(0, &["done"]).await;
}

/// 1 GB of log, with ANSI codes and newlines: capped, escaped, and one line a record.
async fn check_flood(guest: &str, limit: &str) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(wasq_tests::guest(guest), dir.path().join("flood.wasm")).unwrap();
    // Seconds of processor, for which the other tests leave a run that computes little.
    std::fs::write(dir.path().join("flood.toml"), "name = 'flood'\ntypes = ['flood']\ntimeout = '10m'\n").unwrap();
    let ran = wasq(["invoke", "flood.wasm"]).dir(&dir).check(0, &[]).await;
    let control = ran.err.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "a control character reached the terminal");
    assert!(ran.err.lines().all(|line| line.contains("flood")), "each line is a record of the guest's");
    assert_eq!(ran.err.matches(limit).count(), 1, "what is cut is said once, by {limit}");
    assert!(ran.err.lines().count() <= 1_001 && ran.err.len() < 500_000, "{} bytes", ran.err.len());
}

#[tokio::test]
async fn a_flood_of_logs_is_cut_and_escaped() {
    check_flood("log_flood", "limits.log_bytes").await;
    check_flood("stdout_flood", "limits.log_records").await;
}
