use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wasq_core::message::UnixMs;

use super::*;
use crate::admission::in_hand::InHand;

const CONCURRENCY: usize = 8;

fn queue(limits: &Limits) -> Arc<FairQueue> {
    let fair_by = KeyTemplate::try_from("{/tenant}".to_owned()).expect("it is one");
    let config = QueueConfig { fair_by: Some(fair_by), concurrency: CONCURRENCY.into(), ..QueueConfig::default() };
    Arc::new(FairQueue::of(&config, limits).expect("it is fair"))
}

fn key(name: &str) -> LimitKey {
    LimitKey::of(Some(name.to_owned()))
}

async fn acquire(queue: &FairQueue, name: &str, sent_ms: u64, room: &Arc<Semaphore>) -> Result<KeyTurn, Duration> {
    let in_hand = InHand::default();
    let claimant = Claimant { sent_at: UnixMs(sent_ms), is_returned: false, in_hand: &in_hand, room };
    queue.acquire(&key(name), claimant).await
}

/// Turns of one key, as many as there are for it at once.
fn fill(queue: &FairQueue, name: &str) -> Vec<KeyTurn> {
    let room = Arc::new(Semaphore::new(100));
    std::iter::from_fn(|| acquire(queue, name, 0, &room).now_or_never()).map(|turn| turn.expect("it is free")).collect()
}

#[tokio::test(start_paused = true)]
async fn one_key_leaves_turns_to_others_and_they_share_what_is_left() {
    let queue = queue(&Limits::default());
    let noisy = fill(&queue, "noisy");
    assert_eq!(noisy.len(), CONCURRENCY - CONCURRENCY / 4);
    let quiet = fill(&queue, "quiet");
    assert_eq!(quiet.len(), CONCURRENCY / 4, "they are kept for whoever has few");
    drop(noisy);
    let seen = queue.status("jobs");
    assert_eq!((seen.running, seen.waiting, seen.keys), (2, 0, 2));
    drop(quiet);
    assert_eq!(queue.status("jobs").running, 0);
}

#[tokio::test(start_paused = true)]
async fn of_keys_that_wait_those_with_the_fewest_turns_go_first_and_then_they_alternate() {
    let (queue, room) = (queue(&Limits::default()), Arc::new(Semaphore::new(100)));
    let mut noisy = fill(&queue, "noisy");
    let (order, mut waiting) = (Arc::new(parking_lot::Mutex::new(Vec::new())), JoinSet::new());
    // What is kept is taken by runs that last.
    let _lasting = fill(&queue, "lasting");
    for (name, sent_ms) in [("noisy", 1), ("noisy", 2), ("a", 30), ("a", 20), ("b", 40), ("b", 50)] {
        let (queue, room, order) = (queue.clone(), room.clone(), order.clone());
        waiting.spawn(async move {
            let turn = acquire(&queue, name, sent_ms, &room).await.expect("its turn comes");
            order.lock().push((name, sent_ms));
            std::future::pending::<()>().await;
            drop(turn);
        });
        tokio::task::yield_now().await;
    }
    assert_eq!(queue.status("jobs").waiting, 6);
    for _ in 0..6 {
        noisy.pop();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    // The kept turns stay free until a key has less than its share.
    assert_eq!(*order.lock(), [("a", 20), ("b", 40), ("noisy", 1), ("a", 30)]);
}

#[tokio::test(start_paused = true)]
async fn the_longest_line_makes_room_for_others_and_what_is_hidden_comes_back_in_turn() {
    let (queue, room) = (queue(&Limits::default()), Arc::new(Semaphore::new(4)));
    let (_noisy, _lasting) = (fill(&queue, "noisy"), fill(&queue, "lasting"));
    let mut waiting = JoinSet::new();
    let wait = |waiting: &mut JoinSet<_>, name: &'static str, sent_ms| {
        let (queue, room) = (queue.clone(), room.clone());
        waiting.spawn(async move { (name, sent_ms, acquire(&queue, name, sent_ms, &room).await.err()) });
    };
    for sent_ms in 0..4 {
        wait(&mut waiting, "noisy", sent_ms);
        tokio::task::yield_now().await;
    }
    // The room is full: of its own key the newest goes, and for another key the newest of that.
    wait(&mut waiting, "noisy", 9);
    let (name, sent_ms, hidden) = waiting.join_next().await.expect("it is hidden").expect("it ends");
    assert!((name, sent_ms) == ("noisy", 9) && hidden.is_some());
    wait(&mut waiting, "quiet", 100);
    let (name, sent_ms, hidden) = waiting.join_next().await.expect("it is hidden").expect("it ends");
    assert!((name, sent_ms) == ("noisy", 3) && hidden.is_some());
    let seen = queue.status("jobs");
    assert_eq!((seen.waiting, seen.hidden_total), (4, 2));
    assert_eq!((seen.top[0].key.as_str(), seen.top[0].waiting), ("noisy", 3));
    // Nobody's turn comes: all are hidden when their time is over.
    let hidden = waiting.join_all().await;
    assert!(hidden.iter().all(|(_, _, hidden)| hidden.is_some()), "{hidden:?}");
}

#[tokio::test(start_paused = true)]
async fn with_as_many_hidden_as_may_be_the_rest_keeps_what_it_has() {
    let few = Limits { fair_hidden: 1, ..Limits::default() };
    let (queue, room) = (queue(&few), Arc::new(Semaphore::new(1)));
    let (_noisy, _lasting) = (fill(&queue, "noisy"), fill(&queue, "lasting"));
    let mut first = Box::pin(acquire(&queue, "noisy", 0, &room));
    assert!((&mut first).now_or_never().is_none());
    tokio::time::advance(Duration::from_secs(1)).await;
    let hidden = acquire(&queue, "noisy", 1, &room).await.expect_err("there is no room");
    assert_eq!((hidden, queue.status("jobs").hidden), (Duration::from_secs(1), 1));
    let mut stays = Box::pin(acquire(&queue, "noisy", 2, &room));
    assert!((&mut stays).now_or_never().is_none(), "it waits with the permit that it has");
    assert_eq!(queue.status("jobs").waiting, 2);
}

#[tokio::test(start_paused = true)]
async fn keys_without_end_cost_bounded_memory() {
    let few = Limits { concurrency_keys: 100, ..Limits::default() };
    let (queue, room) = (queue(&few), Arc::new(Semaphore::new(100)));
    for n in 0..10_000 {
        assert!(acquire(&queue, &n.to_string(), 0, &room).await.is_ok());
    }
    assert_eq!(queue.status("jobs").keys, 100);
}
