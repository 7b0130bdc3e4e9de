//! The queues that are only sent to.

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use wasq_core::schema::Size;
use wasq_queues::Broker;
use wasq_queues::kafka::KafkaConfig;
use wasq_queues::rabbitmq::RabbitMqConfig;
use wasq_queues::redis::RedisConfig;

use super::queue_url::QueueUrl;

/// The size from which the SQS Extended Client Library sends by S3.
pub(super) const CLAIM_CHECK_OVER: ByteSize = ByteSize::kib(256);

/// A queue that is only sent to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutletConfig {
    /// Who has the queue: `sqs`, `rabbitmq`, `redis` or `kafka`. Default `sqs`.
    pub broker: Broker,
    /// On SQS the queue: its name, URL or ARN; default: the table's name. Elsewhere the server.
    pub url: Option<QueueUrl>,
    /// How a queue on RabbitMQ is used.
    pub rabbitmq: Option<RabbitMqConfig>,
    /// How a queue on Redis is used.
    pub redis: Option<RedisConfig>,
    /// How a topic of Kafka is used.
    pub kafka: Option<KafkaConfig>,
    /// The S3 bucket for bodies of messages that are larger than `claim_check_over`.
    pub claim_check_bucket: Option<String>,
    /// Bytes of a message, attributes included: 1 KiB to 1 MiB. Default 256 KiB.
    #[schemars(with = "Size")]
    pub claim_check_over: ByteSize,
}

impl Default for OutletConfig {
    fn default() -> Self {
        Self {
            broker: Broker::default(),
            url: None,
            rabbitmq: None,
            redis: None,
            kafka: None,
            claim_check_bucket: None,
            claim_check_over: CLAIM_CHECK_OVER,
        }
    }
}
