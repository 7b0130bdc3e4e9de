//! Limits of the whole fleet: rates and pools, on one host and on four, of which some are killed. The
//! sink counts, not the hosts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use wasq::config::{OnOutage, PoolConfig, PoolScope, RateConfig};
use wasq::host::Host;
use wasq_ledgers::Ledger;
use wasq_ledgers::local::LocalLedger;

use crate::cli::binary::wasq;
use crate::support::servers::postgres;
use crate::support::{Plugin, Rig, Setup, hosts, until};

/// How late a start may be beside its slot: `bucket.rs` loses later ones. Calls take their way.
const LATE: Duration = Duration::from_millis(400);

fn rate(limit: &str, burst: u32) -> RateConfig {
    RateConfig { limit: limit.parse().unwrap(), burst, on_outage: OnOutage::Hold }
}

fn limited(name: &str, lines: &str) -> Plugin {
    Plugin::probe(name).types(&[name]).manifest(lines)
}

/// A rig whose plugin `partner` keeps to the rate `partner`.
fn setup(limit: &'static str, burst: u32) -> Setup {
    Setup::new().plugin(limited("partner", "rates = ['partner']")).config(move |config| {
        config.rates.insert("partner".into(), rate(limit, burst));
        config.limits.permit_wait = Duration::from_secs(60);
    })
}

async fn send(rig: &Rig, kind: &str, name: &str, count: usize) {
    let sends = (0..count).map(|_| rig.message(rig.sink.ask(name)).kind(kind).send());
    futures::future::join_all(sends).await;
}

/// No call comes earlier than the rate allows, but for what may be late.
fn assert_held(rig: &Rig, name: &str, rate: RateConfig) {
    let interval = rate.limit.per / rate.limit.count;
    let tolerance = interval * (rate.burst - 1) + LATE;
    let calls = rig.sink.calls(name);
    let mut next = calls[0].at;
    for (n, call) in calls.iter().enumerate() {
        let early = next.saturating_duration_since(call.at);
        assert!(early <= tolerance, "call {n} of {} comes {early:?} too early", calls.len());
        next = next.max(call.at) + interval;
    }
}

fn took(rig: &Rig, name: &str) -> Duration {
    let calls = rig.sink.calls(name);
    calls.last().unwrap().at - calls[0].at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_on_one_host_and_is_used_whole() {
    let rig = setup("50/s", 1).start().await;
    send(&rig, "partner", "calls", 100).await;
    rig.until_called("calls", 100).await;
    assert_held(&rig, "calls", rate("50/s", 1));
    assert!(took(&rig, "calls") >= Duration::from_millis(1_700), "{:?}", took(&rig, "calls"));
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 100, "each ran once, and no attempt was counted for waiting");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_rate_holds_up_nothing_else() {
    let setup = setup("1/h", 1).plugin(limited("free", ""));
    let rig = setup.config(|config| config.limits.max_instances = 4).start().await;
    send(&rig, "partner", "slow", 200).await;
    rig.until_exits("rate-limited", 100).await;
    send(&rig, "free", "fast", 20).await;
    rig.until_called("fast", 20).await;
    let status = rig.admin("/limits").await;
    let partner = &status["rates"][0];
    assert_eq!(
        (&partner["name"], &partner["limit"], &partner["started"]),
        (&json!("partner"), &json!("1/h"), &json!(1))
    );
    assert_eq!(rig.admin("/status").await["rates"][0]["name"], "partner");
    let addr = rig.host().admin_addr().to_string();
    wasq(["limits", "--admin", &addr]).check(0, &["partner", "1/h", "waiting"]).await;
    wasq(["limits", "--json", "--admin", &addr]).check(0, &["\"started\": 1"]).await;
    assert_eq!(rig.sink.count("slow"), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_account_has_the_rate_for_itself() {
    let setup = Setup::new().plugin(limited("partner", "rates = ['partner:{/account}']"));
    let rig = setup.config(|config| config.rates.extend([("partner".to_owned(), rate("1/h", 1))])).start().await;
    for account in ["a", "b", "c", "a", "b", "c"] {
        let order = json!({ "do": "ask", "url": rig.sink.url(account), "account": account });
        rig.message(order).kind("partner").send().await;
    }
    // Two without an account are of one bucket of their own.
    send(&rig, "partner", "none", 2).await;
    for name in ["a", "b", "c", "none"] {
        rig.until_called(name, 1).await;
    }
    rig.until_exits("rate-limited", 4).await;
    assert_eq!(["a", "b", "c", "none"].map(|name| rig.sink.count(name)), [1; 4]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_on_four_hosts_of_one_ledger() {
    let mut rig = setup("60/s", 5).without_host().await;
    let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(&rig.ledger_dir()).unwrap());
    rig.start_on(ledger.clone()).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Host::start_on(rig.config.clone(), ledger.clone()).await.unwrap());
    }
    send(&rig, "partner", "calls", 150).await;
    rig.until_called("calls", 150).await;
    assert_held(&rig, "calls", rate("60/s", 5));
    rig.emptied().await;
    let runs = |host: &Host| host.services().rates.status()[0].started;
    let each: Vec<_> = others.iter().map(runs).chain([runs(rig.host())]).collect();
    assert!(each.iter().all(|started| *started >= 5), "{each:?}");
    rig.sqs.end_long_polls();
    for host in others {
        host.shutdown(std::future::pending()).await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_the_fleet_is_never_exceeded_and_is_given_back() {
    let setup = Setup::new().plugin(limited("db", "pools = ['db']"));
    let mut rig = setup
        .config(|config| {
            let pool = PoolConfig { size: 5, scope: PoolScope::Fleet, on_outage: OnOutage::Hold };
            config.pools.insert("db".into(), pool);
            config.limits.permit_wait = Duration::from_secs(60);
        })
        .without_host()
        .await;
    let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(&rig.ledger_dir()).unwrap());
    rig.start_on(ledger.clone()).await;
    let other = Host::start_on(rig.config.clone(), ledger.clone()).await.unwrap();
    let hold = rig.sink.hold("db");
    send(&rig, "db", "db", 40).await;
    rig.until_called("db", 5).await;
    let leased = |host: &Host| host.services().fleet_pools.status()[0].leased;
    assert_eq!(leased(rig.host()) + leased(&other), 5);
    drop(hold);
    rig.emptied().await;
    assert_eq!((rig.sink.count("db"), rig.sink.most_open("db")), (40, 5));
    // What one host gives back at its end the other has at once.
    rig.sqs.end_long_polls();
    other.shutdown(std::future::pending()).await;
    send(&rig, "db", "db", 10).await;
    let all = || async { leased(rig.host()) == 5 };
    until("the host has the whole pool", all).await;
    rig.emptied().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_exceed_neither_rate_nor_pool() {
    let lines = "rates = ['partner']\npools = ['db']\ntimeout = '5s'";
    let setup = Setup::new().plugin(limited("partner", lines)).queue("jobs", |queue| {
        queue.visibility = Duration::from_secs(4);
        queue.wait = Duration::from_secs(1);
    });
    let rig = setup
        .config(|config| {
            config.rates.insert("partner".into(), rate("40/s", 1));
            let pool = PoolConfig { size: 3, scope: PoolScope::Fleet, on_outage: OnOutage::Hold };
            config.pools.insert("db".into(), pool);
        })
        .without_host()
        .await;
    let server = postgres();
    let ledger = hosts::postgres(server, server.port(), &format!("limits_{}", fastrand::u64(..)));
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(hosts::run(&rig, &ledger).await);
    }
    send(&rig, "partner", "calls", 200).await;
    rig.until_called("calls", 40).await;
    running.remove(0).signal("KILL").await;
    rig.until_called("calls", 90).await;
    running.remove(0).signal("KILL").await;
    rig.until_called("calls", 200).await;
    rig.emptied().await;
    assert_held(&rig, "calls", rate("40/s", 1));
    assert!(rig.sink.most_open("calls") <= 3, "{}", rig.sink.most_open("calls"));
    for host in running {
        hosts::end(host).await;
    }
    rig.end().await;
}
