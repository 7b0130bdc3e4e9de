//! A timer that cannot be read: it is told, and keeps no other from being taken.

use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use wasq_core::message::Key;
use wasq_ledgers::timers::{Cancelled, Set, Timers};
use wasq_ledgers::{Ledger, LedgerError};

use super::{Hosts, TwoHosts, cancel, get, id, past, set, timer};
use crate::ledger::contract::LONG;
use crate::ledger::dynamodb::{client, servers};
use crate::ledger::local::open_shared;
use crate::support::servers::{postgres, redis};

/// The middle one of three is damaged by now.
async fn a_damaged_timer_keeps_no_other_from_being_taken(timers: &dyn Timers) {
    let due = timers.take_due(LONG, 10).await.expect("the store answers");
    let names: Vec<_> = due.taken.iter().map(|taken| taken.id.0.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(due.damaged.len(), 1);
    let is_damage = |error: &LedgerError| matches!(error, LedgerError::Damaged(what) if what.contains("timer \"b\""));
    assert!(is_damage(&due.damaged[0]), "{:?}", due.damaged);
    let due = timers.take_due(LONG, 10).await.expect("the store answers");
    assert_eq!((due.taken.len(), due.damaged.len()), (0, 0), "it is told once a lease");
    let answer = timers.get(&id("b")).await;
    assert!(answer.as_ref().is_err_and(is_damage), "{answer:?}");
    assert_eq!(timers.counts().await.expect("the store answers").all, 3, "it stays where it is");
    assert_ne!(cancel(timers, "b").await, Cancelled::Gone);
    assert_eq!(get(timers, "b").await, None);
    assert_eq!(set(timers, vec![timer("b", past(2))]).await, [Set::New]);
    let due = timers.take_due(LONG, 10).await.expect("the store answers");
    assert_eq!((due.taken.len(), due.damaged.len()), (1, 0), "its id is free again");
}

async fn set_three(timers: &dyn Timers) {
    set(timers, vec![timer("a", past(1)), timer("b", past(2)), timer("c", past(3))]).await;
}

#[tokio::test]
async fn in_the_local_store() {
    let (ledger, dir) = open_shared().await;
    set_three(&*ledger.timers("shop").expect("it keeps timers")).await;
    drop(ledger);
    let file = rusqlite::Connection::open(dir.path().join("ledger.sqlite")).expect("it opens");
    let damage = "DELETE FROM timer_messages WHERE timer = (SELECT timer FROM timers WHERE id = 'b')";
    assert_eq!(file.execute(damage, []).expect("it writes"), 1);
    drop(file);
    let ledger: Arc<dyn Ledger> =
        Arc::new(wasq_ledgers::local::LocalLedger::open(dir.path()).expect("the ledger opens"));
    a_damaged_timer_keeps_no_other_from_being_taken(&*ledger.timers("shop").expect("it keeps timers")).await;
}

#[tokio::test]
async fn in_redis() {
    let Hosts { one, service, .. } = Hosts::new(TwoHosts::redis().await);
    set_three(&*one).await;
    let mut damage = ::redis::cmd("HSET");
    damage.arg(format!("contract:timers:{{{service}}}:timers")).arg("hb").arg("asleep");
    let mut client = crate::ledger::redis::client(redis()).await;
    damage.exec_async(&mut client).await.expect("it answers");
    a_damaged_timer_keeps_no_other_from_being_taken(&*one).await;
}

#[tokio::test]
async fn in_postgresql() {
    let Hosts { one, service, .. } = Hosts::new(TwoHosts::postgres().await);
    set_three(&*one).await;
    let damage = "UPDATE contract.timers SET queue = '\\xff' WHERE service = $1 AND id = 'b'";
    let client = crate::ledger::postgres::sql(postgres()).await;
    assert_eq!(client.execute(damage, &[&service.as_bytes()]).await.expect("it answers"), 1);
    a_damaged_timer_keeps_no_other_from_being_taken(&*one).await;
}

#[tokio::test]
async fn in_dynamodb() {
    for (hosts, url) in [
        (Hosts::new(TwoHosts::moto().await), servers::moto().url()),
        (Hosts::new(TwoHosts::dynalite().await), servers::dynalite().url()),
    ] {
        set_three(&*hosts.one).await;
        let key = Key::derive(&[b"timer", hosts.service.as_bytes(), b"b"]);
        let call = client(&url).await.update_item().table_name("wasq-ledger");
        let call = call.key("key", AttributeValue::B(Blob::new(key.0))).key("item", AttributeValue::S("timer".into()));
        let call = call.update_expression("REMOVE #queue").expression_attribute_names("#queue", "queue");
        call.send().await.expect("the server answers");
        a_damaged_timer_keeps_no_other_from_being_taken(&*hosts.one).await;
    }
}
