//! The ceiling on Kafka: a plain consumer by rdkafka. Each poller is a member of the group; it
//! parses and logs a message and stores its offset, which the client commits every 100 ms.

#[cfg(feature = "kafka")]
pub use with_librdkafka::{remove, run};

#[cfg(feature = "kafka")]
mod with_librdkafka {
    use std::sync::Arc;

    use anyhow::Context;
    use rdkafka::ClientConfig;
    use rdkafka::Message as _;
    use rdkafka::admin::{AdminClient, AdminOptions};
    use rdkafka::client::DefaultClientContext;
    use rdkafka::consumer::{Consumer as _, StreamConsumer};
    use tokio::task::JoinSet;

    use crate::protocol::{Consumer, Load, Measured, Stopwatch, begin};
    use crate::tally::Tally;
    use crate::workload;

    pub async fn run(consumer: &Consumer) -> anyhow::Result<Measured> {
        empty(consumer, &consumer.warm_up).await.context("while it got warm")?;
        begin()?;
        let watch = Stopwatch::start();
        let tally = empty(consumer, &consumer.load).await?;
        Ok(watch.stop(tally.handled()))
    }

    /// Deletes topics.
    pub async fn remove(url: &str, topics: &[String]) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = client(url).create()?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        for deleted in admin.delete_topics(&topics, &AdminOptions::new()).await? {
            deleted.map_err(|(topic, code)| anyhow::anyhow!("cannot delete the topic {topic}: {code}"))?;
        }
        Ok(())
    }

    fn client(url: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", url.trim_start_matches("kafka://"));
        config
    }

    async fn empty(consumer: &Consumer, load: &Load) -> anyhow::Result<Arc<Tally>> {
        let tally = Arc::new(Tally::new(load.messages));
        let mut config = client(&consumer.site.endpoint);
        config
            .set("group.id", &load.queue_url)
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.offset.store", "false")
            .set("auto.commit.interval.ms", "100");
        let mut pollers = JoinSet::new();
        for _ in 0..consumer.pollers {
            let member: StreamConsumer = config.create()?;
            member.subscribe(&[&load.queue_url])?;
            pollers.spawn(consume(member, tally.clone()));
        }
        tally.reached(&mut pollers).await?;
        Ok(tally)
    }

    async fn consume(member: StreamConsumer, tally: Arc<Tally>) -> anyhow::Result<()> {
        loop {
            let message = member.recv().await?;
            let id = format!("{}:{}", message.partition(), message.offset());
            workload::handle(std::str::from_utf8(message.payload().unwrap_or_default())?, &id).await?;
            member.store_offset_from_message(&message)?;
            tally.handle(1);
        }
    }
}

#[cfg(not(feature = "kafka"))]
pub async fn run(_: &crate::protocol::Consumer) -> anyhow::Result<crate::protocol::Measured> {
    anyhow::bail!("{}", wasq_queues::kafka::NOT_BUILT_IN)
}

#[cfg(not(feature = "kafka"))]
pub async fn remove(_: &str, _: &[String]) -> anyhow::Result<()> {
    anyhow::bail!("{}", wasq_queues::kafka::NOT_BUILT_IN)
}
