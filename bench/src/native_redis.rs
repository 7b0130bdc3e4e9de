//! The ceiling on Redis: a plain consumer by the crate `redis`. Each poller has a connection of its
//! own, reads ten entries, parses and logs each, and acknowledges and deletes it.

use std::sync::Arc;

use anyhow::Context;
use redis::Client;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use crate::protocol::{Consumer, Load, Measured, Stopwatch, begin};
use crate::tally::Tally;
use crate::workload;

/// The group that the config has by default.
const GROUP: &str = "wasq";
/// The field of the body.
const BODY: &[u8] = b"body";

/// The answer to a read: of each stream the entries, each with its fields.
type Read = Option<Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>>;

pub async fn run(consumer: &Consumer) -> anyhow::Result<Measured> {
    let client = Client::open(consumer.site.endpoint.as_str())?;
    empty(&client, consumer, &consumer.warm_up).await.context("while it got warm")?;
    begin()?;
    let watch = Stopwatch::start();
    let tally = empty(&client, consumer, &consumer.load).await?;
    Ok(watch.stop(tally.handled()))
}

/// Deletes streams.
pub async fn remove(url: &str, streams: &[String]) -> anyhow::Result<()> {
    let mut connection = Client::open(url)?.get_multiplexed_async_connection().await?;
    redis::cmd("DEL").arg(streams).exec_async(&mut connection).await?;
    Ok(())
}

async fn empty(client: &Client, consumer: &Consumer, load: &Load) -> anyhow::Result<Arc<Tally>> {
    let tally = Arc::new(Tally::new(load.messages));
    let mut pollers = JoinSet::new();
    for number in 0..consumer.pollers {
        let connection = client.get_multiplexed_async_connection().await?;
        pollers.spawn(poll(connection, load.queue_url.clone(), format!("native-{number}"), tally.clone()));
    }
    tally.reached(&mut pollers).await?;
    Ok(tally)
}

async fn poll(
    mut connection: MultiplexedConnection,
    stream: String,
    name: String,
    tally: Arc<Tally>,
) -> anyhow::Result<()> {
    loop {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(&name).arg("COUNT").arg(10).arg("BLOCK").arg(100);
        let answer: Read = read.arg("STREAMS").arg(&stream).arg(">").query_async(&mut connection).await?;
        for (id, fields) in answer.into_iter().flatten().flat_map(|(_, entries)| entries) {
            let body = fields.chunks_exact(2).find(|pair| pair[0] == BODY).context("an entry has a body")?;
            workload::handle(std::str::from_utf8(&body[1])?, &id).await?;
            let mut done = redis::pipe();
            done.cmd("XACK").arg(&stream).arg(GROUP).arg(&id).cmd("XDEL").arg(&stream).arg(&id);
            done.exec_async(&mut connection).await?;
            tally.handle(1);
        }
    }
}
