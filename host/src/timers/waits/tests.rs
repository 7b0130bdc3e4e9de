use std::sync::Arc;

use wasq_ledgers::local::LocalLedger;

use super::*;

const LONG: Duration = Duration::from_secs(3_600);
const KEY: Key = Key([7; 32]);

fn store() -> (tempfile::TempDir, Arc<dyn Ledger>, TimerStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(dir.path()).expect("it can be opened"));
    let store = TimerStore::of(&*ledger, "shop").expect("it keeps timers");
    (dir, ledger, store)
}

fn waiter() -> Waiter {
    let message =
        Outgoing { body: "{}".into(), attributes: Default::default(), delay_s: 0, group: None, deduplication_id: None };
    Waiter { queue: "jobs".into(), message }
}

async fn pending(store: &TimerStore, ledger: &dyn Ledger, name: &str, timeout: Duration) -> String {
    match store.wait(ledger, KEY, name, timeout, &waiter()).await.expect("the ledger answers") {
        Waiting::Pending(token) => token,
        other => panic!("{other:?}"),
    }
}

async fn answer(store: &TimerStore, ledger: &dyn Ledger, token: &str, body: &[u8]) -> Answered {
    store.answer(ledger, token, body).await.expect("the ledger answers")
}

/// As the host does with what is due.
async fn send_due(store: &TimerStore, ledger: &dyn Ledger) -> usize {
    let due = store.timers.take_due(LONG, 10).await.expect("the ledger answers").taken;
    for taken in &due {
        let wait = stored_message::decode(&taken.message).expect("it is one").wait.expect("it waits");
        wait.keep_outcome(ledger).await.expect("the ledger answers");
        store.timers.done_batch(&[(taken.id.clone(), taken.fence)]).await.remove(0).expect("it is ours");
    }
    due.len()
}

#[tokio::test]
async fn an_answer_ends_the_wait_and_each_token_is_good_for_one() {
    let (_dir, ledger, store) = store();
    let ledger = &*ledger;
    let tokens = [pending(&store, ledger, "a", LONG).await, pending(&store, ledger, "a", LONG).await];
    assert!(tokens[0] != tokens[1] && tokens[0].len() == 22, "128 bits: {tokens:?}");
    assert_eq!(send_due(&store, ledger).await, 0);
    // An earlier attempt has handed out the first.
    assert_eq!(answer(&store, ledger, &tokens[0], b"yes").await, Answered::Accepted);
    for token in &tokens {
        assert_eq!(answer(&store, ledger, token, b"no").await, Answered::Gone, "used");
    }
    assert_eq!(answer(&store, ledger, "another", b"no").await, Answered::Gone);
    assert_eq!(send_due(&store, ledger).await, 1);
    let ended = store.wait(ledger, KEY, "a", LONG, &waiter()).await.expect("the ledger answers");
    assert_eq!(ended, Waiting::Answered(b"yes".to_vec()));
    assert_eq!(answer(&store, ledger, &tokens[1], b"no").await, Answered::Gone);
    pending(&store, ledger, "b", LONG).await;
}

#[tokio::test]
async fn a_wait_that_nobody_answers_times_out() {
    let (_dir, ledger, store) = store();
    let ledger = &*ledger;
    let token = pending(&store, ledger, "a", Duration::ZERO).await;
    assert_eq!(send_due(&store, ledger).await, 1);
    let ended = store.wait(ledger, KEY, "a", LONG, &waiter()).await.expect("the ledger answers");
    assert_eq!(ended, Waiting::TimedOut);
    assert_eq!(answer(&store, ledger, &token, b"late").await, Answered::Gone);
}

#[tokio::test]
async fn an_answer_that_comes_while_the_message_is_sent_is_too_late() {
    let (_dir, ledger, store) = store();
    let ledger = &*ledger;
    let token = pending(&store, ledger, "a", Duration::ZERO).await;
    let due = store.timers.take_due(LONG, 10).await.expect("the ledger answers").taken;
    assert_eq!(due.len(), 1);
    assert_eq!(answer(&store, ledger, &token, b"late").await, Answered::Gone);
}

#[tokio::test]
async fn what_the_ledger_has_damaged_is_an_error_and_not_an_answer_too_late() {
    let (_dir, ledger, store) = store();
    let ledger = &*ledger;
    let token = pending(&store, ledger, "a", LONG).await;
    let check = async |token: &str, expect: &str| match store.answer(ledger, token, b"yes").await {
        Err(LedgerError::Damaged(what)) => assert!(what.starts_with(expect), "{what}"),
        other => panic!("{other:?}"),
    };
    ledger.put_envelope(&lead_id("other"), b"{", LONG).await.expect("the ledger answers");
    check("other", "what a token leads to").await;
    let id = Wait::new(KEY, "a").timer();
    let fence = store.get(&id).await.expect("the ledger answers").and_then(|timer| timer.fence).expect("it waits");
    let update = Update { id, fence, due: When::In(LONG), message: Some(Bytes::from_static(b"x")) };
    assert!(store.timers.update(update).await.expect("the ledger answers"));
    check(&token, "the message of a wait").await;
}
