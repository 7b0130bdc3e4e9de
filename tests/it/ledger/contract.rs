//! The cases that every store passes.
//!
//! A case takes any [`Ledger`] and makes keys of its own, so that cases may share a store. No case
//! waits: a lease or a time to live of zero has ended when it begins.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use wasq_core::message::{BodyDigest, Key, MessageId, UnixMs};
use wasq_core::pause::Pause;
use wasq_ledgers::{Claim, ClaimRequest, Fence, Finish, Fresh, Ledger, LedgerError};

/// A lease or a time to live that no test outlives.
pub const LONG: Duration = Duration::from_secs(3600);
/// One that has ended when it begins.
pub const ENDED: Duration = Duration::ZERO;

/// Makes a module with a test for each case. `$open` gives a ledger, and what has to outlive it.
macro_rules! contract {
    ($store:ident, $open:path) => {
        $crate::ledger::contract::contract! { $store, $open;
            the_first_claim_is_attempt_one
            a_held_key_is_busy_for_the_rest_of_its_lease
            a_failed_attempt_counts_and_the_first_failure_is_remembered
            a_released_attempt_does_not_count
            done_is_done
            what_is_done_is_forgotten_after_its_time
            another_body_conflicts
            a_lease_that_ends_without_a_finish_is_a_crash
            crashes_are_forgotten_when_a_run_has_ended
            only_a_key_of_which_nothing_is_known_is_new
            fences_grow
            a_stale_fence_changes_nothing
            an_unknown_key_has_no_fence
            a_late_finish_counts_if_nobody_else_has_claimed
            a_finish_may_be_said_twice
            extending_says_which_claims_are_ours
            extending_keeps_the_key_busy
            steps_outlive_attempts
            steps_go_with_the_completion
            a_dead_lettered_message_is_recognised
            a_replay_starts_afresh_and_keeps_its_steps
            replays_are_counted
            every_message_that_was_dead_lettered_is_recognised
            what_is_dead_lettered_is_forgotten_after_its_time
            envelopes_are_kept_for_their_time
            names_and_values_of_any_kind
            keys_do_not_touch_each_other
            one_of_many_claims_wins
            each_claim_of_a_batch_has_its_own_answer
            each_end_of_a_batch_has_its_own_answer
            a_key_that_is_named_twice_is_claimed_once
            a_batch_leaves_steps_where_they_belong
            what_is_recorded_is_known
            how_a_key_has_ended_is_known_later
            what_is_completed_without_a_claim_is_done
            a_completion_voids_the_claim_of_another_delivery
            a_completion_changes_nothing_that_has_ended
            pauses_are_kept_until_they_are_removed
            pauses_made_at_once_all_stand
            it_can_record
        }
    };
    ($store:ident, $open:path; $($case:ident)*) => {
        mod $store {$(
            #[tokio::test]
            async fn $case() {
                $crate::ledger::contract::run(|| async {
                    let (ledger, _kept) = $open().await;
                    $crate::ledger::contract::$case(ledger).await;
                })
                .await;
            }
        )*}
    };
}
pub(crate) use contract;

mod batches;
mod completions;
pub mod damaged;
mod fences;
mod letters;
mod pauses;
pub mod shared;

pub use batches::*;
pub use completions::*;
pub(crate) use damaged::damage_contract;
pub use fences::*;
pub use letters::*;
pub use pauses::*;
pub(crate) use shared::shared_contract;

type Shared = Arc<dyn Ledger>;

/// Runs a case. One in which the store gave no answer says nothing, and is run once more: a busy
/// machine may keep a server from answering for longer than a host waits. A store that never
/// answers fails all the same, and so does every other panic.
pub async fn run<F: Future<Output = ()>>(case: impl Fn() -> F) {
    let Err(panic) = AssertUnwindSafe(case()).catch_unwind().await else { return };
    if !panic.downcast_ref::<String>().is_some_and(|said| said.contains("Unavailable(")) {
        resume_unwind(panic);
    }
    case().await;
}

/// A key that no other test has, nor another run.
pub fn new_key() -> Key {
    Key::derive(&[&RandomState::new().hash_one(0).to_le_bytes(), &RandomState::new().hash_one(1).to_le_bytes()])
}

pub fn request(body: &str, message: &str, lease: Duration) -> ClaimRequest {
    let (body, message_id) = (BodyDigest::of(body.as_bytes()), MessageId(message.into()));
    ClaimRequest { body, message_id, lease, is_redelivery: false }
}

/// A claim for the body and message that most cases use.
pub async fn claim(ledger: &dyn Ledger, key: Key, lease: Duration) -> Claim {
    ledger.claim(key, &request("body", "message", lease)).await.expect("the store answers")
}

/// As [`claim`], and it is ours.
pub async fn fresh(ledger: &dyn Ledger, key: Key, lease: Duration) -> Fresh {
    match claim(ledger, key, lease).await {
        Claim::Fresh(fresh) => fresh,
        other => panic!("expected a fresh claim, got {other:?}"),
    }
}

pub fn done(ttl: Duration) -> Finish {
    Finish::Done { result: Some(b"result".to_vec()), discarded: false, ttl }
}

pub fn dead_lettered(message: &str, ttl: Duration) -> Finish {
    Finish::DeadLettered { message_id: MessageId(message.into()), ttl }
}

pub async fn finish(ledger: &dyn Ledger, key: Key, fence: Fence, finish: Finish) {
    ledger.finish(key, fence, finish).await.expect("the claim is ours");
}

/// Which of the claims are ours.
pub async fn extend(ledger: &dyn Ledger, claims: &[(Key, Fence)], lease: Duration) -> Vec<bool> {
    let answers = ledger.extend(claims, lease).await.into_iter();
    answers.collect::<Result<_, _>>().expect("the store answers")
}

pub fn assert_stale<T: std::fmt::Debug>(answer: Result<T, LedgerError>) {
    assert!(matches!(answer, Err(LedgerError::Stale)), "expected a refusal of the fence, got {answer:?}");
}

pub async fn the_first_claim_is_attempt_one(ledger: Shared) {
    let first = fresh(&*ledger, new_key(), LONG).await;
    assert_eq!((first.attempt, first.crashes, first.first_failed_at), (1, 0, None));
}

pub async fn a_held_key_is_busy_for_the_rest_of_its_lease(ledger: Shared) {
    let key = new_key();
    fresh(&*ledger, key, LONG).await;
    let Claim::Busy { remaining } = claim(&*ledger, key, LONG).await else { panic!("the key is held") };
    assert!(remaining <= LONG && remaining > LONG / 2, "{remaining:?}");
}

pub async fn a_failed_attempt_counts_and_the_first_failure_is_remembered(ledger: Shared) {
    let key = new_key();
    for (attempt, failed_at) in [(1, 1_000), (2, 2_000)] {
        let claim = fresh(&*ledger, key, LONG).await;
        assert_eq!(claim.attempt, attempt);
        finish(&*ledger, key, claim.fence, Finish::Failed { at: UnixMs(failed_at) }).await;
    }
    let third = fresh(&*ledger, key, LONG).await;
    assert_eq!((third.attempt, third.crashes, third.first_failed_at), (3, 0, Some(UnixMs(1_000))));
}

pub async fn a_released_attempt_does_not_count(ledger: Shared) {
    let key = new_key();
    for _ in 0..3 {
        let claim = fresh(&*ledger, key, LONG).await;
        assert_eq!((claim.attempt, claim.crashes, claim.first_failed_at), (1, 0, None));
        finish(&*ledger, key, claim.fence, Finish::Released { ran: true }).await;
    }
}

pub async fn done_is_done(ledger: Shared) {
    for finish_with in [done(LONG), Finish::Done { result: None, discarded: true, ttl: LONG }] {
        let key = new_key();
        let fence = fresh(&*ledger, key, LONG).await.fence;
        finish(&*ledger, key, fence, finish_with).await;
        assert_eq!(claim(&*ledger, key, LONG).await, Claim::Done { same_message: true });
        let again = ledger.claim(key, &request("body", "another message", LONG)).await.expect("the store answers");
        assert_eq!(again, Claim::Done { same_message: false }, "a key is done whatever message brings it");
    }
}

pub async fn what_is_done_is_forgotten_after_its_time(ledger: Shared) {
    let key = new_key();
    let before = fresh(&*ledger, key, ENDED).await;
    finish(&*ledger, key, before.fence, done(ENDED)).await;
    let again = fresh(&*ledger, key, LONG).await;
    assert_eq!((again.attempt, again.crashes), (1, 0));
    assert!(again.fence > before.fence);
}

pub async fn another_body_conflicts(ledger: Shared) {
    let key = new_key();
    let claim_other = async || ledger.claim(key, &request("another body", "message", LONG)).await.expect("it answers");
    let first = fresh(&*ledger, key, LONG).await.fence;
    assert_eq!(claim_other().await, Claim::Conflict, "while it is claimed");
    finish(&*ledger, key, first, Finish::Released { ran: true }).await;
    assert_eq!(claim_other().await, Claim::Conflict, "when it is released");
    let second = fresh(&*ledger, key, LONG).await;
    assert_eq!(second.attempt, 1, "a conflict is no attempt");
    finish(&*ledger, key, second.fence, done(LONG)).await;
    assert_eq!(claim_other().await, Claim::Conflict, "when it is done");
}

pub async fn a_lease_that_ends_without_a_finish_is_a_crash(ledger: Shared) {
    let key = new_key();
    for crashes in 0..3 {
        let claim = fresh(&*ledger, key, ENDED).await;
        assert_eq!((claim.attempt, claim.crashes), (crashes + 1, crashes));
    }
    let claim = fresh(&*ledger, key, LONG).await;
    finish(&*ledger, key, claim.fence, Finish::Released { ran: false }).await;
    let after = fresh(&*ledger, key, LONG).await;
    assert_eq!((after.attempt, after.crashes), (4, 3), "where no handler ran, its host has not lived through it");
}

pub async fn crashes_are_forgotten_when_a_run_has_ended(ledger: Shared) {
    for ends in [Finish::Failed { at: UnixMs(1) }, Finish::Released { ran: true }] {
        let key = new_key();
        for _ in 0..2 {
            fresh(&*ledger, key, ENDED).await;
        }
        let claim = fresh(&*ledger, key, LONG).await;
        assert_eq!(claim.crashes, 2);
        finish(&*ledger, key, claim.fence, ends.clone()).await;
        let after = fresh(&*ledger, key, LONG).await;
        assert_eq!(after.crashes, 0, "{ends:?}: the host has lived through a run");
    }
}

pub async fn only_a_key_of_which_nothing_is_known_is_new(ledger: Shared) {
    let key = new_key();
    let is_new = async |ends: Finish| {
        let claim = fresh(&*ledger, key, LONG).await;
        finish(&*ledger, key, claim.fence, ends).await;
        claim.is_new
    };
    assert!(is_new(Finish::Released { ran: false }).await, "nothing was recorded before");
    assert!(!is_new(Finish::Released { ran: true }).await, "released before");
    assert!(!is_new(Finish::Failed { at: UnixMs(1) }).await, "released before");
    assert!(!is_new(dead_lettered("another message", LONG)).await, "failed before");
    assert!(!is_new(done(ENDED)).await, "a replay");
    assert!(is_new(done(LONG)).await, "what was done is forgotten");
    let crashed = new_key();
    fresh(&*ledger, crashed, ENDED).await;
    assert!(!fresh(&*ledger, crashed, LONG).await.is_new, "claimed before");
}

pub async fn extending_says_which_claims_are_ours(ledger: Shared) {
    let (held, taken, finished, ended) = (new_key(), new_key(), new_key(), new_key());
    let claims = [
        (held, fresh(&*ledger, held, LONG).await.fence),
        (taken, fresh(&*ledger, taken, ENDED).await.fence),
        (finished, fresh(&*ledger, finished, LONG).await.fence),
        (ended, fresh(&*ledger, ended, ENDED).await.fence),
        (new_key(), Fence(7)),
    ];
    fresh(&*ledger, taken, LONG).await;
    finish(&*ledger, finished, claims[2].1, Finish::Released { ran: true }).await;
    assert_eq!(extend(&*ledger, &claims, LONG).await, [true, false, false, true, false]);
    assert!(extend(&*ledger, &[], LONG).await.is_empty());
}

pub async fn extending_keeps_the_key_busy(ledger: Shared) {
    let key = new_key();
    let fence = fresh(&*ledger, key, ENDED).await.fence;
    assert_eq!(extend(&*ledger, &[(key, fence)], LONG).await, [true]);
    assert!(matches!(claim(&*ledger, key, LONG).await, Claim::Busy { .. }));
    assert_eq!(extend(&*ledger, &[(key, fence)], ENDED).await, [true]);
    assert_eq!(
        fresh(&*ledger, key, LONG).await.crashes,
        1,
        "an extension makes a lease end where it says, even sooner"
    );
}

pub async fn steps_outlive_attempts(ledger: Shared) {
    let key = new_key();
    let first = fresh(&*ledger, key, LONG).await.fence;
    assert_eq!(ledger.get_step(key, first, "charge").await.expect("ours"), None);
    ledger.put_step(key, first, "charge", b"receipt 1").await.expect("ours");
    ledger.put_step(key, first, "mail", b"").await.expect("ours");
    finish(&*ledger, key, first, Finish::Failed { at: UnixMs(1) }).await;
    let second = fresh(&*ledger, key, LONG).await.fence;
    assert_eq!(ledger.get_step(key, second, "charge").await.expect("ours").as_deref(), Some(&b"receipt 1"[..]));
    assert_eq!(ledger.get_step(key, second, "mail").await.expect("ours").as_deref(), Some(&b""[..]));
    ledger.put_step(key, second, "charge", b"receipt 2").await.expect("ours");
    assert_eq!(ledger.get_step(key, second, "charge").await.expect("ours").as_deref(), Some(&b"receipt 2"[..]));
}

pub async fn steps_go_with_the_completion(ledger: Shared) {
    let key = new_key();
    let fence = fresh(&*ledger, key, LONG).await.fence;
    ledger.put_step(key, fence, "charge", b"receipt").await.expect("ours");
    finish(&*ledger, key, fence, done(ENDED)).await;
    let fence = fresh(&*ledger, key, LONG).await.fence;
    assert_eq!(ledger.get_step(key, fence, "charge").await.expect("ours"), None);
}

pub async fn names_and_values_of_any_kind(ledger: Shared) {
    let key = new_key();
    let fence = fresh(&*ledger, key, LONG).await.fence;
    let long = "n".repeat(1_000);
    let names = ["", "a", "a\0", "a\0b", "A", "\u{1f9fe} receipt", "x' OR '1'='1", long.as_str()];
    for (i, name) in names.iter().enumerate() {
        ledger.put_step(key, fence, name, &vec![i as u8; i * 10_000]).await.expect("ours");
    }
    for (i, name) in names.iter().enumerate() {
        let value = ledger.get_step(key, fence, name).await.expect("ours");
        assert_eq!(value, Some(vec![i as u8; i * 10_000]), "{name:?}");
    }
    let result = Some((0..4_096).map(|i| i as u8).collect());
    finish(&*ledger, key, fence, Finish::Done { result, discarded: false, ttl: Duration::MAX }).await;
    assert_eq!(claim(&*ledger, key, Duration::MAX).await, Claim::Done { same_message: true });
}

pub async fn keys_do_not_touch_each_other(ledger: Shared) {
    let (one, other) = (new_key(), new_key());
    let first = fresh(&*ledger, one, LONG).await.fence;
    let second = fresh(&*ledger, other, LONG).await.fence;
    assert_stale(ledger.finish(one, second, done(LONG)).await);
    ledger.put_step(one, first, "step", b"one").await.expect("ours");
    assert_eq!(ledger.get_step(other, second, "step").await.expect("ours"), None);
    finish(&*ledger, one, first, done(LONG)).await;
    assert!(matches!(claim(&*ledger, other, LONG).await, Claim::Busy { .. }));
}

pub async fn one_of_many_claims_wins(ledger: Shared) {
    let key = new_key();
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let ledger = ledger.clone();
        claims.spawn(async move { claim(&*ledger, key, LONG).await });
    }
    let answers = claims.join_all().await;
    let won = answers.iter().filter(|answer| matches!(answer, Claim::Fresh(_))).count();
    let busy = answers.iter().filter(|answer| matches!(answer, Claim::Busy { .. })).count();
    assert_eq!((won, busy), (1, 63));
}

pub async fn it_can_record(ledger: Shared) {
    ledger.ping().await.expect("the store can record");
}
