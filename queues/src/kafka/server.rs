//! What all queues of one Kafka share: its settings, and the client that sends.

use rdkafka::ClientConfig;

use super::address::Address;
use super::client::common;
use super::config::{KafkaConfig, StartFrom};
use super::error::{CallTarget, configuration};
use super::producer::Producer;
use crate::queue::QueueError;

/// The heartbeats of a member of a group, as Kafka's clients have them: three within the shortest
/// session, or more.
const HEARTBEAT_MAX_MS: u128 = 3_000;
/// How often Kafka is told how far the group has come, at most.
const COMMIT_EVERY_MS: u32 = 100;
/// How long the thread that reads may be busy elsewhere. It never is for long.
const POLL_MAX_MS: u128 = 300_000;
/// Messages that Kafka's client fetches beforehand, in KiB, and how soon it looks whether there is
/// room again.
const FETCHED_KBYTES: u32 = 16 * 1024;
const FETCH_BACKOFF_MS: u32 = 20;
/// Fewer fetched messages than this make more requests than are worth it.
const FETCHED_MIN: usize = 1_000;

/// One Kafka.
pub struct Server {
    pub config: KafkaConfig,
    pub address: Address,
    pub producer: Producer,
}

impl Server {
    /// Nobody is called yet.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(config: KafkaConfig) -> Result<Self, QueueError> {
        let address = checked(&config)?;
        let target = CallTarget::server(&address.url());
        let producer = Producer::new(common(&config, &address), config.message_max_bytes, target)?;
        Ok(Self { config, address, producer })
    }

    pub fn target(&self) -> CallTarget {
        CallTarget::server(&self.address.url())
    }

    /// What tells a queue from all others.
    pub fn url_of(&self, topic: &str) -> String {
        format!("{}/{topic}", self.address.url())
    }

    /// The topic in a queue's URL, or the name itself.
    pub fn topic_of(&self, named: &str) -> String {
        named.strip_prefix(&self.url_of("")).unwrap_or(named).to_owned()
    }

    /// What a client is made with that asks, and is in no group. With a group's name it may ask how
    /// far that has come.
    pub fn asking(&self, group: Option<&str>) -> ClientConfig {
        let mut client = common(&self.config, &self.address);
        if let Some(group) = group {
            client.set("group.id", group);
        }
        client.set("isolation.level", "read_committed");
        client
    }

    /// What a member of a group is made with.
    pub fn reading(&self, config: &KafkaConfig, group: &str, prefetch: usize) -> ClientConfig {
        let session_ms = config.session_timeout.as_millis();
        let mut client = self.asking(Some(group));
        client
            // What is stored is what the host says is done.
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", COMMIT_EVERY_MS.to_string())
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set(
                "auto.offset.reset",
                match config.start_from {
                    StartFrom::Earliest => "earliest",
                    StartFrom::Latest => "latest",
                },
            )
            .set("session.timeout.ms", session_ms.to_string())
            .set("heartbeat.interval.ms", HEARTBEAT_MAX_MS.min(session_ms / 3).to_string())
            .set("max.poll.interval.ms", POLL_MAX_MS.max(session_ms).to_string())
            .set("queued.min.messages", FETCHED_MIN.max(prefetch).to_string())
            .set("queued.max.messages.kbytes", FETCHED_KBYTES.to_string())
            .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS.to_string());
        if let Some(id) = &config.group_instance_id {
            client.set("group.instance.id", id);
        }
        client
    }
}

/// Where a Kafka is, of settings that can be used.
///
/// # Errors
/// What is wrong with them.
pub fn checked(config: &KafkaConfig) -> Result<Address, QueueError> {
    if let Some((name, value, rule)) = config.fault() {
        return Err(configuration(format!("Kafka: `{name}` is {value}: {rule}")));
    }
    let address = Address::parse(&config.url.0).map_err(|fault| configuration(format!("Kafka: {fault}")))?;
    for (name, file) in
        [("ca_file", &config.ca_file), ("certificate_file", &config.certificate_file), ("key_file", &config.key_file)]
    {
        if let Some(file) = file
            && let Err(error) = std::fs::File::open(file)
        {
            return Err(configuration(format!("Kafka: `{name}` {}: {error}", file.display())));
        }
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_url_has_its_topic_and_no_password() {
        let server = Server::new(KafkaConfig::new("kafka://u:pa55@a:1,b")).unwrap();
        let url = server.url_of("orders");
        assert_eq!(url, "kafka://a:1,b:9092/orders");
        assert_eq!((server.topic_of(&url).as_str(), server.topic_of("orders").as_str()), ("orders", "orders"));
    }

    #[test]
    fn wrong_settings_are_refused_before_anything_is_called() {
        for (config, expect) in [
            (KafkaConfig::new("http://u:pa55@a"), "neither kafka nor kafkas"),
            (KafkaConfig { max_gap: 0, ..KafkaConfig::new("kafka://a") }, "`max_gap` is 0: use 1 to 1000000"),
            (KafkaConfig { ca_file: Some("/nowhere".into()), ..KafkaConfig::new("kafkas://a") }, "`ca_file` /nowhere"),
        ] {
            let Err(error) = Server::new(config) else { panic!("{expect}") };
            assert!(error.needs_other_settings() && error.to_string().contains(expect), "{error}");
        }
    }

    #[test]
    fn librdkafka_knows_every_setting() {
        let config = KafkaConfig { group_instance_id: Some("h".into()), ..KafkaConfig::new("kafkas://u:p@a") };
        let server = Server::new(config.clone()).unwrap();
        server.reading(&config, "g", 64).create_native_config().unwrap();
    }
}
