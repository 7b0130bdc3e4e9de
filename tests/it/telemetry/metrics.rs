//! `/metrics`, read as Prometheus reads it, against what was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use wasq::telemetry::metrics::{ALL, Kind};

use crate::cli::binary::client;
use crate::support::{Rig, Setup, get, until};

/// A scrape, read by Prometheus's own client.
#[derive(Debug)]
struct Scrape(Vec<(String, BTreeMap<String, String>, f64)>);

impl Scrape {
    async fn of(rig: &Rig) -> Self {
        let (status, text) = get(rig.host().admin_addr(), "/metrics").await;
        assert_eq!(status, 200, "{text}");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/prometheus.py");
        let read = client("python", [script]).input(&text).run().await;
        assert_eq!(read.code, Some(0), "{}\n{text}", read.err);
        let samples: Vec<(String, BTreeMap<String, String>, String)> = serde_json::from_str(&read.out).unwrap();
        let number = |value: &str| if value == "inf" { f64::INFINITY } else { value.parse().unwrap() };
        Self(samples.into_iter().map(|(name, labels, value)| (name, labels, number(&value))).collect())
    }

    /// The values of all series that have these labels, among others; `type` and `plugin` of the
    /// probe need not be said.
    fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let has = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| of.get(*label).is_some_and(|of| of == value))
        };
        self.0.iter().filter(|(of, by, _)| of == name && has(by)).map(|(.., value)| *value).collect()
    }

    /// The value of the one series that has these labels.
    fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.all(name, labels);
        assert_eq!(all.len(), 1, "series {name} {labels:?}: {self:#?}");
        all[0]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_tells_what_was_sent_and_how_it_ended() {
    let setup = Setup::probe().config(|config| config.telemetry.sample_interval = Duration::from_secs(1));
    let rig = setup.config(|config| config.pools = [("smtp".to_owned(), 3.into())].into()).start().await;
    for _ in 0..3 {
        rig.send(json!({ "do": "done" })).await;
    }
    rig.sink.answers("later", [json!({ "do": "retry", "reason": "later" })]);
    rig.send(rig.sink.ask("later")).await;
    rig.send(json!({ "do": "reject", "reason": "never" })).await;
    rig.message(json!({ "do": "done" })).key("k").send().await;
    rig.until_exits("done", 5).await;
    rig.message(json!({ "do": "done" })).key("k").send().await;
    rig.message("{}").kind("we\"ird\\ty\npe").send().await;
    rig.until_exits("unroutable", 1).await;
    until("the last is settled", || async { rig.counts("jobs").await == (0, 1, 0) }).await;
    until("a sample has seen the DLQ and what is hidden", || async {
        let (_, text) = get(rig.host().admin_addr(), "/metrics").await;
        [
            "wasq_dlq_messages{queue=\"jobs\"} 1\n",
            "wasq_dlq_oldest_age_seconds{queue=\"jobs\"}",
            "wasq_queue_messages{queue=\"jobs\",state=\"visible\"} 0\n",
            "wasq_queue_messages{queue=\"jobs\",state=\"in_flight\"} 1\n",
            // No sample's: counted when the last call is confirmed.
            "wasq_settle_duration_seconds_count{queue=\"jobs\"} 9\n",
            "wasq_in_hand{queue=\"jobs\"} 0\n",
        ]
        .iter()
        .all(|line| text.contains(line))
    })
    .await;

    let scrape = Scrape::of(&rig).await;
    let probe = [("type", "probe"), ("plugin", "probe")];
    let exits = |exit, settlement| {
        let labels = [("type", "probe"), ("plugin", "probe"), ("exit", exit), ("settlement", settlement)];
        scrape.one("wasq_exits_total", &labels)
    };
    assert_eq!(exits("done", "delete"), 5.0);
    assert_eq!(exits("retry", "delay"), 1.0);
    assert_eq!(exits("reject", "dead-letter"), 1.0);
    assert_eq!(exits("duplicate", "delete"), 1.0);
    let weird = [("type", "we\"ird\\ty\npe"), ("plugin", ""), ("exit", "unroutable"), ("settlement", "delay")];
    assert_eq!(scrape.one("wasq_exits_total", &weird), 1.0);
    assert_eq!(scrape.all("wasq_exits_total", &[]).iter().sum::<f64>(), 9.0);
    assert_eq!(scrape.one("wasq_duplicates_total", &probe), 1.0);
    assert_eq!(scrape.one("wasq_attempts_total", &[("attempt", "1")]), 6.0);
    assert_eq!(scrape.one("wasq_attempts_total", &[("attempt", "2")]), 1.0);

    for name in
        ["wasq_queue_wait_seconds", "wasq_run_duration_seconds", "wasq_guest_cpu_seconds", "wasq_guest_memory_bytes"]
    {
        assert_eq!(scrape.one(&format!("{name}_count"), &probe), 7.0, "{name}");
        let last = [probe[0], probe[1], ("le", "+Inf")];
        assert_eq!(scrape.one(&format!("{name}_bucket"), &last), 7.0, "{name}");
        assert!(scrape.one(&format!("{name}_sum"), &probe) > 0.0, "{name}");
    }
    assert_eq!(scrape.one("wasq_retry_delay_seconds_count", &probe), 1.0);
    let (wall, cpu) =
        (scrape.one("wasq_run_duration_seconds_sum", &probe), scrape.one("wasq_guest_cpu_seconds_sum", &probe));
    assert!(cpu < wall, "{cpu} s of {wall} s");

    assert!(scrape.one("wasq_process_cpu_seconds_total", &[]) > cpu);
    // The one that was asked twice.
    assert_eq!(scrape.one("wasq_host_calls_total", &[probe[0], probe[1], ("call", "http")]), 2.0);
    assert!(scrape.all("wasq_host_calls_total", &[("call", "outbox")]).is_empty());
    for direction in ["sent", "received"] {
        assert!(scrape.one("wasq_egress_bytes_total", &[probe[0], probe[1], ("direction", direction)]) > 0.0);
    }

    let jobs = [("queue", "jobs")];
    assert_eq!(scrape.one("wasq_received_total", &jobs), 9.0);
    assert_eq!(scrape.one("wasq_settle_duration_seconds_count", &jobs), 9.0);
    assert_eq!(scrape.one("wasq_dlq_messages", &jobs), 1.0);
    assert!((0.0..60.0).contains(&scrape.one("wasq_dlq_oldest_age_seconds", &jobs)));
    assert_eq!(scrape.one("wasq_queue_messages", &[("queue", "jobs"), ("state", "visible")]), 0.0);
    assert_eq!(scrape.one("wasq_in_hand", &jobs), 0.0);
    assert_eq!(scrape.one("wasq_concurrency", &jobs), 64.0);
    assert_eq!(scrape.one("wasq_lease_losses_total", &jobs), 0.0);
    assert_eq!(scrape.one("wasq_settle_failures_total", &[("operation", "delete")]), 0.0);
    let polled_s = scrape.one("wasq_last_poll_timestamp_seconds", &jobs);
    assert!((wasq_core::clock::unix_ms().0 as f64 / 1_000.0 - polled_s).abs() < 60.0, "{polled_s}");

    let catalog = rig.services().catalogs.current();
    let digest = &catalog.plugins().next().unwrap().digest[..12];
    assert_eq!(scrape.one("wasq_plugin_info", &[("plugin", "probe"), ("digest", digest), ("role", "stable")]), 1.0);
    assert_eq!(scrape.one("wasq_permits_limit", &[("pool", "host")]), 32.0);
    assert_eq!(scrape.one("wasq_permits_limit", &[("pool", "plugin:probe")]), 32.0);
    assert_eq!(scrape.one("wasq_permits_limit", &[("pool", "pool:smtp")]), 3.0);
    assert_eq!(scrape.one("wasq_permits_busy", &[("pool", "plugin:probe")]), 0.0);
    for name in ["wasq_ready", "wasq_ledger_up", "wasq_build_info"] {
        assert_eq!(scrape.one(name, &[]), 1.0, "{name}");
    }
    assert_eq!(scrape.one("wasq_plugin_load_failures", &[]), 0.0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_and_what_is_down_shows_while_it_is_so() {
    let rig = Setup::probe().config(|config| config.limits.breaker_failures = 1).start().await;
    let hold = rig.sink.hold("slow");
    rig.send(rig.sink.ask("slow")).await;
    rig.until_called("slow", 1).await;
    let scrape = Scrape::of(&rig).await;
    assert_eq!(scrape.one("wasq_in_hand", &[]), 1.0);
    assert_eq!(scrape.one("wasq_permits_busy", &[("pool", "host")]), 1.0);
    assert_eq!(scrape.one("wasq_permits_busy", &[("pool", "plugin:probe")]), 1.0);
    assert!(scrape.all("wasq_breaker_state", &[]).is_empty());
    drop(hold);
    rig.until_exits("done", 1).await;

    rig.send(json!({ "do": "unavailable", "dependency": "db" })).await;
    rig.until_exits("unavailable", 1).await;
    let scrape = Scrape::of(&rig).await;
    let breaker = [("plugin", "probe"), ("dependency", "db")];
    assert!(scrape.one("wasq_breaker_state", &breaker) > 0.0);
    let since_s = scrape.one("wasq_breaker_open_since_timestamp_seconds", &breaker);
    assert!((wasq_core::clock::unix_ms().0 as f64 / 1_000.0 - since_s).abs() < 60.0, "{since_s}");
    rig.end().await;
}

#[tokio::test]
async fn every_metric_has_its_help_and_type_from_the_start() {
    let rig = Setup::probe().start().await;
    let (_, text) = get(rig.host().admin_addr(), "/metrics").await;
    let types: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let kind = |kind| match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let expect: BTreeSet<_> = ALL.iter().map(|metric| format!("{} {}", metric.name, kind(metric.kind))).collect();
    assert_eq!(types, expect.iter().map(String::as_str).collect());
    for metric in ALL {
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
    }
    rig.end().await;
}
