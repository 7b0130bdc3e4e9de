//! What goes wrong with any broker: what is done comes again, a dead letter cannot be sent, a
//! replay is made twice. The calls to SQS that fail have tests of their own, in `faults_queue.rs`.

use std::time::Duration;

use serde_json::json;
use wasq::dlq::replayed_message::{ReplayOptions, replayed};
use wasq_core::message::{BodyDigest, Key, MessageId, MessageType};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Finish, Ledger};
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Setup, until};

on_each_broker!(
    what_the_ledger_has_as_done_is_deleted_without_a_run,
    a_message_stays_in_its_queue_while_its_dlq_is_not_there,
    a_letter_that_is_replayed_twice_runs_once,
);

async fn what_the_ledger_has_as_done_is_deleted_without_a_run(broker: Broker) {
    let mut rig = Setup::probe().on(broker).without_host().await;
    let order = rig.sink.ask("work");
    let id = rig.message(&order).key("k").send().await;
    // A host that died before its delete leaves just this: a completion, and the message.
    let ledger = LocalLedger::open(&rig.ledger_dir()).unwrap();
    let key = Key::of(&rig.config.scope, "probe", &MessageType("probe".into()), "k");
    let request = ClaimRequest {
        body: BodyDigest::of(order.to_string().as_bytes()),
        message_id: MessageId(id),
        lease: Duration::from_secs(30),
        is_redelivery: false,
    };
    let Claim::Fresh(claim) = ledger.claim(key, &request).await.unwrap() else { panic!("nobody had it") };
    let done = Finish::Done { result: None, discarded: false, ttl: Duration::from_secs(600) };
    ledger.finish(key, claim.fence, done).await.unwrap();
    ledger.close();
    rig.start_host().await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.runs(), rig.exits("duplicate")), (0, 0, 1));
    assert_eq!(rig.left("jobs-dlq").await, 0);
    rig.end().await;
}

async fn a_message_stays_in_its_queue_while_its_dlq_is_not_there(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    rig.sink.answers("work", [json!({ "do": "reject", "reason": "no" })]);
    if broker == Broker::Sqs {
        let gone = Effect::FailBefore { code: "AWS.SimpleQueueService.NonExistentQueue".into(), status: 400 };
        rig.sqs.faults().add(Fault::on("SendMessageBatch", gone).queue("jobs-dlq"));
    } else {
        rig.delete_queue("jobs-dlq").await;
    }
    rig.send(rig.sink.ask("work")).await;
    rig.until_exits("reject", 1).await;
    assert_eq!(rig.left("jobs").await, 1);
    if broker == Broker::Sqs {
        rig.sqs.faults().clear();
    } else {
        rig.make_what_is_missing().await;
    }
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!((dead.letter.class.as_str(), dead.letter.attempts), ("reject", 1));
    assert_eq!(rig.sink.count("work"), 1, "it does not run again for its letter's sake");
    rig.end().await;
}

async fn a_letter_that_is_replayed_twice_runs_once(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    rig.sink.answers("work", [json!({ "do": "reject", "reason": "not yet" })]);
    rig.send(rig.sink.ask("work")).await;
    let dead = rig.letter().await;
    rig.emptied().await;
    // As by a replay that was killed between the two, and made again; or of a letter and its twin.
    for _ in 0..2 {
        let again = replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default());
        rig.queue("jobs").await.send(&[again.unwrap()]).await.remove(0).unwrap();
    }
    until("both are settled", || async { rig.exits("done") + rig.duplicates() == 2 }).await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done"), rig.duplicates()), (2, 1, 1));
    rig.end().await;
}
