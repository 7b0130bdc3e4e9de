//! Every kind of SQS's errors, at every step that calls it: nothing is lost, each message completes
//! once, the host goes on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};
use wasq::dlq::Letter;
use wasq_local_sqs::{Effect, Fault};

use crate::support::{Plugin, Rig, Setup, until};

/// Messages for each kind of error.
const MESSAGES: usize = 3;

/// A kind of error, which has a queue of its own name.
struct Kind {
    name: &'static str,
    effect: Effect,
    /// Calls that meet it. The SDK makes three of one that may be repeated.
    times: u32,
    /// What readiness tells of a receive that failed so; None where a receive cannot.
    reason: Option<&'static str>,
}

fn kinds() -> Vec<Kind> {
    let before = |code: &str, status| Effect::FailBefore { code: code.into(), status };
    let kind = |name, effect, times, reason| Kind { name, effect, times, reason: Some(reason) };
    let after = Effect::FailAfter { code: "InternalFailure".into(), status: 500 };
    let in_part = Effect::FailEntries { places: (0..10).collect(), code: "InternalError".into() };
    vec![
        kind("throttled", before("RequestThrottled", 403), 4, "RequestThrottled"),
        kind("unavailable", before("ServiceUnavailable", 503), 4, "ServiceUnavailable"),
        kind("internal", before("InternalFailure", 500), 4, "InternalFailure"),
        kind("denied", before("AccessDeniedException", 403), 2, "AccessDenied"),
        kind("kms", before("KmsAccessDenied", 400), 2, "KmsAccessDenied"),
        kind("cut", Effect::DropConnection, 4, "NoAnswer"),
        kind("garbled", Effect::Garble, 4, "Unknown: the answer cannot be read"),
        kind("hanging", Effect::Hang, 1, "Timeout"),
        kind("unanswered", after, 4, "InternalFailure"),
        Kind { name: "in-part", effect: in_part, times: 2, reason: None },
    ]
}

/// A queue for each kind, with leases of so many seconds.
fn setup(kinds: &[Kind], visibility_s: u64) -> Setup {
    // All of them run at once.
    let setup = Setup::probe().config(|config| config.limits.max_instances = 128);
    kinds.iter().fold(setup, |setup, kind| {
        setup.queue(kind.name, move |queue| {
            queue.visibility = Duration::from_secs(visibility_s);
            queue.concurrency = 8.into();
            queue.max_pollers = 1;
        })
    })
}

async fn send(rig: &Rig, kinds: &[Kind], order: impl Fn(&Kind, usize) -> Value) {
    for kind in kinds {
        for n in 0..MESSAGES {
            rig.message(order(kind, n)).queue(kind.name).send().await;
        }
    }
}

/// How often each message of a kind was started, and that no two runs of one were successes.
fn starts(rig: &Rig, name: &str) -> Vec<usize> {
    let mut starts: HashMap<String, usize> = HashMap::new();
    for call in rig.sink.calls(name) {
        *starts.entry(call.report["key"].to_string()).or_default() += 1;
    }
    starts.into_values().collect()
}

/// All has come to a good end: each message of each kind was started `expected` times, and the host
/// is ready.
async fn all_well(rig: &Rig, kinds: &[Kind], expected: usize) {
    rig.emptied().await;
    for kind in kinds {
        assert_eq!(starts(rig, kind.name), [expected; MESSAGES], "starts, {}", kind.name);
        assert_eq!(rig.counts(&format!("{}-dlq", kind.name)).await, (0, 0, 0), "{}", kind.name);
    }
    assert_eq!(rig.exits("done") as usize, MESSAGES * kinds.len(), "completions");
    until("the host is ready", || async { rig.ready().await.0 == 200 }).await;
}

/// The faults of an operation, each on the queue that `queue` makes of its kind's.
fn order_faults(rig: &Rig, kinds: &[Kind], operation: &str, queue: impl Fn(&str) -> String) {
    for kind in kinds {
        let fault = Fault::on(operation, kind.effect.clone()).queue(queue(kind.name));
        rig.sqs.faults().add(fault.times(kind.times));
    }
}

/// Most of it is waiting, so the steps stand beside each other.
#[tokio::test(flavor = "multi_thread")]
async fn receives_deletes_and_visibility_changes_that_fail_in_any_way_are_made_again() {
    futures::join!(
        receives_that_fail_are_made_again_and_readiness_says_why(),
        deletes_that_fail_are_made_again(),
        delays_that_fail_are_made_again(),
        renewals_that_fail_are_made_again_within_the_lease(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_and_outboxes_whose_sending_fails_in_any_way_are_sent_again() {
    futures::join!(
        dead_letters_whose_sending_fails_are_sent_again(),
        outboxes_whose_sending_fails_are_sent_again_without_another_run(),
    );
}

fn all_met(rig: &Rig) {
    assert_eq!(rig.sqs.faults().in_force(), 0, "every fault was met as often as it should be");
}

async fn receives_that_fail_are_made_again_and_readiness_says_why() {
    let mut kinds = kinds();
    kinds.retain(|kind| kind.reason.is_some());
    let mut rig = setup(&kinds, 2).without_host().await;
    for kind in &kinds {
        rig.sqs.faults().add(Fault::on("ReceiveMessage", kind.effect.clone()).queue(kind.name));
    }
    send(&rig, &kinds, |kind, _| rig.sink.ask(kind.name)).await;
    rig.start_host().await;
    for kind in &kinds {
        let said = format!("queue {}: {}", kind.name, kind.reason.expect("these have one"));
        let tells = || async {
            let (status, reasons) = rig.ready().await;
            status == 503 && reasons.contains(&said)
        };
        until(&format!("readiness says {said}"), tells).await;
    }
    assert_eq!(rig.runs(), 0);
    rig.sqs.faults().clear();
    all_well(&rig, &kinds, 1).await;
    rig.end().await;
}

async fn deletes_that_fail_are_made_again() {
    let kinds = kinds();
    let rig = setup(&kinds, 30).start().await;
    order_faults(&rig, &kinds, "DeleteMessageBatch", str::to_owned);
    send(&rig, &kinds, |kind, _| rig.sink.ask(kind.name)).await;
    all_well(&rig, &kinds, 1).await;
    all_met(&rig);
    rig.end().await;
}

async fn delays_that_fail_are_made_again() {
    let kinds = kinds();
    let rig = setup(&kinds, 30).start().await;
    order_faults(&rig, &kinds, "ChangeMessageVisibilityBatch", str::to_owned);
    for kind in &kinds {
        rig.sink.answers(kind.name, vec![json!({ "do": "retry", "reason": "once" }); MESSAGES]);
    }
    let hold: Vec<_> = kinds.iter().map(|kind| rig.sink.hold(kind.name)).collect();
    send(&rig, &kinds, |kind, _| rig.sink.ask(kind.name)).await;
    // All are asked before one is answered: so each fails once.
    for kind in &kinds {
        rig.until_called(kind.name, MESSAGES).await;
    }
    drop(hold);
    all_well(&rig, &kinds, 2).await;
    all_met(&rig);
    for kind in &kinds {
        let attempts: HashSet<_> =
            rig.sink.calls(kind.name).iter().map(|call| call.report["attempt"].as_u64().unwrap()).collect();
        assert_eq!(attempts, [1, 2].into(), "{}", kind.name);
    }
    rig.end().await;
}

async fn renewals_that_fail_are_made_again_within_the_lease() {
    let kinds: Vec<_> = kinds().into_iter().map(|kind| Kind { times: kind.times.min(2), ..kind }).collect();
    let rig = setup(&kinds, 16).start().await;
    order_faults(&rig, &kinds, "ChangeMessageVisibilityBatch", str::to_owned);
    for kind in &kinds {
        // Past the end of the first lease.
        rig.sink.answers(kind.name, vec![json!({ "do": "sleep", "ms": 17_000 }); MESSAGES]);
    }
    send(&rig, &kinds, |kind, _| rig.sink.ask(kind.name)).await;
    all_well(&rig, &kinds, 1).await;
    all_met(&rig);
    assert_eq!(rig.exits("lease-lost"), 0);
    rig.end().await;
}

async fn dead_letters_whose_sending_fails_are_sent_again() {
    let kinds = kinds();
    let rig = setup(&kinds, 30).start().await;
    order_faults(&rig, &kinds, "SendMessageBatch", |name| format!("{name}-dlq"));
    for kind in &kinds {
        rig.sink.answers(kind.name, vec![json!({ "do": "reject", "reason": "no" }); MESSAGES]);
    }
    send(&rig, &kinds, |kind, _| rig.sink.ask(kind.name)).await;
    rig.emptied().await;
    all_met(&rig);
    for kind in &kinds {
        assert_eq!(starts(&rig, kind.name), [1; MESSAGES], "starts, {}", kind.name);
        // One that was sent, and said to be not, has a twin: of the same message and key.
        let dlq = rig.queue(&format!("{}-dlq", kind.name)).await;
        let mut keys = HashMap::new();
        while keys.len() < MESSAGES {
            for dead in dlq.receive(10, Duration::from_secs(5), Duration::from_secs(60)).await.unwrap() {
                assert_eq!(dead.body, rig.sink.ask(kind.name).to_string(), "{}", kind.name);
                let letter: Letter = serde_json::from_str(dead.attributes["wasq"].text().unwrap()).unwrap();
                let known = keys.insert(letter.message_id.0, letter.key.clone());
                assert!(known.is_none_or(|known| known == letter.key), "{}", kind.name);
            }
        }
        assert_eq!(keys.len(), MESSAGES, "{}", kind.name);
    }
    until("the host is ready", || async { rig.ready().await.0 == 200 }).await;
    rig.end().await;
}

async fn outboxes_whose_sending_fails_are_sent_again_without_another_run() {
    let kinds = kinds();
    let outlet = |kind: &str| format!("to-{kind}");
    let setup = kinds.iter().fold(setup(&kinds, 30).plugin(Plugin::probe("mail").types(&["mail"])), |setup, kind| {
        setup.queue(&outlet(kind.name), |queue| queue.max_pollers = 1)
    });
    let rig = setup.start().await;
    order_faults(&rig, &kinds, "SendMessageBatch", outlet);
    send(&rig, &kinds, |kind, _| {
        json!({
            "do": "outbox", "queue": outlet(kind.name), "kind": "mail", "count": 1,
            "body": rig.sink.ask(&outlet(kind.name)), "then": rig.sink.ask(kind.name),
        })
    })
    .await;
    rig.emptied().await;
    all_met(&rig);
    for kind in &kinds {
        assert_eq!(starts(&rig, kind.name), [1; MESSAGES], "runs, {}", kind.name);
        assert_eq!(starts(&rig, &outlet(kind.name)), [1; MESSAGES], "runs of what was sent, {}", kind.name);
        for queue in [kind.name, &outlet(kind.name)] {
            assert_eq!(rig.counts(&format!("{queue}-dlq")).await, (0, 0, 0), "{queue}");
        }
    }
    rig.end().await;
}
