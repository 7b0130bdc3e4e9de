//! The ceiling: a plain consumer on the same client library as the host's. On SQS, which is here,
//! each poller receives ten, parses and logs, and deletes them in one call.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use futures::future::try_join_all;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use wasq::config::Broker;
use wasq::telemetry::stats::Times;
use wasq_core::{aws as sdk, clock};
use wasq_queues::BATCH_MAX_ENTRIES;

use crate::protocol::{Consumer, Latency, Load, Measured, Percentiles, Stopwatch, begin, consuming};
use crate::queue_site::aws;
use crate::tally::Tally;
use crate::{native_kafka, native_rabbitmq, native_redis, workload};

/// How long a receive waits for a message.
pub const WAIT_S: i32 = 1;
/// How long a message is hidden.
pub const VISIBILITY_S: i32 = 60;

pub async fn run(consumer: Consumer) -> anyhow::Result<Measured> {
    match consumer.site.broker {
        Broker::Sqs => on_sqs(consumer).await,
        Broker::RabbitMq => native_rabbitmq::run(&consumer).await,
        Broker::Redis => native_redis::run(&consumer).await,
        Broker::Kafka => native_kafka::run(&consumer).await,
    }
}

async fn on_sqs(consumer: Consumer) -> anyhow::Result<Measured> {
    let client = Client::new(&sdk::sdk_config(&aws(&consumer.site.endpoint)).await);
    empty(&client, &consumer, &consumer.warm_up, Watched::default()).await.context("while it got warm")?;
    begin()?;
    let (watch, watched) = (Stopwatch::start(), Watched::default());
    let tally = empty(&client, &consumer, &consumer.load, watched.clone()).await?;
    let outcome = watch.stop(tally.handled());
    let latency = consumer.latency.then(|| watched.latency());
    Ok(Measured { calls: Some(tally.calls()), latency, ..outcome })
}

/// Times of messages, in the run in which latency counts.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<(Times, Times)>>);

impl Watched {
    fn record(
        &self,
        sent_to_start: impl IntoIterator<Item = Duration>,
        start_to_settled: impl IntoIterator<Item = Duration>,
    ) {
        let mut times = self.0.lock();
        times.0.extend(sent_to_start);
        times.1.extend(start_to_settled);
    }

    fn latency(&self) -> Latency {
        let times = self.0.lock();
        Latency {
            messages: times.0.count(),
            sent_to_start_ms: Percentiles::of(&times.0),
            start_to_settled_ms: Percentiles::of(&times.1),
        }
    }
}

async fn empty(client: &Client, consumer: &Consumer, load: &Load, watched: Watched) -> anyhow::Result<Arc<Tally>> {
    let tally = Arc::new(Tally::new(load.messages));
    let mut pollers = JoinSet::new();
    for _ in 0..consumer.pollers {
        let (client, url, tally, watched) = (client.clone(), load.queue_url.clone(), tally.clone(), watched.clone());
        let latency = consumer.latency;
        pollers.spawn(async move { poll(&client, &url, &tally, latency.then_some(&watched)).await });
    }
    consuming(consumer, load)?;
    tally.reached(&mut pollers).await?;
    Ok(tally)
}

async fn poll(client: &Client, url: &str, tally: &Tally, watched: Option<&Watched>) -> anyhow::Result<()> {
    loop {
        let mut call = client.receive_message().queue_url(url).max_number_of_messages(BATCH_MAX_ENTRIES as i32);
        if watched.is_some() {
            call = call.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        }
        tally.called("ReceiveMessage");
        let answer = call.wait_time_seconds(WAIT_S).visibility_timeout(VISIBILITY_S).send().await?;
        let messages = answer.messages.unwrap_or_default();
        if messages.is_empty() {
            continue;
        }
        let (started_at, now) = (clock::now(), clock::unix_ms().0);
        try_join_all(messages.iter().map(|message| {
            workload::handle(message.body().unwrap_or_default(), message.message_id().unwrap_or_default())
        }))
        .await?;
        let deleted = delete(client, url, tally, &messages).await?;
        if let Some(watched) = watched {
            let ages = messages.iter().map(|message| Duration::from_millis(now.saturating_sub(sent_ms(message))));
            watched.record(ages, std::iter::repeat_n(clock::now() - started_at, messages.len()));
        }
        tally.handle(deleted);
    }
}

/// Deletes them all in one call. The answer is how many.
async fn delete(client: &Client, url: &str, tally: &Tally, messages: &[Message]) -> anyhow::Result<u64> {
    let entries = messages.iter().enumerate().map(|(place, message)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .receipt_handle(message.receipt_handle().unwrap_or_default())
            .build()
            .expect("id and handle are set")
    });
    tally.called("DeleteMessageBatch");
    let answer = client.delete_message_batch().queue_url(url).set_entries(Some(entries.collect())).send().await?;
    anyhow::ensure!(answer.failed.is_empty(), "deletes failed: {:?}", answer.failed);
    Ok(answer.successful.len() as u64)
}

fn sent_ms(message: &Message) -> u64 {
    let attribute = message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    attribute.and_then(|text| text.parse().ok()).unwrap_or_default()
}
