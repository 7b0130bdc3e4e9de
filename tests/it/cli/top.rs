//! `wasq top`: what types and keys use, and whether it adds up to what the process does.

use std::time::Duration;

use serde_json::{Value, json};
use wasq::config::Config;

use super::binary::{Running, wasq};
use crate::support::{Plugin, Rig, Setup, get, hosts, until};

/// `wasq top` of a host, with a line of JSON an interval.
fn watch(admin: &str, more: &[&str]) -> Running {
    wasq([&["top", "--json", "--every", "50ms", "--admin", admin], more].concat()).spawn()
}

/// The lines until now, added up by these fields of `rows`.
fn total(top: &Running, rows: &str, is_it: impl Fn(&Value) -> bool, field: &str) -> f64 {
    let log = top.shown();
    let intervals = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows = intervals.flat_map(|interval| interval[rows].as_array().unwrap().clone());
    rows.filter(|row| is_it(row)).map(|row| row[field].as_f64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_what_types_and_tenants_use() {
    let probe = Plugin::probe("probe").manifest("cost_key = \"{/tenant}\"\n");
    let rig = Setup::new().plugin(probe).plugin(Plugin::probe("plain").types(&["plain"])).start().await;
    let admin = rig.host().admin_addr().to_string();
    let top = watch(&admin, &["--by", "egress"]);
    top.line("lines").await;
    let call = |tenant: &str, bytes: usize| {
        let body = "b".repeat(bytes);
        json!({ "do": "call", "method": "POST", "url": rig.sink.url("x"), "body": body, "tenant": tenant })
    };
    for (tenant, bytes) in [("acme", 5_000), ("zoo", 70), ("acme", 1_000)] {
        rig.send(call(tenant, bytes)).await;
    }
    rig.send(json!({ "do": "done" })).await;
    rig.message(call("none of it", 9)).kind("plain").send().await;
    let of = |field: &'static str, name: &'static str| move |row: &Value| row[field] == name;
    let line = |kind, field| total(&top, "lines", of("type", kind), field);
    let key = |name, field| total(&top, "keys", of("key", name), field);
    until("all runs are seen", || async {
        let lines = (line("probe", "runs"), line("plain", "runs"));
        lines == (4.0, 1.0) && (key("acme", "runs"), key("zoo", "runs")) == (2.0, 1.0)
    })
    .await;
    assert_eq!((line("probe", "sent_bytes"), line("plain", "sent_bytes")), (6_070.0, 9.0));
    assert!(line("probe", "received_bytes") > 0.0 && line("probe", "cpu_s") > 0.0);
    assert!(line("probe", "run_s") >= line("probe", "cpu_s"));
    assert_eq!((key("acme", "sent_bytes"), key("zoo", "sent_bytes")), (6_000.0, 70.0));
    // It sent nothing, and weighs nothing here; the other plugin has no key.
    assert_eq!((key("(none)", "runs"), key("none of it", "runs")), (0.0, 0.0));
    top.signal("INT").await;
    assert_eq!(top.ends_within(Duration::from_secs(10)).await, Some(0));

    rig.send(json!({ "do": "done" })).await;
    rig.until_exits("done", 6).await;
    let whole = rig.admin("/top?by=cpu").await;
    let keys: Vec<_> = whole["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert_eq!(whole["lines"][1]["calls"], json!({ "http": 3, "outbox": 0, "step": 0, "log": 0 }));
    let (_, page) = get(rig.host().admin_addr(), "/dashboard/plugins").await;
    assert!(page.contains("Keys that compute the most") && page.contains("acme"), "{page}");
    wasq(["top", "--once", "--every", "10ms", "--admin", &admin])
        .check(0, &["cpu %", "(the host itself)", "(all)"])
        .await;
    wasq(["top", "--by", "luck"]).check(2, &["luck", "egress"]).await;
    rig.end().await;
}

#[tokio::test]
async fn keys_are_for_those_who_have_the_token() {
    const TOKEN: &str = "a-token-of-this-test";
    let with_token = |config: &mut Config| {
        let file = config.plugins_dir.parent().unwrap().join("token");
        std::fs::write(&file, TOKEN).unwrap();
        config.admin.token_file = Some(file);
    };
    let rig = Setup::probe().config(with_token).start().await;
    let admin = rig.host().admin_addr().to_string();
    let top = || wasq(["top", "--once", "--every", "10ms", "--admin", &admin]);
    top().check(1, &["401", "WASQ_ADMIN_TOKEN"]).await;
    top().env("WASQ_ADMIN_TOKEN", TOKEN).check(0, &["(all)"]).await;
    rig.end().await;
}

/// How far apart two sums of processor time may be.
const TOLERANCE: f64 = 0.1;
/// What is used between the two looks, so that the kernel's hundredths of a second do not count.
const ENOUGH_S: f64 = 2.0;

/// What a process's threads have had, by their kernel's account: all of them, the runs that compute
/// in threads of their own, and the runtime's workers.
#[derive(Clone, Copy)]
struct Account {
    process_s: f64,
    heavy_s: f64,
    workers_s: f64,
}

impl Account {
    fn of(process: u32) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let threads: Vec<_> = threads.filter_map(|thread| stat(&thread.unwrap().path())).collect();
        let named = |name: &str| threads.iter().filter(|(own, _)| own.starts_with(name)).map(|(_, s)| s).sum::<f64>();
        let (_, process_s) = stat(format!("/proc/{process}").as_ref()).unwrap();
        Self { process_s, heavy_s: named("wasq-heavy"), workers_s: named("tokio-") }
    }
}

/// The name and the seconds of user and system time, of a process or a thread that is still there
/// (proc_pid_stat(5)).
fn stat(dir: &std::path::Path) -> Option<(String, f64)> {
    let text = std::fs::read_to_string(dir.join("stat")).ok()?;
    let (head, fields) = text.rsplit_once(") ")?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<_> = fields.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    Some((name, ticks / 100.0))
}

/// What the host says, and the kernel's account just before and just behind it.
async fn look(host: &Running) -> (Account, Value, Account) {
    let before = Account::of(host.id());
    let top: Value = serde_json::from_str(&hosts::admin(host, "/top").await.1).unwrap();
    (before, top, Account::of(host.id()))
}

async fn busy_host() -> (Rig, Running) {
    let computes = Plugin::probe("computes").types(&["computes"]).manifest("timeout = \"10m\"\n");
    let bare = std::fs::read(wasq_tests::guest("bare")).unwrap();
    let light = Plugin::component("light", bare).types(&["light"]).manifest("[idempotency]\nmode = \"none\"\n");
    let light = light.without_queues();
    let rig = Setup::new().plugin(computes).plugin(light).without_host().await;
    let host = hosts::run(&rig, &hosts::local(&rig)).await;
    // More than there are cores, so that the light ones are displaced.
    for _ in 0..3 {
        rig.message(json!({ "do": "loop" })).kind("computes").send().await;
    }
    let process = host.id();
    until("three handlers compute", || async { Account::of(process).heavy_s > 0.3 }).await;
    (rig, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_types_and_of_the_host_add_up_to_the_processs_own() {
    let (rig, host) = busy_host().await;
    let (outer_before, first, inner_before) = look(&host).await;
    let mut sent = 0;
    while Account::of(host.id()).process_s < inner_before.process_s + ENOUGH_S {
        for _ in 0..10 {
            rig.message(json!({ "do": "done" })).kind("light").send().await;
            sent += 1;
        }
        assert!(sent < 100_000, "the host does nothing");
    }
    hosts::until_exits(&host, "done", 1).await;
    let (inner_after, second, outer_after) = look(&host).await;

    let cpu_s = |top: &Value, kind: &str| {
        let lines = top["lines"].as_array().unwrap().clone();
        lines.iter().filter(|line| line["type"] == kind).map(|line| line["cpu_s"].as_f64().unwrap()).sum::<f64>()
    };
    let grew = |of: &dyn Fn(&Value) -> f64| of(&second) - of(&first);
    let (computes, light) = (grew(&|top| cpu_s(top, "computes")), grew(&|top| cpu_s(top, "light")));
    let process = grew(&|top| top["process_cpu_s"].as_f64().unwrap());
    // What was between the looks is between the inner and the outer accounts.
    let agrees = |what: &str, said: f64, of: fn(&Account) -> f64| {
        let inner = of(&inner_after) - of(&inner_before);
        let outer = of(&outer_after) - of(&outer_before);
        let is_within = said >= inner * (1.0 - TOLERANCE) - 0.02 && said <= outer * (1.0 + TOLERANCE) + 0.02;
        assert!(is_within, "{what}: the host says {said:.3} s, and the kernel {inner:.2} to {outer:.2} s");
    };
    agrees("the process", process, |account| account.process_s);
    agrees("handlers that compute", computes, |account| account.heavy_s);
    let workers = outer_after.workers_s - outer_before.workers_s;
    assert!(light > 0.0 && light <= workers, "light handlers: {light:.3} s of {workers:.2} s that workers had");
    assert!(computes + light <= process * (1.0 + TOLERANCE), "{computes} and {light} of {process}");
    host.kill().await;
    rig.end().await;
}
