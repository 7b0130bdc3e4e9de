//! Queues that are made: how they are kept, and where their dead letters go.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::config::{QueueType, RabbitMqConfig};
use super::error::{CallTarget, configuration};
use super::link::{Live, call};
use crate::queue::QueueError;

/// A queue as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueTopology {
    pub name: String,
    pub queue_type: QueueType,
    /// Where RabbitMQ sends what it drops. Empty is the default exchange.
    pub dead_letter_exchange: Option<String>,
    /// With what. Default: what the message was sent with.
    pub dead_letter_routing_key: Option<String>,
    /// How often a message may come back before RabbitMQ drops it. Of a quorum queue.
    pub delivery_limit: Option<u32>,
}

impl QueueTopology {
    /// A queue of this name as the config has it made.
    pub fn of(config: &RabbitMqConfig, name: &str) -> Self {
        let RabbitMqConfig { queue_type, delivery_limit, .. } = *config;
        Self {
            name: name.to_owned(),
            queue_type,
            dead_letter_exchange: None,
            dead_letter_routing_key: None,
            delivery_limit: (queue_type == QueueType::Quorum).then_some(delivery_limit),
        }
    }

    fn arguments(&self) -> Result<FieldTable, QueueError> {
        if self.delivery_limit.is_some() && self.queue_type == QueueType::Classic {
            let name = &self.name;
            return Err(configuration(format!(
                "the queue {name:?} is classic, and has no delivery limit: leave `delivery_limit` out, or make it a quorum queue"
            )));
        }
        let texts = [
            ("x-queue-type", Some(self.queue_type.name())),
            ("x-dead-letter-exchange", self.dead_letter_exchange.as_deref()),
            ("x-dead-letter-routing-key", self.dead_letter_routing_key.as_deref()),
        ];
        let mut table = FieldTable::default();
        for (name, text) in texts {
            if let Some(text) = text {
                table.insert(name.into(), AMQPValue::LongString(text.into()));
            }
        }
        if let Some(limit) = self.delivery_limit {
            table.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit.into()));
        }
        Ok(table)
    }
}

/// Makes a queue, durable. One that is there as it is to be is left as it is.
///
/// # Errors
/// RabbitMQ's word where a queue is there that differs, with what differs.
pub async fn declare(live: &Live, queue: &QueueTopology) -> Result<(), QueueError> {
    let (name, arguments) = (short("the queue's name", &queue.name)?, queue.arguments()?);
    let target = live.target().queue(&queue.name);
    let channel = live.channel(&target).await?;
    call(&target, channel.queue_declare(name, QueueDeclareOptions::durable(), arguments)).await?;
    Ok(())
}

/// The messages in a queue that wait to be delivered.
///
/// # Errors
/// RabbitMQ's word where there is no such queue, or it may not be asked.
pub async fn depth(live: &Live, name: &ShortString) -> Result<u32, QueueError> {
    let target = live.target().queue(name.as_str());
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    // RabbitMQ ends the channel of a question that it refuses.
    let channel = live.channel(&target).await?;
    let queue = call(&target, channel.queue_declare(name.clone(), options, FieldTable::default())).await?;
    close(&channel, &target).await;
    Ok(queue.message_count())
}

/// # Errors
/// RabbitMQ's word where there is no such exchange, or it may not be asked.
pub async fn find_exchange(live: &Live, name: &ShortString) -> Result<(), QueueError> {
    let target = live.target().exchange(name.as_str());
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let channel = live.channel(&target).await?;
    let kind = ExchangeKind::Direct;
    call(&target, channel.exchange_declare(name.clone(), kind, options, FieldTable::default())).await?;
    close(&channel, &target).await;
    Ok(())
}

async fn close(channel: &Channel, target: &CallTarget) {
    if let Err(error) = call(target, channel.close(200, "OK".into())).await {
        tracing::debug!(%error, "a channel ends with its connection");
    }
}

/// A name as AMQP takes it: 1 to 255 bytes.
pub fn short(what: &str, name: &str) -> Result<ShortString, QueueError> {
    if name.is_empty() {
        return Err(configuration(format!("{what} is empty")));
    }
    ShortString::try_new(name)
        .map_err(|_| configuration(format!("{what} has more than 255 bytes, which AMQP does not take")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_quorum_queue_has_a_delivery_limit() {
        let quorum = QueueTopology {
            name: "orders".into(),
            queue_type: QueueType::Quorum,
            dead_letter_exchange: Some(String::new()),
            dead_letter_routing_key: Some("orders-dlq".into()),
            delivery_limit: Some(7),
        };
        let arguments = quorum.arguments().unwrap();
        let names: Vec<_> = arguments.into_iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-dead-letter-exchange", "x-dead-letter-routing-key", "x-delivery-limit", "x-queue-type"]);
        let classic = QueueTopology { queue_type: QueueType::Classic, ..quorum };
        let error = classic.arguments().unwrap_err().to_string();
        assert!(error.contains("\"orders\" is classic"), "{error}");
        assert!(QueueTopology { delivery_limit: None, ..classic }.arguments().is_ok());
    }

    #[test]
    fn a_name_has_1_to_255_bytes() {
        assert!(short("it", "").is_err() && short("it", &"x".repeat(256)).is_err());
        assert!(short("it", &"x".repeat(255)).is_ok());
    }
}
