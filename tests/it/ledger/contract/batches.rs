//! The cases of several keys in one call: each has an answer of its own.

use std::sync::Arc;

use wasq_core::message::Key;
use wasq_ledgers::{Claim, ClaimRequest, Fence, Finish, Ledger};

use super::{ENDED, LONG, assert_stale, claim, dead_lettered, done, finish, fresh, new_key, request};

type Shared = Arc<dyn Ledger>;

/// The largest batch that SQS hands out.
const TEN: usize = 10;

async fn claim_all(ledger: &dyn Ledger, claims: &[(Key, ClaimRequest)]) -> Vec<Claim> {
    let answers = ledger.claim_batch(claims).await;
    assert_eq!(answers.len(), claims.len());
    answers.into_iter().collect::<Result<_, _>>().expect("the store answers")
}

pub async fn each_claim_of_a_batch_has_its_own_answer(ledger: Shared) {
    let [new, held, over, finished, letter, other_body] = std::array::from_fn(|_| new_key());
    fresh(&*ledger, held, LONG).await;
    fresh(&*ledger, over, ENDED).await;
    for (key, end) in [(finished, done(LONG)), (letter, dead_lettered("message", LONG))] {
        let fence = fresh(&*ledger, key, LONG).await.fence;
        finish(&*ledger, key, fence, end).await;
    }
    fresh(&*ledger, other_body, LONG).await;
    let of = |key| (key, request("body", "message", LONG));
    let claims = [
        of(held),
        of(new),
        of(finished),
        (other_body, request("another body", "message", LONG)),
        of(over),
        of(letter),
        (new_key(), request("body", "another message", LONG)),
    ];
    let answers = claim_all(&*ledger, &claims).await;
    let [busy, first, is_done, conflict, second, dead, other] = &answers[..] else { panic!("{answers:?}") };
    assert!(matches!(busy, Claim::Busy { .. }), "{busy:?}");
    assert!(matches!(first, Claim::Fresh(fresh) if fresh.is_new && fresh.attempt == 1), "{first:?}");
    assert_eq!(*is_done, Claim::Done { same_message: true });
    assert_eq!(*conflict, Claim::Conflict);
    assert!(matches!(second, Claim::Fresh(fresh) if (fresh.attempt, fresh.crashes) == (2, 1)), "{second:?}");
    assert_eq!(*dead, Claim::DeadLettered);
    assert!(matches!(other, Claim::Fresh(fresh) if fresh.is_new), "{other:?}");
    assert!(claim_all(&*ledger, &[]).await.is_empty());
}

pub async fn each_end_of_a_batch_has_its_own_answer(ledger: Shared) {
    for count in 1..=TEN {
        let keys: Vec<_> = (0..count).map(|_| new_key()).collect();
        let claims: Vec<_> = keys.iter().map(|key| (*key, request("body", "message", LONG))).collect();
        let mut fences = Vec::new();
        for answer in claim_all(&*ledger, &claims).await {
            let Claim::Fresh(fresh) = answer else { panic!("expected a fresh claim, got {answer:?}") };
            fences.push(fresh.fence);
        }
        // Each ends in another way, and the last is another's.
        let end = |at: usize| match at % 4 {
            0 => done(LONG),
            1 => Finish::Failed { at: wasq_core::message::UnixMs(1) },
            2 => Finish::Released { ran: false },
            _ => dead_lettered("message", LONG),
        };
        let mut ends: Vec<_> = keys.iter().zip(&fences).enumerate().map(|(at, (k, f))| (*k, *f, end(at))).collect();
        ends[count - 1].1 = Fence(ends[count - 1].1.0 + 1_000_000);
        let mut answers = ledger.finish_batch(ends).await;
        assert_eq!(answers.len(), count);
        assert_stale(answers.pop().expect("there is a last"));
        answers.into_iter().for_each(|answer| answer.expect("the claim is ours"));
        for (at, key) in keys.iter().enumerate() {
            let again = claim(&*ledger, *key, ENDED).await;
            let fits = match at {
                _ if at == count - 1 => matches!(again, Claim::Busy { .. }),
                _ => match at % 4 {
                    0 => again == Claim::Done { same_message: true },
                    1 => matches!(&again, Claim::Fresh(fresh) if fresh.attempt == 2 && fresh.first_failed_at.is_some()),
                    2 => matches!(&again, Claim::Fresh(fresh) if fresh.attempt == 1),
                    _ => again == Claim::DeadLettered,
                },
            };
            assert!(fits, "{at} of {count}: {again:?}");
        }
    }
}

pub async fn a_key_that_is_named_twice_is_claimed_once(ledger: Shared) {
    let (key, other) = (new_key(), new_key());
    let of = |key, message| (key, request("body", message, LONG));
    let claims = [of(key, "first"), of(other, "other"), of(key, "second"), of(key, "third")];
    let answers = claim_all(&*ledger, &claims).await;
    assert!(matches!(answers[1], Claim::Fresh(_)), "{answers:?}");
    let of_key = [&answers[0], &answers[2], &answers[3]];
    let won = of_key.iter().filter(|answer| matches!(answer, Claim::Fresh(_))).count();
    let busy = of_key.iter().filter(|answer| matches!(answer, Claim::Busy { .. })).count();
    assert_eq!((won, busy), (1, 2), "{answers:?}");
    let Some(Claim::Fresh(ours)) = of_key.into_iter().find(|answer| matches!(answer, Claim::Fresh(_))) else {
        panic!("one of them is ours: {answers:?}")
    };
    // An end that is said twice is said.
    let ends = ledger.finish_batch(vec![(key, ours.fence, done(LONG)), (key, ours.fence, done(LONG))]).await;
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
}

pub async fn a_batch_leaves_steps_where_they_belong(ledger: Shared) {
    let keys = [new_key(), new_key()];
    let mut ends = Vec::new();
    for key in keys {
        let fence = fresh(&*ledger, key, LONG).await.fence;
        ledger.put_step(key, fence, "step", b"value").await.expect("ours");
        ends.push((key, fence));
    }
    let [(done_key, done_fence), (failed_key, failed_fence)] = ends[..] else { panic!("there are two") };
    let failed = Finish::Failed { at: wasq_core::message::UnixMs(1) };
    let answers =
        ledger.finish_batch(vec![(done_key, done_fence, done(ENDED)), (failed_key, failed_fence, failed)]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for (key, expect) in [(done_key, None), (failed_key, Some(&b"value"[..]))] {
        let fence = fresh(&*ledger, key, LONG).await.fence;
        assert_eq!(ledger.get_step(key, fence, "step").await.expect("ours").as_deref(), expect);
    }
}
