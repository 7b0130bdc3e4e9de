//! The lease keeper's own handle of a ledger: it needs no runtime but the keeper's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wasq::lease::Keeper;
use wasq::telemetry::metrics::QueueMeters;
use wasq_core::clock;
use wasq_core::message::{Attributes, Delivery, MessageId, Receipt, UnixMs};
use wasq_ledgers::{Claim, Ledger};
use wasq_queues::{Outgoing, Queue, QueueError};

use super::contract::{claim, fresh, new_key};
use super::{dynamodb, postgres, redis};

const VISIBILITY: Duration = Duration::from_secs(4);

/// A queue that grants every renewal.
struct Willing;

#[async_trait]
impl Queue for Willing {
    fn name(&self) -> &str {
        "jobs"
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Delivery>, QueueError> {
        Ok(Vec::new())
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        vec![Ok(()); receipts.len()]
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        vec![Ok(()); changes.len()]
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        messages.iter().map(|_| Ok(MessageId("sent".into()))).collect()
    }

    async fn attributes(&self) -> Result<HashMap<String, String>, QueueError> {
        Ok(HashMap::new())
    }
}

fn delivery() -> Delivery {
    Delivery {
        message_id: MessageId("message".into()),
        receipt: Receipt("receipt".into()),
        body: Vec::new().into(),
        attributes: Attributes::new(),
        receive_count: 1,
        sent_at: UnixMs(0),
        enqueued_at: UnixMs(0),
        group: None,
        deduplication_id: None,
        trace_header: None,
        received_at: clock::now(),
    }
}

/// The test's runtime has one thread, and the ledger was opened there.
async fn holds_while_this_runtime_is_blocked(ledger: Arc<dyn Ledger>) {
    let connect = || async { Arc::new(Willing) as Arc<dyn Queue> };
    let keeper = Keeper::start(connect, VISIBILITY, ledger.clone(), Arc::new(QueueMeters::default()));
    let key = new_key();
    let delivery = delivery();
    let lease = keeper.track(&delivery).expect("it is in hand once");
    let fence = fresh(&*ledger, key, lease.remaining()).await.fence;
    lease.add_claim(key, fence, delivery.received_at + VISIBILITY);
    std::thread::sleep(VISIBILITY + VISIBILITY / 2);
    assert!(!lease.is_over(), "the keeper has extended the claim");
    assert!(matches!(claim(&*ledger, key, VISIBILITY).await, Claim::Busy { .. }), "and the server knows it");
}

#[tokio::test]
async fn leases_hold_in_redis_while_the_main_runtime_is_blocked() {
    holds_while_this_runtime_is_blocked(redis::open_shared().await.0).await;
}

#[tokio::test]
async fn leases_hold_in_postgresql_while_the_main_runtime_is_blocked() {
    holds_while_this_runtime_is_blocked(postgres::open_shared().await.0).await;
}

#[tokio::test]
async fn leases_hold_in_dynamodb_while_the_main_runtime_is_blocked() {
    holds_while_this_runtime_is_blocked(dynamodb::open_on_dynalite().await.0).await;
}
