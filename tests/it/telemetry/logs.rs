//! What a host writes of its messages: which, and never what is in them.

use std::ffi::OsStr;

use serde_json::{Value, json};

use crate::cli::binary::{Running, wasq};
use crate::support::hosts;
use crate::support::{Plugin, Rig, Setup, until};

/// In every body, and nowhere in the log.
const MARKER: &str = "c0ffee-in-the-body";

/// A host that says all that it can.
async fn run(rig: &Rig, filter: &str) -> Running {
    let config = hosts::config(rig, &hosts::local(rig));
    let command = wasq([OsStr::new("run"), OsStr::new("--config"), config.as_os_str()]);
    let host = command.env("WASQ_LOG", filter).env("WASQ_LOG_FORMAT", "json").spawn();
    host.line("running").await;
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_never_logged_whatever_becomes_of_it() {
    let plugin = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 2\ninitial_interval = \"0s\"\n");
    let rig = Setup::new().plugin(plugin).without_host().await;
    let host = run(&rig, "warn,wasq=trace,guest=trace").await;
    let with = |mut order: Value| {
        order["note"] = MARKER.into();
        order
    };
    rig.send(with(json!({ "do": "done" }))).await;
    rig.send(with(json!({ "do": "discard", "reason": "old" }))).await;
    rig.send(with(json!({ "do": "snooze", "ms": 600_000 }))).await;
    rig.send(with(json!({ "do": "retry", "reason": "later" }))).await;
    rig.send(with(json!({ "do": "reject", "reason": "never" }))).await;
    rig.send(with(json!({ "do": "panic", "message": "oh" }))).await;
    rig.send(with(json!({ "do": "exit", "code": 3 }))).await;
    rig.send(json!({ "do": "http", "url": format!("{}?{MARKER}", rig.sink.url("x")) })).await;
    rig.send(
        json!({ "do": "outbox", "queue": "", "kind": "nobody", "body": MARKER, "count": 1, "then": { "do": "done" } }),
    )
    .await;
    // What the handler cannot read, and what the host cannot.
    rig.send(json!({ "do": MARKER })).await;
    rig.send(json!({ "do": "sleep", "ms": MARKER })).await;
    rig.message(MARKER).send().await;
    rig.message(format!("{{\"{MARKER}")).untyped().send().await;
    rig.message(MARKER).kind("nobody").send().await;
    rig.message(with(json!({ "do": "done" }))).key("k").send().await;
    rig.message(with(json!({ "do": "done", "more": 1 }))).key("k").send().await;

    for (class, count) in [("done", 4), ("discard", 1), ("snooze", 1), ("retry", 2), ("trap", 2), ("exited", 2)] {
        hosts::until_exits(&host, class, count).await;
    }
    for (class, count) in [("invalid", 1), ("unroutable", 2), ("conflict", 1), ("reject", 4)] {
        hosts::until_exits(&host, class, count).await;
    }
    host.line("dead-lettered").await;
    // Its breaker has all that comes after it wait.
    rig.send(with(json!({ "do": "unavailable", "dependency": "db", "after_ms": 600_000 }))).await;
    hosts::until_exits(&host, "unavailable", 1).await;
    let log = host.shown();
    assert!(log.contains("\"TRACE\"") || log.contains("\"DEBUG\""), "it says all that it can:\n{log}");
    let leaks: Vec<_> = log.lines().filter(|line| line.contains(MARKER)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    hosts::end(host).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_about_a_message_says_which_in_json() {
    let rig = Setup::probe().without_host().await;
    let host = run(&rig, "info,wasq=debug").await;
    let done = rig.send(json!({ "do": "done" })).await;
    let rejected = rig.send(json!({ "do": "reject", "reason": "never" })).await;
    let logged = rig.send(json!({ "do": "log", "text": "hello", "count": 1 })).await;
    hosts::until_exits(&host, "done", 2).await;
    hosts::until_exits(&host, "reject", 1).await;
    let find = |id: &str, message: &str| {
        let log = host.shown();
        let mut records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.find(|record| record["message_id"] == id && record["message"] == message)
    };
    for (id, message, level) in
        [(&done, "settled", "DEBUG"), (&rejected, "dead-lettered", "WARN"), (&logged, "hello", "INFO")]
    {
        // An exit is counted before its record is written, and the record comes through a pipe.
        until(&format!("a record {message:?} of {id}"), || async { find(id, message).is_some() }).await;
        let record = find(id, message).unwrap();
        assert_eq!(
            (&record["type"], &record["plugin"], &record["attempt"]),
            (&"probe".into(), &"probe".into(), &1.into())
        );
        assert_eq!(record["level"], level, "{record}");
    }
    // What each used stands in its last record.
    until("the last record of the third", || async { find(&logged, "settled").is_some() }).await;
    for (id, message, log_calls) in [(&done, "settled", 0), (&rejected, "dead-lettered", 0), (&logged, "settled", 2)] {
        let record = find(id, message).unwrap();
        let number = |field: &str| record[field].as_u64().unwrap_or_else(|| panic!("no {field} in {record}"));
        assert!((1..=number("run_us")).contains(&number("cpu_us")), "{record}");
        assert!((65_536..=64 << 20).contains(&number("memory_bytes")), "{record}");
        assert_eq!(number("log_calls"), log_calls, "{record}");
        let others = ["http_calls", "outbox_calls", "step_calls", "sent_bytes", "received_bytes"];
        assert_eq!(others.map(number), [0; 5], "{record}");
    }
    hosts::end(host).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_one_record_a_plugin_that_says_where_its_key_came_from() {
    let by_order = Plugin::probe("by-order").manifest("[idempotency]\nkey = \"{/order}\"\n");
    let rig = Setup::new().plugin(Plugin::probe("probe")).plugin(by_order).without_host().await;
    let host = run(&rig, "info").await;
    let order = json!({ "do": "done", "order": "7" });
    rig.message(&order).key("k").send().await;
    hosts::until_exits(&host, "done", 2).await;
    let second = rig.message(&order).key("k").send().await;
    let records = || {
        let log = host.shown();
        let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let duplicates =
            records.filter(|record| record["message"].as_str().is_some_and(|said| said.contains("duplicate")));
        let mut duplicates: Vec<_> = duplicates
            .map(|record| {
                ["level", "message_id", "plugin", "key_from"].map(|field| record[field].as_str().unwrap().to_owned())
            })
            .collect();
        duplicates.sort();
        duplicates
    };
    let record = |plugin: &str, key_from: &str| ["INFO", &second, plugin, key_from].map(str::to_owned);
    until("both are logged", || async { records().len() >= 2 }).await;
    assert_eq!(
        records(),
        [record("by-order", "the manifest's key template"), record("probe", "the attribute idempotency-key")]
    );
    hosts::end(host).await;
    rig.end().await;
}
