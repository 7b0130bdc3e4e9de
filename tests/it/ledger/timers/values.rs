//! The cases of ids, queues and messages of any kind and size.

use bytes::Bytes;
use wasq_ledgers::LedgerError;
use wasq_ledgers::timers::{
    ID_MAX_BYTES, MESSAGE_MAX_BYTES, NewTimer, QUEUE_MAX_BYTES, Set, TAKE_MAX_BYTES, TimerId, Update, When,
};

use super::{FAR, Hosts, done, get, id, past, set, take, take_none, take_one, timer, update};
use crate::ledger::contract::LONG;

const MIB: usize = 1024 * 1024;

/// Bytes that do not compress, and in which no part is like another.
fn noise(len: usize) -> Bytes {
    let mut choose = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| choose.u8(..)).collect::<Vec<_>>().into()
}

pub async fn ids_and_queues_and_messages_of_any_kind(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    let long = "\u{1f9fe}".repeat(ID_MAX_BYTES / 4);
    let names =
        ["a", "a ", " a", "a b c", "A", "{a}", "\u{1f9fe} receipt", "x' OR '1'='1", "\u{7f}\n\t", long.as_str()];
    let lens = [0, 1, 700, 1_024, 4_096, 400 * 1024, MIB];
    let mut timers = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let queue = names[names.len() - 1 - n];
        timers.push(NewTimer {
            id: id(name),
            due: past(n as u64),
            queue: queue.into(),
            message: noise(lens[n % lens.len()]),
        });
    }
    let found = |taken: Vec<(TimerId, String, Bytes)>| {
        assert_eq!(taken.len(), timers.len());
        for (expect, (id, queue, message)) in timers.iter().zip(taken) {
            assert_eq!((&id, &queue), (&expect.id, &expect.queue));
            assert!(message == expect.message, "{id:?}: {} bytes and not {}", message.len(), expect.message.len());
        }
    };
    assert_eq!(set(&**one, timers.clone()).await, vec![Set::New; names.len()]);
    let mut seen = Vec::new();
    for name in names {
        let timer = get(&**other, name).await.expect("it is there");
        seen.push((id(name), timer.queue, timer.message));
    }
    found(seen);
    let taken = take(&**other, LONG, 100).await.taken;
    let ends: Vec<_> = taken.iter().map(|taken| (taken.id.clone(), taken.fence)).collect();
    found(taken.into_iter().map(|taken| (taken.id, taken.queue, taken.message)).collect());
    for answer in other.done_batch(&ends).await {
        assert!(answer.expect("it is ours"));
    }
    assert_eq!(one.list(100, None).await.expect("the store answers").timers, []);
}

pub async fn what_is_too_large_is_refused_alone(hosts: &Hosts) {
    let Hosts { one, .. } = hosts;
    let too_large = |answer: &LedgerError, what: &str| {
        assert!(matches!(answer, LedgerError::TooLarge(said) if said.contains(what)), "{answer:?}");
    };
    let answers = one
        .set_batch(vec![
            timer(&"i".repeat(ID_MAX_BYTES + 1), past(1)),
            NewTimer { queue: "q".repeat(QUEUE_MAX_BYTES + 1), ..timer("queue", past(1)) },
            NewTimer { message: vec![b'm'; MESSAGE_MAX_BYTES + 1].into(), ..timer("message", past(1)) },
            timer("fits", past(1)),
        ])
        .await;
    for (answer, what) in answers.iter().zip(["id has 1025 bytes", "queue has 1025 bytes", "message has 2097153 bytes"])
    {
        too_large(answer.as_ref().expect_err("it is too large"), what);
    }
    assert!(matches!(answers[3], Ok(Set::New)), "{:?}", answers[3]);
    let fence = take_one(&**one, LONG).await.fence;
    let large =
        Update { id: id("fits"), fence, due: When::NOW, message: Some(vec![b'm'; MESSAGE_MAX_BYTES + 1].into()) };
    too_large(&one.update_batch(vec![large]).await.remove(0).expect_err("it is too large"), "message has");
    assert!(done(&**one, &id("fits"), fence).await.expect("nothing has changed"));
}

pub async fn no_more_is_taken_than_was_asked_for(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    set(&**one, (0..10).map(|n| timer(&n.to_string(), past(n))).collect()).await;
    let mut taken = Vec::new();
    for max in [1, 2, 4] {
        let due = take(&**other, LONG, max).await;
        assert_eq!(due.taken.len(), max, "{due:?}");
        assert_eq!(due.next_in, Some(std::time::Duration::ZERO), "there is more");
        taken.extend(due.taken);
    }
    assert_eq!(take(&**one, LONG, 0).await.taken, []);
    taken.extend(take(&**one, LONG, 10).await.taken);
    let mut ids: Vec<_> = taken.into_iter().map(|taken| taken.id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    take_none(&**one).await;
}

/// A message that is replaced leaves nothing of the one before.
pub async fn messages_of_a_megabyte_are_taken_some_at_a_time(hosts: &Hosts) {
    let Hosts { one, other, .. } = hosts;
    let megabytes = TAKE_MAX_BYTES / MIB + 2;
    for n in 0..megabytes {
        let large = NewTimer { message: noise(MIB), ..timer(&n.to_string(), past(n as u64)) };
        set(&**one, vec![large]).await;
    }
    let (mut seen, mut calls) = (0, 0);
    while seen < megabytes {
        let due = take(&**other, LONG, 100).await;
        let bytes: usize = due.taken.iter().map(|taken| taken.message.len()).sum();
        assert!((1..=TAKE_MAX_BYTES).contains(&bytes), "{bytes}");
        assert!(due.taken.iter().all(|taken| taken.message == noise(MIB)));
        for taken in due.taken {
            seen += 1;
            assert!(update(&**other, &taken.id.0, taken.fence, FAR, Some("small")).await.expect("it is ours"));
            let now = get(&**one, &taken.id.0).await.expect("it is there");
            assert_eq!(&now.message[..], b"small");
        }
        calls += 1;
    }
    assert!(calls > 1, "all at once is too much");
    let list = one.list(100, None).await.expect("the store answers").timers;
    assert!(list.iter().all(|timer| timer.bytes == 5), "{list:?}");
}
