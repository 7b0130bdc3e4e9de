//! A host in the manner of a usual SQS trigger: a task a message, each with a timer that renews its
//! visibility at half of it, and a delete for each. Its handler is native, which flatters it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use wasq_core::aws as sdk;
use wasq_queues::BATCH_MAX_ENTRIES;

use crate::native_process::{VISIBILITY_S, WAIT_S};
use crate::protocol::{Consumer, Load, Measured, Stopwatch, begin};
use crate::queue_site::aws;
use crate::tally::Tally;
use crate::workload;

pub async fn run(consumer: Consumer) -> anyhow::Result<Measured> {
    let client = Client::new(&sdk::sdk_config(&aws(&consumer.site.endpoint)).await);
    empty(&client, &consumer, &consumer.warm_up).await.context("while it got warm")?;
    begin()?;
    let watch = Stopwatch::start();
    let tally = empty(&client, &consumer, &consumer.load).await?;
    let outcome = watch.stop(tally.handled());
    Ok(Measured { calls: Some(tally.calls()), ..outcome })
}

async fn empty(client: &Client, consumer: &Consumer, load: &Load) -> anyhow::Result<Arc<Tally>> {
    let trigger = Arc::new(Trigger {
        client: client.clone(),
        url: load.queue_url.clone(),
        tally: Arc::new(Tally::new(load.messages)),
        room: Arc::new(Semaphore::new(consumer.concurrency)),
    });
    let mut pollers = JoinSet::new();
    for _ in 0..consumer.pollers {
        pollers.spawn(trigger.clone().poll());
    }
    trigger.tally.reached(&mut pollers).await?;
    Ok(trigger.tally.clone())
}

struct Trigger {
    client: Client,
    url: String,
    tally: Arc<Tally>,
    room: Arc<Semaphore>,
}

impl Trigger {
    async fn poll(self: Arc<Self>) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        loop {
            self.tally.called("ReceiveMessage");
            let call =
                self.client.receive_message().queue_url(&self.url).max_number_of_messages(BATCH_MAX_ENTRIES as i32);
            let answer = call.wait_time_seconds(WAIT_S).visibility_timeout(VISIBILITY_S).send().await?;
            for message in answer.messages.unwrap_or_default() {
                let permit = self.room.clone().acquire_owned().await.expect("the semaphore is never closed");
                tasks.spawn(self.clone().task(message, permit));
            }
            while let Some(ended) = tasks.try_join_next() {
                ended??;
            }
        }
    }

    async fn task(self: Arc<Self>, message: Message, _permit: OwnedSemaphorePermit) -> anyhow::Result<()> {
        let receipt = message.receipt_handle().unwrap_or_default().to_owned();
        let renewals = tokio::spawn(self.clone().renew(receipt.clone()));
        let handled =
            workload::handle(message.body().unwrap_or_default(), message.message_id().unwrap_or_default()).await;
        renewals.abort();
        handled?;
        self.tally.called("DeleteMessage");
        self.client.delete_message().queue_url(&self.url).receipt_handle(receipt).send().await?;
        self.tally.handle(1);
        Ok(())
    }

    async fn renew(self: Arc<Self>, receipt: String) {
        loop {
            tokio::time::sleep(Duration::from_secs(VISIBILITY_S as u64 / 2)).await;
            self.tally.called("ChangeMessageVisibility");
            let call = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(&receipt);
            if let Err(error) = call.visibility_timeout(VISIBILITY_S).send().await {
                tracing::warn!(%error, "a visibility could not be renewed");
            }
        }
    }
}
