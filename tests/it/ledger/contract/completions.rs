//! The cases of completions that had no claim.

use std::sync::Arc;
use std::time::Duration;

use wasq_core::message::{BodyDigest, Key, MessageId, UnixMs};
use wasq_ledgers::{Claim, Completion, Ended, Finish, Ledger};

use super::{ENDED, LONG, assert_stale, claim, dead_lettered, done, finish, fresh, new_key, request};

type Shared = Arc<dyn Ledger>;

/// The end of work on the body and message that most cases use.
pub fn completion(ttl: Duration) -> Completion {
    Completion {
        body: BodyDigest::of(b"body"),
        message_id: MessageId("message".into()),
        result: Some(b"result".to_vec()),
        discarded: false,
        ttl,
    }
}

async fn complete(ledger: &dyn Ledger, key: Key, completion: Completion) {
    let answers = ledger.complete_batch(vec![(key, completion)]).await;
    assert!(matches!(answers[..], [Ok(())]), "{answers:?}");
}

pub async fn what_is_recorded_is_known(ledger: Shared) {
    let [new, held, over, finished, letter, completed] = std::array::from_fn(|_| new_key());
    fresh(&*ledger, held, LONG).await;
    fresh(&*ledger, over, ENDED).await;
    for (key, end) in [(finished, done(LONG)), (letter, dead_lettered("message", LONG))] {
        let fence = fresh(&*ledger, key, LONG).await.fence;
        finish(&*ledger, key, fence, end).await;
    }
    complete(&*ledger, completed, completion(LONG)).await;
    let answers = ledger.known_batch(&[held, new, over, finished, letter, completed, new]).await;
    let known: Vec<_> = answers.into_iter().collect::<Result<_, _>>().expect("the store answers");
    assert_eq!(known, [true, false, true, true, true, true, false]);
    assert!(ledger.known_batch(&[]).await.is_empty());
    fresh(&*ledger, new, LONG).await;
}

pub async fn how_a_key_has_ended_is_known_later(ledger: Shared) {
    let [new, held, failed, finished, discarded, letter, completed] = std::array::from_fn(|_| new_key());
    fresh(&*ledger, held, LONG).await;
    let without_a_result = Finish::Done { result: None, discarded: true, ttl: LONG };
    let ends = [
        (failed, Finish::Failed { at: UnixMs(1) }),
        (finished, Finish::Done { result: Some(b"\0result".to_vec()), discarded: false, ttl: LONG }),
        (discarded, without_a_result),
        (letter, dead_lettered("message", LONG)),
    ];
    for (key, end) in ends {
        let fence = fresh(&*ledger, key, LONG).await.fence;
        finish(&*ledger, key, fence, end).await;
    }
    complete(&*ledger, completed, completion(LONG)).await;
    let result = |bytes: &[u8]| Some(Ended::Done { result: Some(bytes.to_vec()), discarded: false });
    let expect = [
        (new, None),
        (held, None),
        (failed, None),
        (finished, result(b"\0result")),
        (discarded, Some(Ended::Done { result: None, discarded: true })),
        (letter, Some(Ended::DeadLettered)),
        (completed, result(b"result")),
    ];
    for (key, ended) in expect {
        assert_eq!(ledger.ended(key).await.expect("the store answers"), ended);
    }
}

pub async fn what_is_completed_without_a_claim_is_done(ledger: Shared) {
    for count in 1..=10 {
        let keys: Vec<_> = (0..count).map(|_| new_key()).collect();
        let mut completions: Vec<_> = keys.iter().map(|key| (*key, completion(LONG))).collect();
        // What is said twice is said.
        completions.push((keys[0], Completion { result: None, discarded: true, ..completion(LONG) }));
        let answers = ledger.complete_batch(completions).await;
        assert!(answers.len() == count + 1 && answers.iter().all(Result::is_ok), "{answers:?}");
        for key in keys {
            assert_eq!(claim(&*ledger, key, LONG).await, Claim::Done { same_message: true });
            let other = ledger.claim(key, &request("body", "another message", LONG)).await.expect("it answers");
            assert_eq!(other, Claim::Done { same_message: false });
            let other = ledger.claim(key, &request("another body", "message", LONG)).await.expect("it answers");
            assert_eq!(other, Claim::Conflict);
        }
    }
    assert!(ledger.complete_batch(Vec::new()).await.is_empty());
    let key = new_key();
    complete(&*ledger, key, completion(ENDED)).await;
    assert!(fresh(&*ledger, key, LONG).await.is_new, "its time is over");
}

pub async fn a_completion_voids_the_claim_of_another_delivery(ledger: Shared) {
    for lease in [LONG, ENDED] {
        let key = new_key();
        let held = fresh(&*ledger, key, lease).await;
        ledger.put_step(key, held.fence, "step", b"value").await.expect("it is ours");
        complete(&*ledger, key, completion(ENDED)).await;
        assert_stale(ledger.finish(key, held.fence, Finish::Failed { at: wasq_core::message::UnixMs(1) }).await);
        assert_stale(ledger.put_step(key, held.fence, "step", b"late").await);
        let again = fresh(&*ledger, key, LONG).await;
        assert!(again.is_new && again.fence > held.fence, "{again:?}");
        assert_eq!(ledger.get_step(key, again.fence, "step").await.expect("it is ours"), None, "its steps are gone");
    }
}

pub async fn a_completion_changes_nothing_that_has_ended(ledger: Shared) {
    let [finished, letter, other_body] = std::array::from_fn(|_| new_key());
    for (key, end) in [(finished, done(LONG)), (letter, dead_lettered("message", LONG))] {
        let fence = fresh(&*ledger, key, LONG).await.fence;
        finish(&*ledger, key, fence, end).await;
    }
    let held = fresh(&*ledger, other_body, LONG).await.fence;
    for key in [finished, letter] {
        complete(&*ledger, key, completion(ENDED)).await;
    }
    complete(&*ledger, other_body, Completion { body: BodyDigest::of(b"another body"), ..completion(ENDED) }).await;
    assert_eq!(claim(&*ledger, finished, LONG).await, Claim::Done { same_message: true });
    assert_eq!(claim(&*ledger, letter, LONG).await, Claim::DeadLettered);
    finish(&*ledger, other_body, held, done(LONG)).await;

    // A replay has another message id.
    complete(&*ledger, letter, Completion { message_id: MessageId("replay".into()), ..completion(LONG) }).await;
    let replay = ledger.claim(letter, &request("body", "replay", LONG)).await.expect("it answers");
    assert_eq!(replay, Claim::Done { same_message: true });
    assert_eq!(claim(&*ledger, letter, LONG).await, Claim::DeadLettered, "it is still recognised");
}
