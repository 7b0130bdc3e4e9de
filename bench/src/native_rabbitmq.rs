//! The ceiling on RabbitMQ: a plain consumer by lapin. Each poller has a channel with a prefetch of
//! its own; it parses and logs a message, and acknowledges it.

use std::sync::Arc;

use anyhow::Context;
use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::task::JoinSet;

use crate::protocol::{Consumer, Load, Measured, Stopwatch, begin};
use crate::tally::Tally;
use crate::workload;

pub async fn run(consumer: &Consumer) -> anyhow::Result<Measured> {
    let connection = connect(&consumer.site.endpoint).await?;
    empty(&connection, consumer, &consumer.warm_up).await.context("while it got warm")?;
    begin()?;
    let watch = Stopwatch::start();
    let tally = empty(&connection, consumer, &consumer.load).await?;
    Ok(watch.stop(tally.handled()))
}

/// Deletes queues.
pub async fn remove(url: &str, queues: &[String]) -> anyhow::Result<()> {
    let channel = connect(url).await?.create_channel().await?;
    for queue in queues {
        channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
    }
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<Connection> {
    Ok(Connection::connect(url, ConnectionProperties::default()).await?)
}

async fn empty(connection: &Connection, consumer: &Consumer, load: &Load) -> anyhow::Result<Arc<Tally>> {
    let tally = Arc::new(Tally::new(load.messages));
    let prefetch = u16::try_from(consumer.concurrency / consumer.pollers).unwrap_or(u16::MAX).max(1);
    let mut pollers = JoinSet::new();
    for _ in 0..consumer.pollers {
        let channel = connection.create_channel().await?;
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        pollers.spawn(consume(channel, load.queue_url.clone(), tally.clone()));
    }
    tally.reached(&mut pollers).await?;
    Ok(tally)
}

async fn consume(channel: Channel, queue: String, tally: Arc<Tally>) -> anyhow::Result<()> {
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let id = delivery.properties.message_id().as_ref().map_or_else(String::new, ToString::to_string);
        workload::handle(std::str::from_utf8(&delivery.data)?, &id).await?;
        delivery.acker.ack(BasicAckOptions::default()).await?;
        tally.handle(1);
    }
    anyhow::bail!("the server has ended the consumer")
}
