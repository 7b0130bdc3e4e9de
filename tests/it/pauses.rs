//! Pausing and resuming: what is paused is held and not lost, counts no attempt, and stays so
//! across restarts and hosts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use wasq_core::pause::Pause;
use wasq_ledgers::Ledger;
use wasq_ledgers::local::LocalLedger;

use crate::cli::binary::wasq;
use crate::support::{Faulty, Plugin, Rig, Setup, Trouble, get, until};

/// Holds are short, so that nothing is waited for.
fn quick(setup: Setup) -> Setup {
    setup.config(|config| {
        config.limits.pause_refresh = Duration::from_millis(100);
        config.limits.pause_hold = Duration::from_secs(1);
    })
}

fn admin(rig: &Rig) -> String {
    rig.host().admin_addr().to_string()
}

#[tokio::test]
async fn a_paused_type_is_held_counts_no_attempt_and_goes_on_when_it_is_resumed() {
    let other = Plugin::probe("other").types(&["other"]);
    let rig = quick(Setup::probe().plugin(other)).start().await;
    let admin = admin(&rig);
    let paused = wasq(["pause", "probe", "--until", "1h", "--by", "ada", "--json", "--admin", &admin])
        .check(0, &[])
        .await
        .json();
    assert_eq!((&paused["pause"]["target"], &paused["pause"]["by"]), (&"type:probe".into(), &"ada".into()));

    rig.send(json!({ "do": "done" })).await;
    rig.message(json!({ "do": "done" })).kind("other").send().await;
    // It comes again and again, and is put back each time; the other type goes on.
    rig.until_exits("paused", 2).await;
    rig.until_exits("done", 1).await;
    assert_eq!(rig.runs(), 1);
    let counts = rig.counts("jobs").await;
    assert_eq!(counts.0 + counts.1 + counts.2, 1, "it stays in its queue: {counts:?}");
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    wasq(["status", "--admin", &admin]).check(0, &["ready", "paused: type:probe, by ada, until "]).await;
    let (status, ready) = rig.ready().await;
    assert!(status == 200 && ready.contains("type:probe is paused, by ada"), "{ready}");
    let (_, metrics) = get(rig.host().admin_addr(), "/metrics").await;
    assert!(metrics.contains(r#"wasq_paused{scope="type:probe"} 1"#), "{metrics}");

    wasq(["resume", "probe", "--admin", &admin]).check(0, &["resumed", "by ada"]).await;
    rig.until_exits("done", 2).await;
    rig.emptied().await;
    let (_, metrics) = get(rig.host().admin_addr(), "/metrics").await;
    assert!(metrics.contains(r#"wasq_attempts_total{type="probe",plugin="probe",attempt="1"} 1"#), "{metrics}");
    assert!(!metrics.contains("wasq_paused{"), "{metrics}");
    wasq(["resume", "probe", "--admin", &admin]).check(0, &["type:probe was not paused"]).await;
    rig.end().await;
}

#[tokio::test]
async fn a_paused_queue_is_not_polled_though_the_host_is_alive_and_ready() {
    let mut rig = quick(Setup::probe().queue("jobs", |queue| queue.wait = Duration::ZERO).queue("more", |_| ()))
        .without_host()
        .await;
    let ledger = Arc::new(LocalLedger::open(&rig.ledger_dir()).unwrap());
    rig.start_on(ledger.clone()).await;
    let admin = admin(&rig);
    wasq(["pause", "--queue", "jobs", "--admin", &admin])
        .check(0, &["paused: queue:jobs, by ", "until it is resumed"])
        .await;
    wasq(["pause", "--queue", "jbos", "--admin", &admin]).check(1, &["no queue `jbos`", "jobs, more"]).await;
    rig.send(json!({ "do": "done" })).await;
    rig.message(json!({ "do": "done" })).queue("more").send().await;
    rig.until_exits("done", 1).await;
    let counts = rig.counts("jobs").await;
    assert_eq!((counts.0 + counts.1 + counts.2, rig.runs()), (1, 1), "{counts:?}");
    let (live, _) = get(rig.host().admin_addr(), "/livez").await;
    let (ready, reasons) = rig.ready().await;
    assert!((live, ready) == (200, 200) && reasons.contains("queue:jobs is paused"), "{live} {ready} {reasons}");

    // Across a restart: the next host does not poll it once.
    rig.stop_host().await;
    let before = ledger.pauses("wasq").await.unwrap();
    assert_eq!(before.len(), 1);
    rig.start_on(ledger.clone()).await;
    rig.message(json!({ "do": "done" })).queue("more").send().await;
    rig.until_exits("done", 1).await;
    assert_eq!(rig.exits("paused"), 0, "nothing of it was received");

    // And through the ledger, as another host does it: this one hears of it.
    ledger.remove_pause("wasq", &before[0].target).await.unwrap();
    rig.until_exits("done", 2).await;
    rig.emptied().await;
    rig.end().await;
}

#[tokio::test]
async fn a_pause_passes_by_itself() {
    let rig = quick(Setup::probe()).start().await;
    let admin = admin(&rig);
    wasq(["pause", "probe", "--until", "12s", "--admin", &admin]).check(0, &["paused"]).await;
    rig.send(json!({ "do": "done" })).await;
    rig.until_exits("paused", 1).await;
    rig.until_exits("done", 1).await;
    assert_eq!(rig.services().pauses.current(wasq_core::clock::unix_ms()), []);
    wasq(["pause", "probe", "--until", "1970-01-01T00:00Z", "--admin", &admin])
        .check(1, &["give a time in the future"])
        .await;
    wasq(["pause", "nobody", "--admin", &admin])
        .check(0, &["note: no plugin of this host handles the type `nobody`"])
        .await;
    rig.end().await;
}

#[tokio::test]
async fn without_a_host_it_goes_to_the_ledger() {
    let mut rig = quick(Setup::probe()).start().await;
    let config = crate::cli::config_file(&rig, "", "[queues.jobs]\ndlq = 'jobs-dlq'");
    let config = config.to_str().unwrap().to_owned();
    let pause = || wasq(["pause", "probe", "--config", &config, "--by", "ada"]);
    pause().check(1, &["cannot open the ledger", "--admin", "in use"]).await;
    rig.stop_host().await;
    let ran = pause().check(0, &["paused: type:probe, by ada"]).await;
    assert!(ran.err.contains("audit") && ran.err.contains("type:probe"), "{}", ran.err);
    rig.start_host().await;
    rig.send(json!({ "do": "done" })).await;
    rig.until_exits("paused", 1).await;
    rig.stop_host().await;
    wasq(["resume", "probe", "--config", &config]).check(0, &["resumed", "by ada"]).await;
    rig.start_host().await;
    rig.until_exits("done", 1).await;
    rig.end().await;
}

#[tokio::test]
async fn a_fifo_queue_keeps_its_order_across_a_pause() {
    let setup = quick(Setup::probe().queue("jobs.fifo", |_| ()));
    let rig = setup.start().await;
    let admin = admin(&rig);
    wasq(["pause", "probe", "--admin", &admin]).check(0, &["paused"]).await;
    for n in 0..3 {
        rig.message(rig.sink.ask(&format!("n{n}"))).queue("jobs.fifo").group("g").send().await;
    }
    rig.until_exits("paused", 2).await;
    wasq(["resume", "probe", "--admin", &admin]).check(0, &["resumed"]).await;
    rig.until_called("n2", 1).await;
    assert_eq!(rig.sink.order(&["n0", "n1", "n2"]), ["n0", "n1", "n2"]);
    rig.end().await;
}

#[tokio::test]
async fn a_host_polls_nothing_until_it_knows_what_is_paused() {
    let mut rig = quick(Setup::probe()).without_host().await;
    let inner = LocalLedger::open(&rig.ledger_dir()).unwrap();
    let pause = Pause::new("type:probe".parse().unwrap(), "ada", wasq_core::clock::unix_ms(), None).unwrap();
    inner.put_pause("wasq", &pause).await.unwrap();
    let ledger = Faulty::new(inner, Trouble::NoPauses);
    rig.send(json!({ "do": "done" })).await;
    rig.start_on(ledger.clone()).await;
    let (status, reasons) = rig.ready().await;
    assert!(status == 503 && reasons.contains("what is paused cannot be read"), "{reasons}");
    let began = wasq_core::clock::now();
    until("a poll would have come", || async { began.elapsed() > Duration::from_secs(2) }).await;
    assert_eq!(rig.sqs.faults().calls("ReceiveMessage"), 0);
    ledger.set(Trouble::None);
    rig.until_exits("paused", 1).await;
    assert_eq!(rig.runs(), 0);
    rig.end().await;
}
