//! A ledger that fails when a test says so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use wasq_core::message::Key;
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Completion, Fence, Finish, Ledger, LedgerError};

/// What is wrong with a [`Faulty`] ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Every call is refused, as by a full disk.
    Down,
    /// Claims are given, and nothing else is recorded.
    DownAfterClaim,
    /// What is paused cannot be read.
    NoPauses,
    /// The next claim panics, and the ones after it do not.
    PanicOnce,
    /// What stands under the next claim's key cannot be read.
    DamagedOnce,
    /// How a claim ended is recorded at once, and answered when the trouble is over.
    LateFinish,
}

/// A local ledger with troubles.
pub struct Faulty {
    inner: LocalLedger,
    trouble: Mutex<Trouble>,
    changed: Notify,
    refused: AtomicUsize,
    claims: AtomicUsize,
}

impl Faulty {
    pub fn new(inner: LocalLedger, trouble: Trouble) -> Arc<Self> {
        let (changed, refused, claims) = (Notify::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { inner, trouble: Mutex::new(trouble), changed, refused, claims })
    }

    pub fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
        self.changed.notify_waiters();
    }

    /// Extensions that were refused: their claims had ended.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Claims that were asked for.
    pub fn claims(&self) -> usize {
        self.claims.load(Ordering::Relaxed)
    }

    async fn until_answered(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if *self.trouble.lock().unwrap() != Trouble::LateFinish {
                return;
            }
            changed.await;
        }
    }

    fn check(&self, claiming: bool) -> Result<(), LedgerError> {
        let full = || Err(LedgerError::Unavailable("no space left on device".into()));
        let mut trouble = self.trouble.lock().unwrap();
        match *trouble {
            Trouble::None | Trouble::NoPauses | Trouble::LateFinish => Ok(()),
            Trouble::Down => full(),
            Trouble::DownAfterClaim if claiming => Ok(()),
            Trouble::DownAfterClaim => full(),
            Trouble::PanicOnce if claiming => {
                *trouble = Trouble::None;
                drop(trouble);
                panic!("this claim panics, as the test wants it");
            }
            Trouble::DamagedOnce if claiming => {
                *trouble = Trouble::None;
                Err(LedgerError::Damaged("its attribute `state` is `asleep`".into()))
            }
            Trouble::PanicOnce | Trouble::DamagedOnce => Ok(()),
        }
    }
}

#[async_trait]
impl Ledger for Faulty {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        self.claims.fetch_add(1, Ordering::Relaxed);
        self.check(true)?;
        self.inner.claim(key, request).await
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        if let Err(error) = self.check(false) {
            return vec![Err(error); claims.len()];
        }
        let answers = self.inner.extend(claims, lease).await;
        self.refused.fetch_add(answers.iter().filter(|answer| matches!(answer, Ok(false))).count(), Ordering::Relaxed);
        answers
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        self.check(false)?;
        let answer = self.inner.finish(key, fence, finish).await;
        self.until_answered().await;
        answer
    }

    async fn known_batch(&self, keys: &[Key]) -> Vec<Result<bool, LedgerError>> {
        match self.check(true) {
            Ok(()) => self.inner.known_batch(keys).await,
            Err(error) => vec![Err(error); keys.len()],
        }
    }

    async fn complete_batch(&self, completions: Vec<(Key, Completion)>) -> Vec<Result<(), LedgerError>> {
        if let Err(error) = self.check(false) {
            return vec![Err(error); completions.len()];
        }
        let answers = self.inner.complete_batch(completions).await;
        self.until_answered().await;
        answers
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.check(false)?;
        self.inner.get_step(key, fence, name).await
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.put_step(key, fence, name, value).await
    }

    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.put_envelope(id, json, ttl).await
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.check(false)?;
        self.inner.get_envelope(id).await
    }

    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.put_pause(service, pause).await
    }

    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.remove_pause(service, target).await
    }

    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        // On a full disk reading goes on.
        if *self.trouble.lock().unwrap() == Trouble::NoPauses {
            return Err(LedgerError::Unavailable("what is paused cannot be read".into()));
        }
        self.inner.pauses(service).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.ping().await
    }
}
