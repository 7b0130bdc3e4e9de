//! The cluster that librdkafka has for tests: brokers in this process that speak Kafka's protocol on
//! ports of 127.0.0.1, to any client. What they keep they keep in memory, while they are down too.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings::{rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms};
use rdkafka::config::FromClientConfig as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

/// How long a question of a test's own may take.
const ASK: Duration = Duration::from_secs(10);

pub struct Cluster {
    /// The client that the brokers are a part of.
    client: BaseProducer,
}

/// The cluster that tests share, each with a topic of its own.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::new(1))
}

impl Cluster {
    pub fn new(brokers: i32) -> Self {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", brokers.to_string());
        let client = BaseProducer::from_config(&config).expect("the brokers start");
        no_rebalance_delay(&client);
        Self { client }
    }

    pub fn mock(&self) -> MockCluster<'_, DefaultProducerContext> {
        self.client.client().mock_cluster().expect("the client has brokers")
    }

    pub fn brokers(&self) -> String {
        self.mock().bootstrap_servers()
    }

    pub fn url(&self) -> String {
        format!("kafka://{}", self.brokers())
    }

    pub fn create(&self, topic: &str, partitions: i32) {
        self.mock().create_topic(topic, partitions, 1).expect("the topic is made");
    }

    /// The next requests of this kind have these answers.
    pub fn answers(&self, kind: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
        self.mock().request_errors(kind, errors);
    }

    /// A client that is not ours, and in no group, with a group's name.
    pub fn reader(&self, group: &str) -> Reader {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers()).set("group.id", group);
        Reader(BaseConsumer::from_config(&config).expect("the client is made"))
    }
}

/// Waits for no further members before a group begins: each test would wait 3 s.
#[allow(unsafe_code)]
fn no_rebalance_delay(client: &BaseProducer) {
    let native = client.client().native_ptr();
    // SAFETY: the client lives, and its brokers with it; both calls take it from any thread.
    unsafe { rd_kafka_mock_group_initial_rebalance_delay_ms(rd_kafka_handle_mock_cluster(native), 0) };
}

pub struct Reader(BaseConsumer);

impl Reader {
    /// How far a group has come in each partition. None where it was never told.
    pub fn committed(&self, topic: &str) -> Vec<Option<i64>> {
        let offsets = self.0.committed_offsets(self.partitions(topic), ASK).expect("Kafka answers");
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        offsets.elements().iter().map(|element| offset(element.offset())).collect()
    }

    /// Messages of a topic that the group has not come to.
    pub fn lag(&self, topic: &str) -> i64 {
        let committed = self.committed(topic);
        let ends = (0_i32..).take(committed.len()).map(|partition| {
            let (_, end) = self.0.fetch_watermarks(topic, partition, ASK).expect("Kafka answers");
            end
        });
        ends.zip(committed).map(|(end, committed)| end - committed.unwrap_or(0)).sum()
    }

    fn partitions(&self, topic: &str) -> TopicPartitionList {
        let metadata = self.0.fetch_metadata(Some(topic), ASK).expect("Kafka answers");
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, i32::try_from(partitions).expect("they are few") - 1);
        list
    }
}
