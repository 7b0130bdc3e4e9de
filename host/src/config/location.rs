//! Where a queue is: on which broker, and under what name there.

use std::path::Path;
use std::time::Duration;

use wasq_core::secret::Secret;
use wasq_queues::kafka::{self, KafkaConfig, KafkaOrder};
use wasq_queues::rabbitmq::RabbitMqConfig;
use wasq_queues::redis::{RedisConfig, RedisOrder, VISIBILITY_MIN};
use wasq_queues::{Broker, QueueAddress, QueueRef};

use super::queue_url::QueueUrl;
use super::{Config, OutletConfig, QueueConfig};

/// What the tables of queues and outlets say of where these are.
#[derive(Clone, Copy)]
pub struct Location<'a> {
    /// `queues` or `outlets`.
    table: &'static str,
    /// The table's name.
    name: &'a str,
    pub broker: Broker,
    url: Option<&'a str>,
    rabbitmq: Option<&'a RabbitMqConfig>,
    redis: Option<&'a RedisConfig>,
    kafka: Option<&'a KafkaConfig>,
    concurrency: usize,
    /// None of an outlet.
    visibility: Option<Duration>,
}

impl QueueConfig {
    /// `name` is its table's.
    pub fn location<'a>(&'a self, name: &'a str) -> Location<'a> {
        let Self { broker, concurrency, visibility, .. } = *self;
        let url = self.url.as_ref().map(|url| url.0.as_str());
        let (rabbitmq, redis, kafka) = (self.rabbitmq.as_ref(), self.redis.as_ref(), self.kafka.as_ref());
        let (visibility, concurrency) = (Some(visibility), concurrency.max());
        Location { table: "queues", name, broker, url, rabbitmq, redis, kafka, concurrency, visibility }
    }
}

impl QueueConfig {
    /// The same queue where another one is.
    #[must_use]
    pub fn located_as(self, other: Self) -> Self {
        let Self { broker, url, rabbitmq, redis, kafka, .. } = other;
        Self { broker, url, rabbitmq, redis, kafka, ..self }
    }
}

impl OutletConfig {
    /// `name` is its table's.
    pub fn location<'a>(&'a self, name: &'a str) -> Location<'a> {
        let url = self.url.as_ref().map(|url| url.0.as_str());
        // Nothing is received from it.
        let (concurrency, visibility, broker) = (1, None, self.broker);
        let (rabbitmq, redis, kafka) = (self.rabbitmq.as_ref(), self.redis.as_ref(), self.kafka.as_ref());
        Location { table: "outlets", name, broker, url, rabbitmq, redis, kafka, concurrency, visibility }
    }
}

impl<'a> Location<'a> {
    /// What it is opened by.
    pub fn address(&self) -> QueueAddress {
        match self.broker {
            Broker::Sqs => QueueAddress::Sqs(self.named().to_owned()),
            Broker::RabbitMq => {
                let url = Secret(self.url.unwrap_or_default().to_owned());
                let server = RabbitMqConfig { url, ..self.rabbitmq.cloned().unwrap_or_default() };
                // The config holds both to their bounds.
                let concurrency = u16::try_from(self.concurrency).unwrap_or(u16::MAX);
                QueueAddress::RabbitMq { server: Box::new(server), name: self.named().to_owned(), concurrency }
            }
            Broker::Redis => {
                let url = Secret(self.url.unwrap_or_default().to_owned());
                let config = RedisConfig { url, ..self.redis.cloned().unwrap_or_default() };
                let is_outlet = self.visibility.is_none();
                QueueAddress::Redis { config: Box::new(config), name: self.named().to_owned(), is_outlet }
            }
            Broker::Kafka => {
                let url = Secret(self.url.unwrap_or_default().to_owned());
                let server = KafkaConfig { url, ..self.kafka.cloned().unwrap_or_default() };
                let (topic, concurrency) = (self.named().to_owned(), self.concurrency);
                QueueAddress::Kafka { server: Box::new(server), topic, concurrency }
            }
        }
    }

    /// As its broker is asked for it: on SQS a name, a URL or an ARN.
    fn named(&self) -> &'a str {
        match self.broker {
            Broker::Sqs => self.url.unwrap_or(self.name),
            Broker::RabbitMq => self.rabbitmq.and_then(|rabbitmq| rabbitmq.queue.as_deref()).unwrap_or(self.name),
            Broker::Redis => self.redis.and_then(|redis| redis.stream.as_deref()).unwrap_or(self.name),
            Broker::Kafka => self.kafka.and_then(|kafka| kafka.topic.as_deref()).unwrap_or(self.name),
        }
    }

    /// Its name at its broker.
    pub fn name_there(&self) -> String {
        match self.broker {
            Broker::Sqs => QueueRef::parse(self.named())
                .map_or_else(|_| self.named().to_owned(), |reference| reference.name().to_owned()),
            Broker::RabbitMq | Broker::Redis | Broker::Kafka => self.named().to_owned(),
        }
    }

    /// Whether it is a FIFO queue of SQS.
    pub fn is_fifo(&self) -> bool {
        self.broker == Broker::Sqs && wasq_queues::is_fifo(self.named())
    }

    /// Whether messages of one group come one after the other.
    pub fn keeps_order(&self) -> bool {
        match self.broker {
            Broker::Sqs | Broker::RabbitMq => self.is_fifo(),
            Broker::Redis => self.redis.map(|redis| redis.order).unwrap_or_default() == RedisOrder::Stream,
            Broker::Kafka => self.kafka.map(|kafka| kafka.order).unwrap_or_default() == KafkaOrder::Key,
        }
    }

    /// Which queue it is, as far as the config's own words tell.
    pub fn identity(&self) -> Option<String> {
        match self.broker {
            Broker::Sqs => Some(QueueRef::parse(self.named()).ok()?.identity()),
            // Servers can be named in many ways: what is open is compared instead.
            Broker::RabbitMq | Broker::Redis | Broker::Kafka => None,
        }
    }

    /// What is wrong with what it says.
    fn fault(&self) -> Option<Fault> {
        self.table_fault().or_else(|| match self.broker {
            Broker::Sqs => self.sqs_fault(),
            Broker::RabbitMq => self.rabbitmq_fault(),
            Broker::Redis => self.redis_fault(),
            Broker::Kafka => self.kafka_fault(),
        })
    }

    fn key(&self, field: &str) -> String {
        format!("{}.{}.{field}", self.table, self.name)
    }

    /// A table of another broker than its own.
    fn table_fault(&self) -> Option<Fault> {
        let tables = [
            ("rabbitmq", self.rabbitmq.is_some() && self.broker != Broker::RabbitMq),
            ("redis", self.redis.is_some() && self.broker != Broker::Redis),
            ("kafka", self.kafka.is_some() && self.broker != Broker::Kafka),
        ];
        let (table, _) = tables.into_iter().find(|(_, is_others)| *is_others)?;
        let own = match self.broker {
            Broker::Sqs => "SQS",
            Broker::RabbitMq => "RabbitMQ",
            Broker::Redis => "Redis",
            Broker::Kafka => "Kafka",
        };
        let rule = format!("the queue is on {own}; add broker = \"{table}\", or take the table away");
        Some((self.key(table), "there".into(), rule))
    }

    fn sqs_fault(&self) -> Option<Fault> {
        let others = self.url.and_then(|url| match () {
            () if is_amqp(url) => Some((url, "it is RabbitMQ's; add broker = \"rabbitmq\"")),
            () if is_redis(url) => Some((url, "it is Redis's; add broker = \"redis\"")),
            () if is_kafka(url) => Some((url, "it is Kafka's; add broker = \"kafka\"")),
            () => None,
        });
        if let Some((url, rule)) = others {
            return Some((self.key("url"), shown(url), rule.into()));
        }
        let error = QueueRef::parse(self.named()).err()?;
        let key = if self.url.is_some() { self.key("url") } else { format!("{}.{}", self.table, self.name) };
        Some((key, format!("{:?}", self.named()), error.to_string()))
    }

    fn rabbitmq_fault(&self) -> Option<Fault> {
        match self.url {
            None => {
                let rule = "a queue on RabbitMQ needs it: amqp://USER:PASSWORD@HOST:PORT/VHOST, with ${VARIABLE} for the password";
                return Some((self.key("url"), "missing".into(), rule.into()));
            }
            Some(url) if !is_amqp(url) => {
                let rule = "RabbitMQ's begins with amqp:// or amqps://; the queue's name goes into [….rabbitmq] queue";
                return Some((self.key("url"), shown(url), rule.into()));
            }
            Some(_) => {}
        }
        let rabbitmq = self.rabbitmq?;
        let has_exchange = !rabbitmq.exchange.is_empty() || rabbitmq.routing_key.is_some();
        if self.table == "queues" && has_exchange {
            let rule = "what waits returns to the queue by its name; take `exchange` and `routing_key` away, or say them in \
                        an outlet";
            return Some((self.key("rabbitmq"), "sent to by an exchange".into(), rule.into()));
        }
        let (field, value, rule) = rabbitmq.fault()?;
        Some((self.key(&format!("rabbitmq.{field}")), value, rule))
    }

    fn redis_fault(&self) -> Option<Fault> {
        match self.url {
            None => {
                let rule =
                    "a queue on Redis needs it: redis://USER:PASSWORD@HOST:PORT/DB, with ${VARIABLE} for the password";
                return Some((self.key("url"), "missing".into(), rule.into()));
            }
            Some(url) if !is_redis(url) => {
                let rule = "Redis's begins with redis:// or rediss://; the stream's key goes into [….redis] stream";
                return Some((self.key("url"), shown(url), rule.into()));
            }
            Some(_) => {}
        }
        if let Some(short) = self.visibility.filter(|visibility| *visibility < VISIBILITY_MIN) {
            let rule =
                format!("use {VISIBILITY_MIN:?} or more on Redis, where a message that waits is hidden for up to that");
            return Some((self.key("visibility"), format!("{short:?}"), rule));
        }
        let (field, value, rule) = self.redis?.fault()?;
        Some((self.key(&format!("redis.{field}")), value, rule))
    }

    /// The same on Kafka: the field, its value, and the rule.
    fn kafka_fault(&self) -> Option<Fault> {
        if !kafka::IS_BUILT_IN {
            return Some((self.key("broker"), "\"kafka\"".into(), kafka::NOT_BUILT_IN.into()));
        }
        match self.url {
            None => {
                let rule = "a queue on Kafka needs it: kafka://HOST:PORT,HOST:PORT, or kafka://USER:PASSWORD@HOST:PORT with \
                            ${VARIABLE} for the password";
                return Some((self.key("url"), "missing".into(), rule.into()));
            }
            Some(url) if !is_kafka(url) => {
                let rule = "Kafka's begins with kafka:// or kafkas://; the topic goes into [….kafka] topic";
                return Some((self.key("url"), shown(url), rule.into()));
            }
            Some(_) => {}
        }
        if self.table == "queues" && self.kafka.is_none_or(|kafka| kafka.group.is_none()) {
            let rule = "a queue on Kafka needs one: hosts with the same group share the topic's messages, and no other service may \
                        have it; name it after yours: [queues.NAME.kafka] group = \"shop-orders\"";
            return Some((self.key("kafka.group"), "missing".into(), rule.into()));
        }
        if let Some(rule) = kafka::topic_rule(self.named()) {
            return Some((self.key("kafka.topic"), format!("{:?}", self.named()), rule.into()));
        }
        let (field, value, rule) = self.kafka?.fault()?;
        Some((self.key(&format!("kafka.{field}")), value, rule))
    }
}

fn is_kafka(url: &str) -> bool {
    ["kafka://", "kafkas://"].iter().any(|scheme| url.starts_with(scheme))
}

fn is_amqp(url: &str) -> bool {
    ["amqp://", "amqps://"].iter().any(|scheme| url.starts_with(scheme))
}

fn is_redis(url: &str) -> bool {
    ["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme))
}

/// A URL without what is secret in it.
fn shown(url: &str) -> String {
    format!("{:?}", QueueUrl(url.to_owned()))
}

/// A key, its value, and the rule that it breaks.
type Fault = (String, String, String);

impl Config {
    /// Of the queue or the outlet of this name.
    pub fn location<'a>(&'a self, name: &'a str) -> Option<Location<'a>> {
        let queue = self.queues.get(name).map(|queue| queue.location(name));
        queue.or_else(|| Some(self.outlets.get(name)?.location(name)))
    }

    /// Relative paths of certificates count from the config's directory.
    pub(super) fn rebase_certificates(&mut self, base: &Path) {
        let queues = self.queues.values_mut().map(|queue| (&mut queue.rabbitmq, &mut queue.redis));
        let outlets = self.outlets.values_mut().map(|outlet| (&mut outlet.rabbitmq, &mut outlet.redis));
        for (rabbitmq, redis) in queues.chain(outlets) {
            let files =
                [rabbitmq.as_mut().map(|table| &mut table.ca_file), redis.as_mut().map(|table| &mut table.ca_file)];
            for file in files.into_iter().flatten() {
                *file = file.take().map(|file| base.join(file));
            }
        }
        let queues = self.queues.values_mut().map(|queue| &mut queue.kafka);
        for kafka in queues.chain(self.outlets.values_mut().map(|outlet| &mut outlet.kafka)).flatten() {
            for file in [&mut kafka.ca_file, &mut kafka.certificate_file, &mut kafka.key_file] {
                *file = file.take().map(|file| base.join(file));
            }
        }
    }

    pub(super) fn location_fault(&self) -> Option<Fault> {
        let queues = self.queues.iter().map(|(name, queue)| queue.location(name));
        queues
            .chain(self.outlets.iter().map(|(name, outlet)| outlet.location(name)))
            .find_map(|location| location.fault())
    }
}

#[cfg(test)]
mod tests;
