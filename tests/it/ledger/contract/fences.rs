//! Fences: an older one changes nothing.

use super::*;

pub async fn fences_grow(ledger: Shared) {
    let key = new_key();
    let mut last = fresh(&*ledger, key, ENDED).await.fence;
    for ends in
        [None, Some(Finish::Released { ran: true }), Some(dead_lettered("message 0", LONG)), Some(done(ENDED)), None]
    {
        if let Some(ends) = ends {
            finish(&*ledger, key, last, ends).await;
        }
        let next = fresh(&*ledger, key, ENDED).await.fence;
        assert!(next > last, "{next:?} after {last:?}");
        last = next;
    }
}

pub async fn a_stale_fence_changes_nothing(ledger: Shared) {
    let key = new_key();
    let stale = fresh(&*ledger, key, ENDED).await.fence;
    let ours = fresh(&*ledger, key, LONG).await;
    for ends in
        [done(LONG), Finish::Released { ran: true }, Finish::Failed { at: UnixMs(1) }, dead_lettered("message", LONG)]
    {
        assert_stale(ledger.finish(key, stale, ends).await);
    }
    assert_stale(ledger.put_step(key, stale, "step", b"stale").await);
    assert_stale(ledger.get_step(key, stale, "step").await);
    assert_eq!(ledger.get_step(key, ours.fence, "step").await.expect("the claim is ours"), None);
    assert!(matches!(claim(&*ledger, key, LONG).await, Claim::Busy { .. }), "the newer claim still holds the key");
    finish(&*ledger, key, ours.fence, done(LONG)).await;
    assert_stale(ledger.put_step(key, ours.fence, "step", b"late").await);
}

pub async fn an_unknown_key_has_no_fence(ledger: Shared) {
    let key = new_key();
    assert_stale(ledger.finish(key, Fence(0), done(LONG)).await);
    assert_stale(ledger.finish(key, Fence(1), done(LONG)).await);
    assert_stale(ledger.put_step(key, Fence(1), "step", b"").await);
}

pub async fn a_late_finish_counts_if_nobody_else_has_claimed(ledger: Shared) {
    let key = new_key();
    let fence = fresh(&*ledger, key, ENDED).await.fence;
    finish(&*ledger, key, fence, done(LONG)).await;
    assert_eq!(claim(&*ledger, key, LONG).await, Claim::Done { same_message: true });
}

pub async fn a_finish_may_be_said_twice(ledger: Shared) {
    let key = new_key();
    let fence = fresh(&*ledger, key, LONG).await.fence;
    for _ in 0..2 {
        finish(&*ledger, key, fence, Finish::Released { ran: true }).await;
    }
    assert_stale(ledger.finish(key, fence, done(LONG)).await);
    let again = fresh(&*ledger, key, LONG).await;
    assert_eq!(again.attempt, 1, "a release that is said twice is taken off once");
    for _ in 0..2 {
        finish(&*ledger, key, again.fence, done(LONG)).await;
    }
    assert_stale(ledger.finish(key, again.fence, Finish::Released { ran: true }).await);
    assert_eq!(claim(&*ledger, key, LONG).await, Claim::Done { same_message: true });
}
