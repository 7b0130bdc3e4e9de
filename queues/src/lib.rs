//! The queues that a host receives from and sends to.
//!
//! [`Queue`] is the seam: what the host asks of any queue, and how that can fail. [`sqs`] is Amazon
//! SQS, or any endpoint that speaks its protocol. [`rabbitmq`] is RabbitMQ, [`redis`] is streams on
//! Redis, and [`kafka`] Apache Kafka.

mod attributes;
mod broker;
#[cfg(feature = "sqs")]
mod brokers;
#[cfg(feature = "sqs")]
mod claim_check;
#[cfg(feature = "rabbitmq")]
mod data_types;
mod in_order;
pub mod kafka;
mod late_queue;
#[cfg(feature = "sqs")]
pub mod payload_pointer;
mod queue;
mod queue_ref;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;
mod rules;
#[cfg(feature = "sqs")]
pub mod sqs;

pub use attributes::{MaximumMessageSize, QueueAttributes, Retention};
pub use broker::{Broker, VISIBILITY_MAX};
#[cfg(feature = "sqs")]
pub use brokers::{Brokers, QueueAddress};
#[cfg(feature = "sqs")]
pub use claim_check::ClaimCheckQueue;
pub use in_order::send_in_order;
pub use late_queue::LateQueue;
pub use queue::{BATCH_MAX_ENTRIES, DeliveryLimit, Outgoing, Outlet, Outlets, Queue, QueueError, batches, is_fifo};
pub use queue_ref::{BadQueueRef, QueueRef};
pub use rules::{KAFKA_KEY, KAFKA_TOMBSTONE, QueueRules};
pub use wasq_sqs_rules::{
    MAX_ATTRIBUTES as MESSAGE_MAX_ATTRIBUTES, MAX_MESSAGE_BYTES as MESSAGE_MAX_BYTES, Value, check_attribute,
    takes_char,
};
