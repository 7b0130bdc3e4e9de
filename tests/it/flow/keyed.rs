//! Keyed concurrency: how many messages of a key run at once, on one host and on all of them. The
//! sink counts, not the hosts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wasq::host::Host;
use wasq_ledgers::Ledger;
use wasq_ledgers::local::LocalLedger;

use crate::cli::binary::wasq;
use crate::support::servers::postgres;
use crate::support::{Plugin, Rig, Setup, hosts, until};

fn setup(keyed: &str) -> Setup {
    let plugin = Plugin::probe("tenants").types(&["tenants"]).manifest(&format!("keyed_concurrency = {keyed}"));
    Setup::new().plugin(plugin).config(|config| config.limits.permit_wait = Duration::from_secs(60))
}

fn order(rig: &Rig, tenant: &str) -> Value {
    json!({ "do": "ask", "url": rig.sink.url(tenant), "tenant": tenant })
}

async fn send(rig: &Rig, tenant: &str, count: usize) {
    let sends = (0..count).map(|_| rig.message(order(rig, tenant)).kind("tenants").send());
    futures::future::join_all(sends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_key_as_many_run_at_once_as_the_manifest_says() {
    let rig = setup("{ key = '{/tenant}', max = 2 }").start().await;
    let hold = rig.sink.hold("noisy");
    send(&rig, "noisy", 30).await;
    rig.until_called("noisy", 2).await;
    // Those without a key are of one more value, and so is a key of any length.
    let huge = "x".repeat(100_000);
    for n in 0..3 {
        let body = json!({ "do": "ask", "url": rig.sink.url("huge"), "tenant": huge, "n": n });
        rig.message(body).kind("tenants").send().await;
        rig.message(json!({ "do": "ask", "url": rig.sink.url("none"), "n": n })).kind("tenants").send().await;
    }
    send(&rig, "quiet", 5).await;
    for (name, count) in [("quiet", 5), ("huge", 3), ("none", 3)] {
        rig.until_called(name, count).await;
        assert!(rig.sink.most_open(name) <= 2, "{name}: {}", rig.sink.most_open(name));
    }
    assert_eq!(rig.sink.count("noisy"), 2, "the others have not waited for them");
    let status = rig.admin("/limits").await["keyed"][0].clone();
    assert_eq!(
        (&status["plugin"], &status["max"], &status["scope"], &status["top"][0]["key"], &status["top"][0]["running"]),
        (&json!("tenants"), &json!(2), &json!("host"), &json!("noisy"), &json!(2))
    );
    assert_eq!(rig.admin("/status").await["keyed"][0]["keys"], 4);
    let addr = rig.host().admin_addr().to_string();
    wasq(["limits", "--admin", &addr]).check(0, &["tenants", "host", "noisy (2 running", "blake3:", "(no key)"]).await;
    drop(hold);
    rig.emptied().await;
    assert_eq!((rig.sink.count("noisy"), rig.sink.most_open("noisy")), (30, 2));
    assert_eq!(rig.exits("done"), 41, "each ran once, and no attempt was counted for waiting");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_key_for_long_is_hidden_and_comes_back() {
    let setup = setup("{ key = '{/tenant}', max = 1 }").config(|config| {
        config.limits.rate_wait = Duration::from_millis(100);
        config.limits.rate_waiting = 4;
    });
    let rig = setup.start().await;
    let hold = rig.sink.hold("noisy");
    send(&rig, "noisy", 12).await;
    rig.until_exits("key-limited", 11).await;
    drop(hold);
    rig.emptied().await;
    assert_eq!((rig.sink.count("noisy"), rig.sink.most_open("noisy")), (12, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_count_the_runs_of_a_key_together_and_take_turns() {
    let mut rig = setup("{ key = '{/tenant}', max = 1, scope = 'fleet' }").without_host().await;
    let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(&rig.ledger_dir()).unwrap());
    rig.start_on(ledger.clone()).await;
    let other = Host::start_on(rig.config.clone(), ledger.clone()).await.unwrap();
    for tenant in ["a", "b", "c"] {
        send(&rig, tenant, 20).await;
    }
    rig.emptied().await;
    for tenant in ["a", "b", "c"] {
        assert_eq!((rig.sink.count(tenant), rig.sink.most_open(tenant)), (20, 1), "{tenant}");
    }
    // Nobody keeps what nobody uses.
    let given_back = || async {
        let left = ledger.documents(&rig.config.scope).expect("it has some").list("pool/key/", 10, None).await.unwrap();
        left.iter().all(|found| !String::from_utf8_lossy(&found.value).contains("permits\":1"))
    };
    until("the leases are given back", given_back).await;
    rig.sqs.end_long_polls();
    other.shutdown(std::future::pending()).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_exceed_no_keys_limit() {
    let lines = "keyed_concurrency = { key = '{/tenant}', max = 2, scope = 'fleet' }\ntimeout = '5s'";
    let setup = Setup::new().plugin(Plugin::probe("tenants").types(&["tenants"]).manifest(lines));
    let rig = setup
        .queue("jobs", |queue| {
            queue.visibility = Duration::from_secs(4);
            queue.wait = Duration::from_secs(1);
        })
        .without_host()
        .await;
    let server = postgres();
    let ledger = hosts::postgres(server, server.port(), &format!("keyed_{}", fastrand::u64(..)));
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(hosts::run(&rig, &ledger).await);
    }
    for tenant in ["a", "b"] {
        send(&rig, tenant, 60).await;
    }
    rig.until_called("a", 20).await;
    running.remove(0).signal("KILL").await;
    rig.until_called("a", 60).await;
    rig.until_called("b", 60).await;
    rig.emptied().await;
    for tenant in ["a", "b"] {
        assert!(rig.sink.most_open(tenant) <= 2, "{tenant}: {}", rig.sink.most_open(tenant));
    }
    for host in running {
        hosts::end(host).await;
    }
    rig.end().await;
}
