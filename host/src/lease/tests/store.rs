//! A queue and a ledger that renew leases, as the test says.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::{Delivery, Key, MessageId, Receipt};
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::{Claim, ClaimRequest, Fence, Finish, Ledger, LedgerError};
use wasq_queues::{Outgoing, Queue, QueueError};

use super::VISIBILITY;

/// How the queue answers for a receipt, or the ledger for a key.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Reply {
    #[default]
    Ours,
    Lost,
    /// Lost, once the test lets it answer.
    LostWhenTold,
    Fails,
    Hangs,
}

/// A queue and a ledger that renew leases, and nothing else.
pub struct Store {
    began: Instant,
    replies: Mutex<HashMap<String, Reply>>,
    /// What was renewed, and when, in milliseconds from the beginning.
    renewed: Mutex<Vec<(u64, String)>>,
    pub told: Notify,
}

impl Store {
    pub fn new() -> Self {
        let (replies, renewed) = (Mutex::default(), Mutex::default());
        Self { began: clock::now(), replies, renewed, told: Notify::new() }
    }

    /// Renews a batch. The answers are in its order.
    async fn renew(&self, batch: Vec<String>, length: Duration) -> Vec<Reply> {
        assert_eq!(length, VISIBILITY, "always to the whole of it");
        let at = (clock::now() - self.began).as_millis() as u64;
        self.renewed.lock().extend(batch.iter().map(|name| (at, name.clone())));
        let replies: Vec<_> = {
            let replies = self.replies.lock();
            batch.iter().map(|name| replies.get(name).copied().unwrap_or_default()).collect()
        };
        if replies.contains(&Reply::Hangs) {
            std::future::pending::<()>().await;
        }
        if replies.contains(&Reply::LostWhenTold) {
            self.told.notified().await;
        }
        replies
    }

    pub fn answers(&self, name: &str, reply: Reply) {
        self.replies.lock().insert(name.into(), reply);
    }

    /// When this was renewed.
    pub fn times(&self, name: &str) -> Vec<u64> {
        self.renewed.lock().iter().filter(|(_, renewed)| renewed == name).map(|(at, _)| *at).collect()
    }
}

#[async_trait]
impl Queue for Store {
    fn name(&self) -> &str {
        "jobs"
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        let length = Duration::from_secs(u64::from(changes[0].1));
        let replies = self.renew(changes.iter().map(|(receipt, _)| receipt.0.clone()).collect(), length).await;
        let answer = |reply| match reply {
            Reply::Ours => Ok(()),
            Reply::Lost | Reply::LostWhenTold => Err(QueueError::LeaseLost { message: "gone".into() }),
            Reply::Fails | Reply::Hangs => {
                Err(QueueError::Transient { code: "Throttled".into(), message: String::new() })
            }
        };
        replies.into_iter().map(answer).collect()
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Delivery>, QueueError> {
        unreachable!("a keeper only renews")
    }

    async fn delete(&self, _: &[Receipt]) -> Vec<Result<(), QueueError>> {
        unreachable!("a keeper only renews")
    }

    async fn send(&self, _: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        unreachable!("a keeper only renews")
    }

    async fn attributes(&self) -> Result<HashMap<String, String>, QueueError> {
        unreachable!("a keeper only renews")
    }
}

#[async_trait]
impl Ledger for Store {
    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        let replies = self.renew(claims.iter().map(|(key, fence)| claim_name(*key, *fence)).collect(), lease).await;
        let answer = |reply: &Reply| match reply {
            Reply::Fails => Err(LedgerError::Unavailable("no".into())),
            reply => Ok(*reply == Reply::Ours),
        };
        replies.iter().map(answer).collect()
    }

    async fn claim(&self, _: Key, _: &ClaimRequest) -> Result<Claim, LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn finish(&self, _: Key, _: Fence, _: Finish) -> Result<(), LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn get_step(&self, _: Key, _: Fence, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn put_step(&self, _: Key, _: Fence, _: &str, _: &[u8]) -> Result<(), LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn put_envelope(&self, _: &str, _: &[u8], _: Duration) -> Result<(), LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn get_envelope(&self, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn put_pause(&self, _: &str, _: &Pause) -> Result<(), LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn remove_pause(&self, _: &str, _: &Target) -> Result<(), LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn pauses(&self, _: &str) -> Result<Vec<Pause>, LedgerError> {
        unreachable!("a keeper only extends")
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        unreachable!("a keeper only extends")
    }
}

/// The claim of a key, as the store names it.
fn claim_name(key: Key, fence: Fence) -> String {
    format!("claim {} under {}", key.0[0], fence.0)
}
