//! Dead letters, their replays and their envelopes.

use super::*;

pub async fn a_dead_lettered_message_is_recognised(ledger: Shared) {
    let key = new_key();
    let fence = fresh(&*ledger, key, LONG).await.fence;
    finish(&*ledger, key, fence, dead_lettered("message", LONG)).await;
    assert_eq!(claim(&*ledger, key, LONG).await, Claim::DeadLettered);
}

pub async fn a_replay_starts_afresh_and_keeps_its_steps(ledger: Shared) {
    let key = new_key();
    fresh(&*ledger, key, ENDED).await;
    let claimed = fresh(&*ledger, key, LONG).await;
    ledger.put_step(key, claimed.fence, "charge", b"receipt").await.expect("ours");
    finish(&*ledger, key, claimed.fence, Finish::Failed { at: UnixMs(1) }).await;
    let claimed = fresh(&*ledger, key, LONG).await;
    finish(&*ledger, key, claimed.fence, dead_lettered("message", LONG)).await;

    let replay = ledger.claim(key, &request("edited body", "replayed message", LONG)).await.expect("the store answers");
    let Claim::Fresh(replay) = replay else { panic!("a replay is claimed afresh, not {replay:?}") };
    assert_eq!((replay.attempt, replay.crashes, replay.replays, replay.first_failed_at), (1, 0, 1, None));
    let step = ledger.get_step(key, replay.fence, "charge").await.expect("ours");
    assert_eq!(step.as_deref(), Some(&b"receipt"[..]));
    let old_body = ledger.claim(key, &request("body", "another message", LONG)).await.expect("the store answers");
    assert_eq!(old_body, Claim::Conflict, "the replay's body is the key's body now");
}

pub async fn replays_are_counted(ledger: Shared) {
    let key = new_key();
    for replays in 0..3 {
        let message = format!("message {replays}");
        for attempt in 1..=2 {
            let claim = ledger.claim(key, &request("body", &message, LONG)).await.expect("the store answers");
            let Claim::Fresh(claim) = claim else { panic!("another message of the key is a replay, not {claim:?}") };
            assert_eq!((claim.attempt, claim.replays), (attempt, replays));
            let ends = if attempt == 1 { Finish::Failed { at: UnixMs(1) } } else { dead_lettered(&message, LONG) };
            finish(&*ledger, key, claim.fence, ends).await;
        }
    }
}

/// Two messages of one key, each dead-lettered, do not take turns for ever: each is known when it
/// comes again.
pub async fn every_message_that_was_dead_lettered_is_recognised(ledger: Shared) {
    let key = new_key();
    let claim_for = async |message: &str, body: &str| {
        ledger.claim(key, &request(body, message, LONG)).await.expect("the store answers")
    };
    for message in ["message 0", "message 1", "message 2"] {
        let Claim::Fresh(fresh) = claim_for(message, "body").await else { panic!("{message} is new") };
        finish(&*ledger, key, fresh.fence, dead_lettered(message, LONG)).await;
    }
    for message in ["message 2", "message 0", "message 1"] {
        assert_eq!(claim_for(message, "body").await, Claim::DeadLettered, "{message}");
    }
    let Claim::Fresh(replay) = claim_for("replay", "edited body").await else { panic!("a replay is new") };
    assert_eq!(claim_for("message 1", "body").await, Claim::DeadLettered, "while its replay runs");
    finish(&*ledger, key, replay.fence, done(LONG)).await;
    assert_eq!(claim_for("message 0", "body").await, Claim::DeadLettered, "when its replay is done");
    assert_eq!(claim_for("another", "edited body").await, Claim::Done { same_message: false });
}

pub async fn what_is_dead_lettered_is_forgotten_after_its_time(ledger: Shared) {
    let key = new_key();
    let fence = fresh(&*ledger, key, LONG).await.fence;
    ledger.put_step(key, fence, "charge", b"receipt").await.expect("ours");
    finish(&*ledger, key, fence, dead_lettered("message", ENDED)).await;
    let again = fresh(&*ledger, key, LONG).await;
    assert_eq!((again.attempt, again.crashes), (1, 0));
    assert_eq!(ledger.get_step(key, again.fence, "charge").await.expect("ours"), None);
}

pub async fn envelopes_are_kept_for_their_time(ledger: Shared) {
    let (kept, expired, unknown) = (new_key().to_hex(), new_key().to_hex(), new_key().to_hex());
    ledger.put_envelope(&kept, b"{}", ENDED).await.expect("the store answers");
    ledger.put_envelope(&kept, br#"{"class":"timeout"}"#, LONG).await.expect("the store answers");
    ledger.put_envelope(&expired, b"{}", ENDED).await.expect("the store answers");
    let found = ledger.get_envelope(&kept).await.expect("the store answers");
    assert_eq!(found.as_deref(), Some(&br#"{"class":"timeout"}"#[..]));
    assert_eq!(ledger.get_envelope(&expired).await.expect("the store answers"), None);
    assert_eq!(ledger.get_envelope(&unknown).await.expect("the store answers"), None);
}
