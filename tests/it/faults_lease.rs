//! Hosts that stand still past their leases, and leases whose renewals get no answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use wasq_core::message::Key;
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Fence, Finish, Ledger, LedgerError};
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker_but_kafka;
use crate::support::servers::postgres;
use crate::support::{Faulty, Plugin, Rig, Setup, Trouble, hosts, until};

on_each_broker_but_kafka!(a_host_that_stood_still_past_its_lease_changes_nothing_when_it_wakes);

fn short_leases() -> Setup {
    Setup::probe()
        .plugin(Plugin::probe("mail").types(&["mail"]))
        .queue("jobs", |queue| queue.visibility = Duration::from_secs(10))
        .queue("mails", |_| {})
}

/// What a handler does late: a step, then an outbox.
fn late_work(rig: &Rig) -> Value {
    let outbox = json!({
        "do": "outbox", "queue": "mails", "kind": "mail", "count": 1, "body": rig.sink.ask("mail"),
        "then": { "do": "done" },
    });
    json!({ "do": "steps", "urls": { "late": rig.sink.url("late") }, "then": outbox })
}

async fn a_host_that_stood_still_past_its_lease_changes_nothing_when_it_wakes(broker: Broker) {
    let rig = short_leases().on(broker).without_host().await;
    let ledger = hosts::postgres(postgres(), postgres().port(), &format!("stood_still_{broker}"));
    rig.sink.answers("work", [late_work(&rig), late_work(&rig)]);
    let hold = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    let sleeper = hosts::run(&rig, &ledger).await;
    rig.until_called("work", 1).await;
    sleeper.signal("STOP").await;
    let other = hosts::run(&rig, &ledger).await;
    rig.until_called("work", 2).await;
    // Both are answered; the sleeper will find its answer when it wakes.
    drop(hold);
    rig.emptied().await;
    let (deletes, sends) = ("DeleteMessageBatch", "SendMessageBatch");
    let before = [deletes, sends].map(|operation| rig.sqs.faults().calls(operation));

    sleeper.signal("CONT").await;
    hosts::until_exits(&sleeper, "lease-lost", 1).await;
    // It works on, with nothing left of what it had begun.
    hosts::end(other).await;
    assert_eq!(
        [deletes, sends].map(|operation| rig.sqs.faults().calls(operation)),
        before,
        "nothing was settled or sent"
    );
    assert_eq!((rig.sink.count("work"), rig.sink.count("late"), rig.sink.count("mail")), (2, 1, 1));
    rig.send(rig.sink.ask("next")).await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("next"), hosts::exits(&sleeper, "done").await), (1, 1));
    assert_eq!((rig.counts("jobs-dlq").await, rig.counts("mails-dlq").await), ((0, 0, 0), (0, 0, 0)));
    hosts::end(sleeper).await;
    rig.end().await;
}

/// A ledger whose first claim is another's before its answer arrives, as by a host that stood still
/// over it.
struct Robbed {
    inner: LocalLedger,
    thief: tokio::sync::Mutex<Option<(Key, Fence)>>,
}

#[async_trait]
impl Ledger for Robbed {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        let mut thief = self.thief.lock().await;
        if thief.is_some() {
            return self.inner.claim(key, request).await;
        }
        let ours = self.inner.claim(key, &ClaimRequest { lease: Duration::ZERO, ..request.clone() }).await?;
        let Claim::Fresh(theirs) = self.inner.claim(key, request).await? else { panic!("the lease has ended") };
        *thief = Some((key, theirs.fence));
        Ok(ours)
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        self.inner.extend(claims, lease).await
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        self.inner.finish(key, fence, finish).await
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.inner.get_step(key, fence, name).await
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        self.inner.put_step(key, fence, name, value).await
    }

    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError> {
        self.inner.put_envelope(id, json, ttl).await
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.inner.get_envelope(id).await
    }

    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        self.inner.put_pause(service, pause).await
    }

    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError> {
        self.inner.remove_pause(service, target).await
    }

    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        self.inner.pauses(service).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.inner.ping().await
    }
}

/// Runs `order` under a fence that is stale from the first, then lets the other finish.
async fn under_a_stale_fence(order: impl Fn(&Rig) -> Value, stopped: &str) {
    // The keeper hears of it at half the visibility; what is refused before is refused by the
    // fence.
    let setup = short_leases().queue("slow", |queue| queue.visibility = Duration::from_secs(20));
    let mut rig = setup.without_host().await;
    let inner = LocalLedger::open(&rig.ledger_dir()).unwrap();
    let ledger = Arc::new(Robbed { inner, thief: tokio::sync::Mutex::default() });
    rig.start_on(ledger.clone()).await;
    rig.message(order(&rig)).queue("slow").send().await;
    until(&format!("an exit {stopped}"), || async { rig.exits(stopped) >= 1 }).await;
    let settled = ["DeleteMessageBatch", "SendMessageBatch", "ChangeMessageVisibilityBatch"];
    assert_eq!(settled.map(|operation| rig.sqs.faults().calls(operation)), [0, 0, 0], "{stopped}: it touches nothing");
    assert_eq!(rig.counts("slow").await, (0, 1, 0));
    assert_eq!((rig.sink.count("late"), rig.sink.count("mail")), (0, 0), "{stopped}");

    let (key, fence) = ledger.thief.lock().await.expect("it was robbed");
    let done = Finish::Done { result: None, discarded: false, ttl: Duration::from_secs(600) };
    ledger.finish(key, fence, done).await.expect("the other's outcome counts");
    rig.emptied().await;
    assert_eq!((rig.exits("duplicate"), rig.runs(), rig.sink.count("mail")), (1, 1, 0), "{stopped}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_fence_refuses_outcome_steps_and_outbox() {
    let only_outbox = |rig: &Rig| late_work(rig)["then"].clone();
    futures::join!(
        under_a_stale_fence(|_| json!({ "do": "done" }), "done"),
        under_a_stale_fence(|_| json!({ "do": "reject", "reason": "no" }), "reject"),
        under_a_stale_fence(|_| json!({ "do": "retry", "reason": "no" }), "retry"),
        under_a_stale_fence(only_outbox, "lease-lost"),
        under_a_stale_fence(late_work, "lease-lost"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_renewals_hang_is_lost_when_it_ends() {
    let rig = short_leases().start().await;
    rig.sqs.faults().add(Fault::on("ChangeMessageVisibilityBatch", Effect::Hang).queue("jobs"));
    let hold = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    let began = wasq_core::clock::now();
    rig.until_exits("lease-lost", 1).await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "the guest ran on for {:?} after 10 s of lease",
        began.elapsed()
    );
    rig.sqs.faults().clear();
    drop(hold);
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done")), (2, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_hangs_is_made_again_within_the_lease() {
    let probe = Plugin::probe("probe").manifest("timeout = '60s'");
    let rig =
        Setup::new().plugin(probe).queue("jobs", |queue| queue.visibility = Duration::from_secs(24)).start().await;
    rig.sqs.faults().add(Fault::on("ChangeMessageVisibilityBatch", Effect::Hang).times(1));
    rig.sink.answers("work", [json!({ "do": "sleep", "ms": 26_000 })]);
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    let began = wasq_core::clock::now();
    rig.sqs.faults().calls_reach("ChangeMessageVisibilityBatch", 2).await;
    assert!(began.elapsed() < Duration::from_secs(24), "the second call came after {:?} of 24 s", began.elapsed());
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done"), rig.exits("lease-lost")), (1, 1, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_the_keeper_meets_while_it_is_finished_stops_no_sibling_and_is_no_crash() {
    let setup = Setup::new().plugin(Plugin::probe("first")).plugin(Plugin::probe("second"));
    let setup = setup.queue("jobs", |queue| queue.visibility = Duration::from_secs(4));
    let mut rig = setup.without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::LateFinish);
    rig.start_on(ledger.clone()).await;
    // One of the two is done at once, and its end is recorded; the other works on.
    let hold = rig.sink.hold("slow");
    rig.sink.answers("work", [json!({ "do": "done" }), rig.sink.ask("slow")]);
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("slow", 1).await;
    // The second renewal is made when what the first one found has had its effect.
    until("the keeper has met the finished claim twice", || async {
        ledger.refused() >= 2 || rig.exits("lease-lost") > 0
    })
    .await;
    assert_eq!(rig.exits("lease-lost"), 0, "nobody has lost the message");
    ledger.set(Trouble::None);
    drop(hold);
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.exits("lease-lost"), rig.runs()), (2, 0, 2));
    assert!(rig.sink.calls("slow").iter().all(|call| call.report["attempt"] == 1));
    assert_eq!(rig.host().runtimes()[0].meters.lease_losses.get(), 0);
    rig.end().await;
}
