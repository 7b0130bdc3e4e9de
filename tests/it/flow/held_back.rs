//! What holds messages back, seen by all hosts; and the messages, which come back when it is gone
//! and not when their own time is over.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wasq::config::{OnOutage, RateConfig};
use wasq::host::Host;
use wasq_core::clock;
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::Ledger;
use wasq_ledgers::local::LocalLedger;
use wasq_queues::Broker;

use crate::cli::binary::wasq;
use crate::support::brokers::on_each_broker;
use crate::support::{Answer, Plugin, Rig, Setup, until};

/// The wait of a breaker. Every broker can hide messages for as long, and the 3 s that come on top.
const PROBE: Duration = Duration::from_secs(7);

on_each_broker!(messages_that_wait_for_a_breaker_come_back_when_it_closes);

async fn messages_that_wait_for_a_breaker_come_back_when_it_closes(broker: Broker) {
    let setup = Setup::probe().on(broker).config(|config| {
        config.limits.breaker_failures = 1;
        // By themselves they would come back 2 to 3 s after that.
        config.limits.breaker_probe = PROBE;
    });
    let rig = setup.start().await;
    let gate = rig.sink.hold("gate");
    rig.send(rig.sink.ask("gate")).await;
    rig.until_called("gate", 1).await;
    rig.sink.answers("work", [json!({ "do": "unavailable", "dependency": "bank" })]);
    let opened_at = clock::now();
    rig.send(rig.sink.ask("work")).await;
    rig.until_exits("unavailable", 1).await;
    for _ in 0..20 {
        rig.send(json!({ "do": "done" })).await;
    }
    rig.until_exits("breaker-open", 20).await;
    // A run that had begun before finds that what its plugin depends on is there.
    drop(gate);
    rig.until_exits("done", 22).await;
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 22);
    let hidden = &rig.admin("/status").await["hidden"];
    assert_eq!(hidden["messages"], 0);
    // On a machine so slow that a probe was due, some came back for that, too.
    if opened_at.elapsed() < PROBE {
        assert_eq!((rig.exits("breaker-open"), &hidden["shown"]), (20, &json!(21)));
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_for_a_pause_come_back_when_it_is_over() {
    let rig = Setup::probe().start().await;
    let (services, target) = (rig.services(), Target::Type("probe".into()));
    let now = || services.clock.unix_ms();
    services.ledger.put_pause(&services.scope, &Pause::new(target.clone(), "ann", now(), None).unwrap()).await.unwrap();
    until("it is paused", || async { services.pauses.has(&target, now()) }).await;
    for _ in 0..20 {
        rig.send(json!({ "do": "done" })).await;
    }
    rig.until_exits("paused", 20).await;
    until("they are hidden", || async { services.hidden.counts().0 == 20 }).await;
    services.ledger.remove_pause(&services.scope, &target).await.unwrap();
    rig.emptied().await;
    assert_eq!((rig.exits("done"), services.hidden.counts()), (20, (0, 20)));
    rig.end().await;
}

/// A rig with two hosts on one ledger.
async fn two_hosts(setup: Setup) -> (Rig, Host) {
    let mut rig = setup.without_host().await;
    let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(&rig.ledger_dir()).unwrap());
    rig.start_on(ledger.clone()).await;
    let other = Host::start_on(rig.config.clone(), ledger).await.unwrap();
    (rig, other)
}

/// The dependencies whose breakers are open on a host.
fn open(host: &Host) -> Vec<String> {
    let services = host.services();
    let open = services.breakers.status(services.clock.now()).into_iter().filter(|breaker| breaker.open);
    open.map(|breaker| breaker.dependency).collect()
}

fn probing(host: &Host) -> usize {
    let services = host.services();
    services.breakers.status(services.clock.now()).into_iter().filter(|breaker| breaker.probing).count()
}

fn runs(host: &Host) -> u64 {
    host.services().stats.snapshot().iter().map(|line| line.runs).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_is_told_by_retry_after_all_hosts_keep_to() {
    let (rig, other) = two_hosts(Setup::probe()).await;
    rig.sink.answers("api", [Answer::status(429).retry_after_s(60)]);
    rig.send(json!({ "do": "http", "url": rig.sink.url("api") })).await;
    until("both know", || async { open(rig.host()).len() == 1 && open(&other) == open(rig.host()) }).await;
    for _ in 0..20 {
        rig.send(json!({ "do": "done" })).await;
    }
    let held = |host: &Host| {
        let lines = host.services().stats.snapshot();
        lines.iter().filter_map(|line| line.exits.get("breaker-open")).sum::<u64>()
    };
    until("all wait", || async { held(rig.host()) + held(&other) >= 20 }).await;
    assert_eq!(runs(rig.host()) + runs(&other), 1);
    other.shutdown(std::future::ready(())).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_probes_for_all_and_its_success_is_theirs() {
    let (rig, other) = two_hosts(Setup::probe().config(|config| {
        config.limits.breaker_failures = 1;
        config.limits.breaker_probe = Duration::from_secs(1);
    }))
    .await;
    let down = json!({ "do": "unavailable", "dependency": "bank" });
    rig.sink.answers("work", [down.clone(), down]);
    let gate = rig.sink.hold("probe");
    rig.sink.answers("work", std::iter::repeat_n(rig.sink.ask("probe"), 20));
    for _ in 0..12 {
        rig.send(rig.sink.ask("work")).await;
    }
    // While it stands at the gate nobody else runs.
    let probes = || [rig.host(), &other].map(probing).into_iter().sum::<usize>();
    until("one probes", || async { probes() == 1 }).await;
    rig.until_called("probe", 1).await;
    assert_eq!((probes(), open(&other), open(rig.host())), (1, vec!["bank".to_owned()], vec!["bank".to_owned()]));
    drop(gate);
    rig.emptied().await;
    assert_eq!((open(rig.host()).len(), open(&other).len()), (0, 0));
    other.shutdown(std::future::ready(())).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_for_one_account_holds_no_other_account_back() {
    let partner = Plugin::probe("partner").types(&["partner"]).manifest("rates = ['partner:{/account}']");
    let rate = RateConfig { limit: "1000/s".parse().unwrap(), burst: 10, on_outage: OnOutage::Hold };
    let setup = Setup::new().plugin(partner).config(move |config| {
        config.rates.insert("partner".into(), rate);
    });
    let rig = setup.start().await;
    let call = |account: &str| json!({ "do": "http", "url": rig.sink.url(account), "account": account });
    rig.sink.answers("busy", [Answer::status(429).retry_after_s(60)]);
    rig.message(call("busy")).kind("partner").send().await;
    rig.until_exits("unavailable", 1).await;
    for _ in 0..5 {
        rig.message(call("busy")).kind("partner").send().await;
        rig.message(call("free")).kind("partner").send().await;
    }
    rig.until_called("free", 5).await;
    rig.until_exits("breaker-open", 5).await;
    assert_eq!(rig.sink.count("busy"), 1);
    let breakers = rig.admin("/status").await["breakers"].clone();
    assert_eq!((breakers.as_array().unwrap().len(), &breakers[0]["key"]), (1, &json!("partner:busy")), "{breakers}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_set_for_all_hosts_while_they_run() {
    let partner = Plugin::probe("partner").types(&["partner"]).manifest("rates = ['partner']");
    let rate = RateConfig { limit: "1/h".parse().unwrap(), burst: 1, on_outage: OnOutage::Hold };
    let (rig, other) = two_hosts(Setup::new().plugin(partner).config(move |config| {
        config.rates.insert("partner".into(), rate);
        config.limits.pause_refresh = Duration::from_millis(100);
    }))
    .await;
    for _ in 0..40 {
        rig.message(rig.sink.ask("calls")).kind("partner").send().await;
    }
    let hidden = |host: &Host| host.services().hidden.counts().0;
    until("all but one wait", || async { hidden(rig.host()) + hidden(&other) == 39 }).await;
    let admin = rig.host().admin_addr().to_string();
    let limits = |words: &[&str]| {
        let words = ["limits"].into_iter().chain(words.iter().copied()).chain(["--admin", &admin]);
        wasq(words.map(str::to_owned).collect::<Vec<_>>())
    };
    limits(&["set", "partner", "1000/s", "--until", "2h", "--by", "ann"])
        .check(0, &["set: rate:partner to 1000/s, by ann", "until"])
        .await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("calls"), 40);
    limits(&[]).check(0, &["1000/s", "set: rate:partner to 1000/s, by ann"]).await;
    let held = rig.admin("/limits").await["rates"][0].clone();
    assert_eq!((&held["limit"], &held["configured"]), (&json!("1000/s"), &json!("1/h")));
    limits(&["reset", "partner"]).check(0, &["reset; it was set: rate:partner to 1000/s"]).await;
    limits(&["reset", "partner"]).check(0, &["rate:partner was not set"]).await;
    until("the other host follows", || async { other.services().rates.status()[0].limit == "1/h" }).await;
    for (words, said) in [
        (["set", "nobody", "1/s"].as_slice(), "it has rate:partner"),
        (&["set", "partner", "20"], "write a number and its time"),
        (&["set", "partner", "1/s", "--until", "2001-01-01T00:00Z"], "is over already"),
    ] {
        limits(words).check(1, &[said]).await;
    }
    other.shutdown(std::future::ready(())).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_is_told_what_holds_messages_back() {
    let partner = Plugin::probe("partner").types(&["partner"]).manifest("rates = ['partner']");
    let rate = RateConfig { limit: "1/h".parse().unwrap(), burst: 1, on_outage: OnOutage::Hold };
    let (rig, other) = two_hosts(Setup::new().plugin(partner).config(move |config| {
        config.rates.insert("partner".into(), rate);
        config.telemetry.sample_interval = Duration::from_secs(1);
    }))
    .await;
    for _ in 0..40 {
        rig.message(rig.sink.ask("calls")).kind("partner").send().await;
    }
    let scale = async || -> Option<Value> {
        let (status, body) = crate::support::get(rig.host().admin_addr(), "/scale").await;
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    };
    until("it is said", || async {
        scale()
            .await
            .is_some_and(|scale| scale["hosts"] == 2 && scale["queues"][0]["limited_by"] == json!(["rate:partner"]))
    })
    .await;
    let scale = scale().await.unwrap();
    assert!(scale["hosts_wanted"].as_u64().unwrap() <= 2, "{scale}");
    assert_eq!((&scale["queues"][0]["name"], scale["queues"][0]["in_flight"].is_u64()), (&json!("jobs"), true));
    other.shutdown(std::future::ready(())).await;
    rig.end().await;
}
