use std::sync::Arc;

use tokio::task::JoinSet;
use wasq_core::message::UnixMs;

use super::*;
use crate::admission::in_hand::InHand;
use crate::admission::limit_key::LimitKey;
use crate::config::PoolScope;

fn limits(limits: &Limits) -> Arc<KeyLimits> {
    let keys = Arc::new(KeyLimits::new(limits));
    let kept = keys.clone();
    tokio::spawn(async move { kept.keep(None).await });
    keys
}

fn key(name: &str, max: usize) -> KeyId {
    KeyId { plugin: "p".into(), max, scope: PoolScope::Host, key: LimitKey::of(Some(name.to_owned())) }
}

async fn acquire(keys: &KeyLimits, id: &KeyId, sent_ms: u64, room: &Arc<Semaphore>) -> Result<KeyPermit, Duration> {
    let in_hand = InHand::default();
    keys.acquire(id, Claimant { sent_at: UnixMs(sent_ms), is_returned: false, in_hand: &in_hand, room }).await
}

fn status(keys: &KeyLimits, max: usize) -> KeyedStatus {
    keys.status([("p", max, PoolScope::Host)]).remove(0)
}

#[tokio::test(start_paused = true)]
async fn of_each_key_so_many_run_at_once_and_the_oldest_goes_first() {
    let (keys, room) = (limits(&Limits::default()), Arc::new(Semaphore::new(100)));
    let first = acquire(&keys, &key("a", 1), 0, &room).await.expect("it is free");
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = JoinSet::new();
    for sent_ms in [30, 10, 20] {
        let (keys, room, order) = (keys.clone(), room.clone(), order.clone());
        waiting.spawn(async move {
            let permit = acquire(&keys, &key("a", 1), sent_ms, &room).await.expect("its turn comes");
            order.lock().push(sent_ms);
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(permit);
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(*order.lock(), [0; 0], "the one permit is taken");
    assert!(acquire(&keys, &key("b", 1), 99, &room).await.is_ok(), "another key waits for nobody");
    let seen = status(&keys, 1);
    assert_eq!((seen.running, seen.waiting, seen.started, seen.keys), (1, 3, 2, 2));
    assert_eq!((seen.top[0].key.as_str(), seen.top[0].waiting), ("a", 3));
    drop(first);
    waiting.join_all().await;
    assert_eq!(*order.lock(), [10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn what_would_wait_for_too_long_is_hidden_until_about_its_turn() {
    let (keys, room) = (limits(&Limits::default()), Arc::new(Semaphore::new(100)));
    let (id, began) = (key("a", 1), clock::now());
    // One that runs for long, and says nothing of how long others take.
    let permit = acquire(&keys, &id, 0, &room).await.expect("it is free");
    let hidden = acquire(&keys, &id, 1, &room).await.err().expect("it runs for longer");
    assert_eq!((began.elapsed(), hidden), (Duration::from_secs(5), Duration::from_secs(5)));
    drop(permit);
    // A run takes a second: a fifth one and those behind it wait for too long.
    let mut answers = JoinSet::new();
    for sent_ms in 0..8 {
        let (keys, room, id) = (keys.clone(), room.clone(), id.clone());
        answers.spawn(async move {
            let answer = acquire(&keys, &id, sent_ms, &room).await;
            tokio::time::sleep(Duration::from_secs(u64::from(answer.is_ok()))).await;
            answer.map(|_| ())
        });
    }
    let answers = answers.join_all().await;
    let mut hidden: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    hidden.sort();
    assert!((2..=4).contains(&hidden.len()) && hidden[0] >= Duration::from_secs(1), "{hidden:?}");
    assert!(hidden.windows(2).all(|two| two[1] > two[0]), "they come back one after the other: {hidden:?}");
    assert_eq!(status(&keys, 1).hidden, 1 + hidden.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn without_room_the_newest_is_hidden_for_an_older_one() {
    let (keys, room) = (limits(&Limits::default()), Arc::new(Semaphore::new(1)));
    let id = key("a", 1);
    let permit = acquire(&keys, &id, 0, &room).await.expect("it is free");
    let newer = acquire(&keys, &id, 20, &room);
    let older = async {
        tokio::task::yield_now().await;
        let release = async {
            tokio::task::yield_now().await;
            drop(permit);
        };
        tokio::join!(acquire(&keys, &id, 10, &room), release).0
    };
    let (newer, older) = tokio::join!(newer, older);
    assert!(older.is_ok() && newer.is_err(), "the older one waits, and the newer one is hidden");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_keys_cost_as_much_memory_as_the_limit_says() {
    let few = Limits { concurrency_keys: 100, ..Limits::default() };
    let (keys, room) = (limits(&few), Arc::new(Semaphore::new(100)));
    let busy = acquire(&keys, &key("busy", 1), 0, &room).await.expect("it is free");
    for n in 0..100_000 {
        assert!(acquire(&keys, &key(&n.to_string(), 1), 0, &room).await.is_ok());
    }
    let seen = status(&keys, 1);
    assert_eq!((seen.keys, seen.started, seen.running), (100, 100_001, 1), "the one in use is still there");
    drop(busy);
    // With all of them in use there is no room for one more.
    let mut held = Vec::new();
    for n in 0..100 {
        held.push(acquire(&keys, &key(&format!("held {n}"), 1), 0, &room).await.expect("it is free"));
    }
    assert_eq!(acquire(&keys, &key("one more", 1), 0, &room).await.err().expect("it is one too many"), NO_ROOM);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_gives_up_waiting_leaves_the_line() {
    let (keys, room) = (limits(&Limits::default()), Arc::new(Semaphore::new(100)));
    let id = key("a", 1);
    let permit = acquire(&keys, &id, 0, &room).await.expect("it is free");
    let gone = tokio::time::timeout(Duration::from_secs(1), acquire(&keys, &id, 1, &room)).await;
    assert!(gone.is_err() && status(&keys, 1).waiting == 0);
    drop(permit);
    assert!(acquire(&keys, &id, 2, &room).await.is_ok());
}
