//! The producer of the latency run: sends at an even pace, whatever the consumer does.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wasq_core::clock;
use wasq_queues::{BATCH_MAX_ENTRIES, Outgoing};

use crate::protocol::{Producer, say};

/// Messages that come due within this long of each other go in one call.
const TICK: Duration = Duration::from_millis(1);
/// Calls under way at once.
const CALLS: usize = 64;

/// What it came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Produced {
    pub messages: u64,
    pub elapsed_s: f64,
}

pub async fn run(producer: Producer) -> anyhow::Result<()> {
    let queue = producer.site.open(&producer.queue_url).await?;
    let (began, room) = (clock::now(), Arc::new(Semaphore::new(CALLS)));
    let mut ticks = tokio::time::interval(TICK);
    let mut calls: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let mut sent = 0;
    while sent < producer.messages {
        ticks.tick().await;
        let due = ((began.elapsed().as_secs_f64() * producer.per_s) as u64).min(producer.messages);
        let messages: Vec<Outgoing> =
            (sent..due).map(|number| producer.workload.main(producer.first + number, producer.first)).collect();
        sent = due.max(sent);
        for batch in messages.chunks(BATCH_MAX_ENTRIES) {
            let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
            let (queue, batch) = (queue.clone(), batch.to_vec());
            calls.spawn(async move {
                let _permit = permit;
                for answer in queue.send(&batch).await {
                    answer?;
                }
                Ok(())
            });
        }
        while let Some(ended) = calls.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    say(&Produced { messages: sent, elapsed_s: began.elapsed().as_secs_f64() })
}
