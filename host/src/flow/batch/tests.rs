use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wasq_core::message::{BodyDigest, MessageId};
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::Fresh;

use super::*;

/// Notes how many keys each call has, gives each claim its key's first byte as fence, and takes no
/// end of fence 3. It panics over key 9.
#[derive(Default)]
struct Noted {
    claims: Mutex<Vec<usize>>,
    ends: Mutex<Vec<usize>>,
}

#[async_trait::async_trait]
impl Ledger for Noted {
    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        assert!(claims.iter().all(|(key, _)| key.0[0] != 9), "as the test wants it");
        self.claims.lock().push(claims.len());
        tokio::task::yield_now().await;
        let fresh = |fence| Fresh { attempt: 1, crashes: 0, replays: 0, fence, first_failed_at: None, is_new: true };
        claims.iter().map(|(key, _)| Ok(Claim::Fresh(fresh(Fence(key.0[0].into()))))).collect()
    }

    async fn finish_batch(&self, ends: Vec<(Key, Fence, Finish)>) -> Vec<Result<(), LedgerError>> {
        self.ends.lock().push(ends.len());
        ends.iter().map(|(_, fence, _)| if *fence == Fence(3) { Err(LedgerError::Stale) } else { Ok(()) }).collect()
    }

    async fn claim(&self, _: Key, _: &ClaimRequest) -> Result<Claim, LedgerError> {
        unreachable!("a batch is asked for")
    }
    async fn finish(&self, _: Key, _: Fence, _: Finish) -> Result<(), LedgerError> {
        unreachable!("a batch is asked for")
    }
    async fn extend(&self, _: &[(Key, Fence)], _: Duration) -> Vec<Result<bool, LedgerError>> {
        unreachable!("no lease is kept")
    }
    async fn get_step(&self, _: Key, _: Fence, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(None)
    }
    async fn put_step(&self, _: Key, _: Fence, _: &str, _: &[u8]) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn put_envelope(&self, _: &str, _: &[u8], _: Duration) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn get_envelope(&self, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(None)
    }
    async fn put_pause(&self, _: &str, _: &Pause) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn remove_pause(&self, _: &str, _: &Target) -> Result<(), LedgerError> {
        Ok(())
    }
    async fn pauses(&self, _: &str) -> Result<Vec<Pause>, LedgerError> {
        Ok(Vec::new())
    }
    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}

fn request() -> ClaimRequest {
    let (body, message_id) = (BodyDigest([0; 32]), MessageId("m".into()));
    ClaimRequest { body, message_id, lease: Duration::from_secs(30), is_redelivery: false }
}

async fn claim(batch: &Batch<'_>, number: u8) -> Result<Fence, LedgerError> {
    match batch.claim(Key([number; 32]), request()).await? {
        Claim::Fresh(fresh) => Ok(fresh.fence),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_at_the_same_time_is_one_call_with_an_answer_for_each() {
    let ledger = Noted::default();
    let batch = Batch::new(&ledger);
    let refused = AtomicUsize::new(0);
    let (batch, refused_here) = (&batch, &refused);
    let ways = (1..=5).map(|number: u8| async move {
        let fence = claim(batch, number).await.unwrap();
        assert_eq!(fence, Fence(number.into()));
        // One waits for its handler, and holds up no other.
        if number == 5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if batch.finish(Key([number; 32]), fence, Finish::Released { ran: true }).await.is_err() {
            refused_here.fetch_add(usize::from(number), Ordering::Relaxed);
        }
    });
    batch.drive(ways).await;
    assert_eq!((&*ledger.claims.lock(), &*ledger.ends.lock()), (&vec![5], &vec![4, 1]));
    assert_eq!(refused.into_inner(), 3, "an answer goes to whoever has asked");
}

#[tokio::test]
async fn a_delivery_that_panics_ends_alone_and_so_does_a_call() {
    let ledger = Noted::default();
    let ended = Arc::new(AtomicUsize::new(0));
    for (numbers, expect) in [([1, 2], 1), ([1, 9], 0)] {
        let batch = Batch::new(&ledger);
        let (batch, ended_here) = (&batch, &ended);
        let ways = numbers.map(|number| async move {
            match claim(batch, number).await {
                Ok(_) if number == 1 => panic!("as the test wants it"),
                Ok(_) => drop(ended_here.fetch_add(1, Ordering::Relaxed)),
                Err(error) => assert!(matches!(error, LedgerError::Unavailable(_)), "{error}"),
            }
        });
        batch.drive(ways).await;
        assert_eq!(ended.swap(0, Ordering::Relaxed), expect, "{numbers:?}");
    }
}
