//! Metrics on stdout, as CloudWatch reads them.

use std::time::Duration;

use serde_json::{Value, json};
use wasq::telemetry::export::{Before, emf};

use crate::cli::binary::wasq;
use crate::cli::config_file;
use crate::support::{Setup, until};

/// The value of a metric that the line defines, for these sets of dimensions, all of which it has.
fn read(line: &Value, name: &str, sets: Value) -> f64 {
    let head = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!((&head["Namespace"], &head["Dimensions"]), (&"wasq".into(), &sets));
    assert!(line["_aws"]["Timestamp"].as_u64().unwrap().abs_diff(wasq_core::clock::unix_ms().0) < 60_000);
    for dimension in sets.as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap()) {
        assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
    }
    let defined =
        head["Metrics"].as_array().unwrap().iter().any(|metric| metric["Name"] == name && metric["Unit"].is_string());
    assert!(defined, "{name} is not defined in {line}");
    line[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_a_queue_says_what_alarms_ask_for() {
    let setup = Setup::probe().config(|config| config.telemetry.sample_interval = Duration::from_secs(1));
    let rig = setup.config(|config| config.limits.breaker_failures = 1).start().await;
    rig.send(json!({ "do": "reject", "reason": "never" })).await;
    rig.send(json!({ "do": "unavailable", "dependency": "db", "after_ms": 600_000 })).await;
    // From here on nothing changes any more.
    rig.until_exits("unavailable", 1).await;
    until("both are settled", || async {
        (rig.counts("jobs").await, rig.counts("jobs-dlq").await) == ((0, 1, 0), (1, 0, 0))
    })
    .await;
    let mut before = Before::default();
    let source = rig.host().source();
    until("a sample has seen both", || async {
        let lines = emf(&source, &mut Before::default());
        lines[1]["DlqMessages"] == 1.0
            && lines[1]["BacklogPerTask"] == 1.0
            && lines[1]["InFlightShare"] == 1.0 / 120_000.0
            && lines[1]["DlqOldestAgeSeconds"].is_number()
    })
    .await;
    let lines = emf(&source, &mut before);
    assert_eq!(lines.len(), 2);
    assert_eq!(read(&lines[0], "BreakersOpen", json!([["service"]])), 1.0);
    let sets = || json!([["service"], ["service", "queue"]]);
    let queue = |name: &str| read(&lines[1], name, sets());
    assert_eq!((lines[1]["service"].as_str(), lines[1]["queue"].as_str()), (Some("wasq"), Some("jobs")));
    assert_eq!(queue("InFlightShare"), 1.0 / 120_000.0);
    assert_eq!((queue("LeaseLosses"), queue("SettleFailures")), (0.0, 0.0));
    assert!((0.0..60.0).contains(&queue("LastPollAgeSeconds")) && queue("LagSeconds") < 60.0);
    assert!((0.0..60.0).contains(&queue("DlqOldestAgeSeconds")));

    // What counts is written as growth.
    let meters = &source.runtimes()[0].meters;
    meters.lease_losses.add(2);
    assert_eq!(read(&emf(&source, &mut before)[1], "LeaseLosses", sets()), 2.0);
    assert_eq!(read(&emf(&source, &mut before)[1], "LeaseLosses", sets()), 0.0);
    drop(source);
    rig.end().await;
}

#[tokio::test]
async fn a_host_writes_them_to_stdout_where_the_config_says_so() {
    let rig = Setup::probe().without_host().await;
    let head = "admin = { listen = '127.0.0.1:0' }\ntelemetry = { emf = true, log_format = 'json' }";
    let config = config_file(&rig, head, "[queues.jobs]\ndlq = 'jobs-dlq'");
    let host = wasq([std::ffi::OsStr::new("run"), "--config".as_ref(), config.as_os_str()]).spawn();
    let line: Value = serde_json::from_str(&host.line("BreakersOpen").await).unwrap();
    assert_eq!(read(&line, "BreakersOpen", json!([["service"]])), 0.0);
    let log: Value = serde_json::from_str(&host.line("running").await).expect("the config says how logs are written");
    assert_eq!(log["message"], "running");
    crate::support::hosts::end(host).await;
    rig.end().await;
}
