//! What the timers in DynamoDB promise beyond the contract: their calls are as few as the documents
//! say, a call whose answer is lost counts once, and whatever a host that dies leaves in the table
//! is no other's loss.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::FutureExt;
use futures::future::join_all;
use wasq_core::message::Key;
use wasq_ledgers::timers::{Cancelled, NewTimer, Set, Timers, When};
use wasq_ledgers::{Ledger, LedgerError};

use super::{FAR, LOOK, SOON, cancel, done, get, id, past, set, soon, take, take_none, take_one, timer, update};
use crate::ledger::contract::{ENDED, LONG, new_key};
use crate::ledger::dynamodb::proxy::{Proxy, Trouble};
use crate::ledger::dynamodb::{client, open, servers};

type Item = HashMap<String, AttributeValue>;

async fn timers(url: &str) -> (Arc<dyn Timers>, String) {
    let service = new_key().to_hex();
    (open(url).await.timers(&service).expect("it keeps timers"), service)
}

/// All items of a partition.
async fn items(key: Key) -> Vec<Item> {
    let query = client(&servers::dynalite().url()).await.query().table_name("wasq-ledger");
    let query = query.key_condition_expression("#key = :key").expression_attribute_names("#key", "key");
    let query = query.expression_attribute_values(":key", AttributeValue::B(Blob::new(key.0)));
    query.send().await.expect("the server answers").items.unwrap_or_default()
}

async fn put(item: Item) {
    let call = client(&servers::dynalite().url()).await.put_item().table_name("wasq-ledger");
    call.set_item(Some(item)).send().await.expect("the server answers");
}

async fn remove(item: &Item) {
    let keys = ["key", "item"].map(|name| (name.to_owned(), item[name].clone()));
    let call = client(&servers::dynalite().url()).await.delete_item().table_name("wasq-ledger");
    call.set_key(Some(keys.into())).send().await.expect("the server answers");
}

/// The hints of a service, in all its shards.
async fn hints(service: &str) -> Vec<Item> {
    let shards = (0..64_u8).map(|shard| items(Key::derive(&[b"timers", service.as_bytes(), &[shard]])));
    join_all(shards).await.concat()
}

async fn item_of(service: &str, name: &str) -> Vec<Item> {
    items(Key::derive(&[b"timer", service.as_bytes(), name.as_bytes()])).await
}

/// docs/internals/timers.md says what each costs.
#[tokio::test]
async fn each_operation_makes_as_few_calls_as_it_can() {
    for server in [servers::moto().address(), servers::dynalite().address.clone()] {
        let proxy = Proxy::new(&server);
        let (timers, _) = timers(&proxy.url()).await;
        let check = |what: &str, expect: &[&str]| assert_eq!(proxy.actions(), expect, "{what}");
        proxy.actions();
        take_none(&*timers).await;
        check("nothing waits", &["Query"]);
        set(&*timers, vec![timer("a", FAR)]).await;
        check("the first of a shard", &["BatchWriteItem", "Query", "PutItem", "PutItem"]);
        take_none(&*timers).await;
        check("nothing is due", &["Query"]);
        assert_eq!(set(&*timers, vec![timer("a", FAR)]).await, [Set::Exists]);
        let mut again = proxy.actions();
        again.retain(|action| action != "GetItem");
        let there = ["BatchWriteItem", "Query", "PutItem", "BatchWriteItem", "BatchWriteItem", "Query"];
        assert_eq!(again, there, "there already");
        let fence = get(&*timers, "a").await.and_then(|timer| timer.fence).expect("it waits");
        check("a look", &["GetItem"]);
        assert!(update(&*timers, "a", fence, past(1), None).await.expect("it waits"));
        let moved = ["GetItem", "BatchWriteItem", "Query", "UpdateItem", "UpdateItem", "BatchWriteItem"];
        check("brought forward", &moved);
        let taken = take_one(&*timers, LONG).await;
        let visit =
            ["Query", "UpdateItem", "Query", "BatchWriteItem", "UpdateItem", "BatchWriteItem", "Query", "UpdateItem"];
        check("due", &visit);
        assert!(done(&*timers, &taken.id, taken.fence).await.expect("it is ours"));
        check("done", &["DeleteItem", "BatchWriteItem"]);
        set(&*timers, vec![timer("a", FAR)]).await;
        check("an earlier one was there", &["BatchWriteItem", "Query", "PutItem"]);
        assert_eq!(cancel(&*timers, "a").await, Cancelled::Waiting);
        check("cancelled", &["DeleteItem", "BatchWriteItem"]);
    }
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_counts_once() {
    let proxy = Proxy::new(&servers::dynalite().address);
    let (timers, service) = timers(&proxy.url()).await;
    proxy.make(Trouble::LosesEachOnce);
    let large = NewTimer { message: vec![7; 500_000].into(), ..timer("large", past(2)) };
    assert_eq!(set(&*timers, vec![timer("a", past(1)), large, timer("b", FAR)]).await, [Set::New; 3]);
    let fence = get(&*timers, "b").await.and_then(|timer| timer.fence).expect("it waits");
    assert!(update(&*timers, "b", fence, past(3), Some("another")).await.expect("it waits"));
    let taken = take(&*timers, LONG, 10).await.taken;
    let names: Vec<_> = taken.iter().map(|taken| taken.id.0.as_str()).collect();
    assert_eq!(names, ["a", "large", "b"]);
    for taken in &taken {
        // Whether it was there nobody can tell when the answer is lost.
        done(&*timers, &taken.id, taken.fence).await.expect("it is ours");
    }
    proxy.make(Trouble::None);
    take_none(&*timers).await;
    all_hints_are_old(&service).await;
    take_none(&*timers).await;
    assert_eq!(hints(&service).await, Vec::<Item>::new());
    for name in ["a", "large", "b"] {
        assert_eq!(item_of(&service, name).await, Vec::<Item>::new(), "{name}");
    }
}

/// As if the time of all hints had come, and they were old.
async fn all_hints_are_old(service: &str) {
    let past = |item: &mut Item, name: &str| item.insert(name.to_owned(), AttributeValue::N("1000".into()));
    for hint in hints(service).await {
        remove(&hint).await;
        let mut old = hint.clone();
        past(&mut old, "put_at");
        let place = hint["item"].as_s().unwrap().split_once(' ').unwrap().1;
        old.insert("item".into(), AttributeValue::S(format!("{:016} {place}", 1_000)));
        put(old).await;
    }
    for mut row in items(Key::derive(&[b"timer shards", service.as_bytes(), b""])).await {
        past(&mut row, "next");
        put(row).await;
    }
}

/// A host that has died after the first writes of a timer, or before the last ones of its end.
#[tokio::test]
async fn what_a_dead_host_leaves_is_taken_away_when_its_time_comes() {
    let (timers, service) = timers(&servers::dynalite().url()).await;
    let large = NewTimer { message: vec![7; 500_000].into(), ..timer("a", past(1)) };
    set(&*timers, vec![large]).await;
    let item = item_of(&service, "a").await.into_iter().find(|item| item["item"].as_s().unwrap() == "timer");
    remove(&item.expect("it is there")).await;
    take_none(&*timers).await;
    assert_eq!(hints(&service).await.len(), 1, "it may be that the timer comes yet");
    all_hints_are_old(&service).await;
    take_none(&*timers).await;
    assert_eq!(hints(&service).await, Vec::<Item>::new());
    assert_eq!(item_of(&service, "a").await, Vec::<Item>::new(), "with its message");
}

/// As by a host that was stopped between the two.
#[tokio::test]
async fn a_timer_that_has_lost_its_hint_gets_it_back_when_it_is_set_again() {
    let (timers, service) = timers(&servers::dynalite().url()).await;
    set(&*timers, vec![timer("a", past(1))]).await;
    for hint in hints(&service).await {
        remove(&hint).await;
    }
    take_none(&*timers).await;
    assert_eq!(set(&*timers, vec![timer("a", FAR)]).await, [Set::Exists]);
    assert_eq!(take_one(&*timers, LONG).await.id, id("a"));
}

/// The directory's row says that a host is there, for some seconds.
#[tokio::test]
async fn a_visitor_that_has_died_keeps_others_out_for_its_time_only() {
    let (timers, service) = timers(&servers::dynalite().url()).await;
    set(&*timers, vec![timer("a", past(1))]).await;
    let directory = Key::derive(&[b"timer shards", service.as_bytes(), b""]);
    let [row] = &items(directory).await[..] else { panic!("one shard has a row") };
    let visited = async |until_ms: u64| {
        let visit = [("visitor", 7), ("visit_until", until_ms)];
        let visit = visit.map(|(name, value)| (name.to_owned(), AttributeValue::N(value.to_string())));
        put(Item::from_iter(row.clone().into_iter().chain(visit))).await;
    };
    visited(u64::MAX >> 1).await;
    let due = take(&*timers, LONG, 10).await;
    assert_eq!(due.taken, []);
    assert!(due.next_in.is_some_and(|wait| wait < Duration::from_secs(1)), "{due:?}");
    // Whoever sets one meanwhile says so to the visitor.
    set(&*timers, vec![timer("a", past(1))]).await;
    let [after] = &items(directory).await[..] else { panic!("one shard has a row") };
    assert_ne!(after["touched"], row["touched"]);
    visited(1_000).await;
    assert_eq!(take_one(&*timers, LONG).await.id, id("a"));
}

/// A future that is dropped at one of its awaits is a host that dies there. Whatever was answered
/// before holds, and whatever was not is repeated by the other host.
#[tokio::test]
async fn a_host_that_dies_at_any_await_loses_nothing() {
    const POLLS: usize = 40;
    let one = open(&servers::dynalite().url()).await;
    let other = open(&servers::dynalite().url()).await;
    let dies = async |polls: usize| {
        let service = new_key().to_hex();
        let (one, other) = (one.timers(&service).expect("timers"), other.timers(&service).expect("timers"));
        let large = || NewTimer { message: vec![7; 500_000].into(), ..timer("large", past(2)) };
        let all = || vec![timer("a", past(1)), large(), timer("b", FAR)];
        if dropped_after(polls, one.set_batch(all())).await.is_none() {
            for answer in other.set_batch(all()).await {
                answer.expect("the store answers");
            }
        }
        let fence = get(&*other, "b").await.and_then(|timer| timer.fence).expect("it waits");
        dropped_after(polls, update(&*one, "b", fence, past(3), Some("another"))).await;
        // It may have been changed or not; if not, the other host does it. What the dead one has sent
        // may still arrive.
        soon("it is changed", async || {
            let waits = get(&*other, "b").await.expect("it is there");
            if &waits.message[..] == b"another" {
                return Some(());
            }
            match update(&*other, "b", waits.fence.expect("it waits"), past(3), Some("another")).await {
                Ok(was_there) => assert!(was_there),
                Err(LedgerError::Stale) => {}
                Err(error) => panic!("{error}"),
            }
            None
        })
        .await;
        dropped_after(polls, one.take_due(ENDED, 10)).await;
        let mut sent = Vec::new();
        soon("all are taken", async || {
            for taken in take(&*other, ENDED, 10).await.taken {
                let end = [(taken.id.clone(), taken.fence)];
                // The host dies, and another says it again.
                if dropped_after(polls, one.done_batch(&end)).await.is_none() {
                    other.done_batch(&end).await.remove(0).expect("it is ours");
                }
                sent.push((taken.id.0, taken.message.len()));
            }
            (sent.len() == 3).then_some(())
        })
        .await;
        sent.sort_unstable();
        assert_eq!(sent, [("a".to_owned(), 12), ("b".into(), 7), ("large".into(), 500_000)], "after {polls} polls");
        take_none(&*other).await;
    };
    join_all((0..POLLS).map(dies)).await;
}

/// What a future gives within so many polls; then it is dropped.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future.fuse());
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A service whose timers are in all shards. The hosts ask more of the server than it can answer in
/// time, so some answers get lost: what was taken by such a call is due again when its lease ends.
#[tokio::test]
async fn timers_of_all_shards_are_taken_by_many_hosts_once() {
    const TIMERS: usize = 200;
    const HOSTS: usize = 4;
    const LEASE: Duration = Duration::from_secs(5);
    let (service, url) = (new_key().to_hex(), servers::dynalite().url());
    let hosts = join_all((0..HOSTS).map(|_| open(&url))).await;
    let hosts: Vec<_> = hosts.iter().map(|ledger| ledger.timers(&service).expect("it keeps timers")).collect();
    set(&*hosts[0], (0..TIMERS).map(|n| timer(&n.to_string(), When::NOW)).collect()).await;
    let (took, ended) = (Mutex::new(Vec::new()), Mutex::new(HashSet::new()));
    let takes = async |host: &Arc<dyn Timers>| {
        while ended.lock().unwrap().len() < TIMERS {
            let Ok(due) = host.take_due(LEASE, 20).await else { continue };
            assert!(due.damaged.is_empty(), "{:?}", due.damaged);
            if due.taken.is_empty() {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let taken: Vec<_> = due.taken.into_iter().map(|taken| (taken.id, taken.fence)).collect();
            took.lock().unwrap().extend(taken.iter().cloned());
            for ((id, fence), mut answer) in taken.iter().zip(host.done_batch(&taken).await) {
                while matches!(answer, Err(LedgerError::Unavailable(_))) {
                    answer = done(&**host, id, *fence).await;
                }
                // It was there or not: nobody can tell when an answer was lost.
                if answer.is_ok() {
                    ended.lock().unwrap().insert(id.clone());
                }
            }
        }
    };
    tokio::time::timeout(SOON, join_all(hosts.iter().map(takes))).await.expect("all are taken");
    let took = took.into_inner().unwrap();
    let fences: BTreeSet<_> = took.iter().collect();
    assert_eq!(fences.len(), took.len(), "two hosts have one timer under one fence");
    for n in 0..TIMERS {
        assert_eq!(hosts[0].get(&id(&n.to_string())).await.expect("the store answers"), None);
    }
    all_hints_are_old(&service).await;
    take_none(&*hosts[0]).await;
    assert_eq!(hints(&service).await, Vec::<Item>::new());
}
