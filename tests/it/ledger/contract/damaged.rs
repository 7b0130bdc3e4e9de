//! The cases of an entry that cannot be read, for every store. It is its key's matter: other keys
//! go on.

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use tempfile::TempDir;
use wasq_core::message::Key;
use wasq_ledgers::{Claim, Fence, Ledger, LedgerError};

use super::{LONG, claim, done, finish, fresh, new_key, request};

/// As [`super::contract`]. `$open` gives a ledger, and what does the damage.
macro_rules! damage_contract {
    ($store:ident, $open:path) => {
        $crate::ledger::contract::damage_contract! { $store, $open;
            one_damaged_entry_does_not_keep_others_from_their_extension
            one_damaged_entry_does_not_keep_the_others_of_its_batch
            a_damaged_entry_answers_every_question_so_and_other_keys_go_on
        }
    };
    ($store:ident, $open:path; $($case:ident)*) => {
        mod $store {$(
            #[tokio::test]
            async fn $case() {
                $crate::ledger::contract::run(|| async {
                    let (ledger, damage) = $open().await;
                    $crate::ledger::contract::damaged::$case(ledger, damage).await;
                })
                .await;
            }
        )*}
    };
}
pub(crate) use damage_contract;

/// Puts a key's entry into a state that no version so far knows, and gives the ledger to go on
/// with, and where it is.
pub type Damage = Box<dyn FnOnce(Key) -> BoxFuture<'static, (Arc<dyn Ledger>, Option<TempDir>)>>;

/// Which of ten claims is damaged.
const BAD: usize = 3;

async fn ten_claims(ledger: &dyn Ledger) -> Vec<(Key, Fence)> {
    let claims = (0..10).map(|_| async {
        let key = new_key();
        (key, fresh(ledger, key, LONG).await.fence)
    });
    join_all(claims).await
}

/// The words name the key, and what may have happened.
fn assert_damaged<T: std::fmt::Debug>(key: Key, answer: &Result<T, LedgerError>) {
    let Err(LedgerError::Damaged(what)) = answer else { panic!("expected damage, got {answer:?}") };
    assert!(what.contains(&key.to_hex()) && what.contains("written by a newer wasq"), "{what}");
}

pub async fn one_damaged_entry_does_not_keep_others_from_their_extension(ledger: Arc<dyn Ledger>, damage: Damage) {
    let claims = ten_claims(&*ledger).await;
    drop(ledger);
    let (ledger, _dir) = damage(claims[BAD].0).await;
    let answers = ledger.extend(&claims, LONG).await;
    assert_eq!(answers.len(), claims.len());
    for (n, ((key, _), answer)) in claims.iter().zip(answers).enumerate() {
        match n {
            BAD => assert_damaged(*key, &answer),
            _ => assert!(matches!(answer, Ok(true)), "{n}: {answer:?}"),
        }
    }
    for (n, (key, _)) in claims.iter().enumerate().filter(|(n, _)| *n != BAD) {
        assert!(matches!(claim(&*ledger, *key, LONG).await, Claim::Busy { .. }), "{n} holds to its new end");
    }
}

pub async fn one_damaged_entry_does_not_keep_the_others_of_its_batch(ledger: Arc<dyn Ledger>, damage: Damage) {
    let claims = ten_claims(&*ledger).await;
    drop(ledger);
    let (ledger, _dir) = damage(claims[BAD].0).await;
    let ends = claims.iter().map(|(key, fence)| (*key, *fence, done(LONG))).collect();
    for (n, ((key, _), answer)) in claims.iter().zip(ledger.finish_batch(ends).await).enumerate() {
        match n {
            BAD => assert_damaged(*key, &answer),
            _ => assert!(answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    let again: Vec<_> = claims.iter().map(|(key, _)| (*key, request("body", "message", LONG))).collect();
    for (n, ((key, _), answer)) in claims.iter().zip(ledger.claim_batch(&again).await).enumerate() {
        match n {
            BAD => assert_damaged(*key, &answer),
            _ => assert!(matches!(answer, Ok(Claim::Done { .. })), "{n}: {answer:?}"),
        }
    }
}

pub async fn a_damaged_entry_answers_every_question_so_and_other_keys_go_on(ledger: Arc<dyn Ledger>, damage: Damage) {
    let claims = ten_claims(&*ledger).await;
    drop(ledger);
    let (key, fence) = claims[BAD];
    let (ledger, _dir) = damage(key).await;
    // At the same moment, so that a store which does many at once does these together.
    let of_others = async || {
        for (key, fence) in claims.iter().filter(|(other, _)| *other != key) {
            finish(&*ledger, *key, *fence, done(LONG)).await;
        }
        fresh(&*ledger, new_key(), LONG).await;
    };
    let own = request("body", "message", LONG);
    let (claimed, finished, step, extended, ()) = futures::join!(
        ledger.claim(key, &own),
        ledger.finish(key, fence, done(LONG)),
        ledger.get_step(key, fence, "step"),
        ledger.extend(&claims[BAD..=BAD], LONG),
        of_others(),
    );
    assert_damaged(key, &claimed);
    assert_damaged(key, &finished);
    assert_damaged(key, &step);
    assert_damaged(key, &extended[0]);
    ledger.ping().await.expect("it can record");
}
