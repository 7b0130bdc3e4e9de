//! A whole host with its queues, as a test sees it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wasq::config::{Config, LedgerConfig};
use wasq::dlq::{Letter, read};
use wasq::flow::Services;
use wasq::host::Host;
use wasq_core::message::{AttributeData, AttributeValue, Delivery};
use wasq_ledgers::Ledger;
use wasq_local_sqs::LocalSqs;
use wasq_queues::sqs::Sqs;
use wasq_queues::{Broker, Brokers, Outgoing, Queue, QueueAddress, QueueRules};

use super::brokers::RigBroker;
use super::setup::{KIND, dlq};
use super::sink::{Sink, until};

/// Local queues, a sink, and a host over them.
pub struct Rig {
    pub sqs: LocalSqs,
    pub sink: Sink,
    pub config: Config,
    /// The SDK's client, as a producer has it.
    pub client: Client,
    brokers: Brokers,
    broker: RigBroker,
    /// Those that a test has looked at. A receipt is good at one of them only.
    open: Mutex<HashMap<String, Arc<dyn Queue>>>,
    running: Option<Box<Host>>,
    dir: TempDir,
}

/// A message found in a DLQ.
#[derive(Debug)]
pub struct Dead {
    pub delivery: Delivery,
    pub letter: Letter,
}

impl Rig {
    pub(super) async fn new(dir: TempDir, sqs: LocalSqs, broker: RigBroker, sink: Sink, config: Config) -> Self {
        let client = Sqs::connect(&config.aws).await.client().clone();
        let brokers = Brokers::new(&config.aws);
        for name in config.queues.keys().flat_map(|name| [name.clone(), dlq(name)]) {
            // Commands that a test runs have another region than the rig's host.
            sqs.create_queue(&name).await.unwrap();
        }
        Self { sqs, sink, config, client, brokers, broker, open: Mutex::default(), running: None, dir }
    }

    pub fn plugins_dir(&self) -> PathBuf {
        self.config.plugins_dir.clone()
    }

    pub fn ledger_dir(&self) -> PathBuf {
        match &self.config.ledger {
            LedgerConfig::Local { path } => path.clone(),
            other => panic!("{other:?} is no directory"),
        }
    }

    pub async fn start_host(&mut self) {
        assert!(self.running.is_none(), "a host is running already");
        self.running = Some(Box::new(Host::start(self.config.clone()).await.unwrap()));
    }

    /// A host over this ledger.
    pub async fn start_on(&mut self, ledger: Arc<dyn Ledger>) {
        assert!(self.running.is_none(), "a host is running already");
        self.running = Some(Box::new(Host::start_on(self.config.clone(), ledger).await.unwrap()));
    }

    pub fn host(&self) -> &Host {
        self.running.as_ref().expect("a host is running")
    }

    /// Where the host's admin port is; none without a host.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.running.as_ref().map(|host| host.admin_addr())
    }

    pub fn services(&self) -> &Arc<Services> {
        self.host().services()
    }

    /// Ends the host as a first SIGTERM does, while the local queue goes on.
    pub async fn stop_host(&mut self) {
        if let Some(host) = self.running.take() {
            host.shutdown(std::future::pending()).await;
        }
    }

    /// Takes the host, for a test that ends it in its own way.
    pub fn take_host(&mut self) -> Host {
        *self.running.take().expect("a host is running")
    }

    /// Ends everything.
    pub async fn end(mut self) {
        self.sqs.end_long_polls();
        self.stop_host().await;
        self.sqs.shutdown().await;
        drop(self.dir);
    }

    /// A message of the type `probe` on the first queue, ready to be changed and sent.
    pub fn message(&self, body: impl ToString) -> Post<'_> {
        let queue = self.config.queues.keys().next().expect("a rig has a queue").clone();
        Post {
            rig: self,
            queue,
            body: body.to_string(),
            attributes: vec![("type".into(), AttributeValue::string(KIND))],
            group: None,
        }
    }

    /// Sends the probe this order. The answer is the message id.
    pub async fn send(&self, order: Value) -> String {
        self.message(order).send().await
    }

    /// Sets a queue's attribute.
    pub async fn set(&self, queue: &str, name: QueueAttributeName, value: &str) {
        let url = self.client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
        self.client.set_queue_attributes().queue_url(url).attributes(name, value).send().await.unwrap();
    }

    /// A queue or a DLQ as a host sees it.
    pub async fn queue(&self, name: &str) -> Arc<dyn Queue> {
        let known = self.open.lock().get(name).cloned();
        if let Some(queue) = known {
            return queue;
        }
        let queue = match self.config.location(name) {
            Some(location) => self.brokers.queue(&location.address()).await.unwrap(),
            None => self.unlisted(name).await,
        };
        self.open.lock().entry(name.to_owned()).or_insert(queue).clone()
    }

    /// What the first queue takes.
    pub async fn rules(&self) -> QueueRules {
        let first = self.config.queues.keys().next().expect("a rig has a queue");
        QueueRules::of_broker(&*self.queue(first).await)
    }

    /// A queue that the config does not list: a DLQ, mostly.
    async fn unlisted(&self, name: &str) -> Arc<dyn Queue> {
        match self.broker.broker {
            Broker::Sqs => self.brokers.queue(&QueueAddress::Sqs(name.into())).await.unwrap(),
            Broker::RabbitMq | Broker::Redis | Broker::Kafka => {
                let (first, queue) = self.config.queues.iter().next().expect("a rig has a queue");
                let queue = self.brokers.queue(&queue.location(first).address()).await.unwrap();
                queue.sibling(&self.broker.name_there(name)).await.unwrap()
            }
        }
    }

    /// The first `count` dead letters of the first queue, taken out of its DLQ; waits for them.
    pub async fn letters(&self, count: usize) -> Vec<Dead> {
        let source = self.config.queues.keys().next().expect("a rig has a queue");
        self.letters_of(source, count).await
    }

    pub async fn letter(&self) -> Dead {
        self.letters(1).await.remove(0)
    }

    pub async fn letters_of(&self, source: &str, count: usize) -> Vec<Dead> {
        let queue = self.queue(&dlq(source)).await;
        let mut dead = Vec::new();
        let began = wasq_core::clock::now();
        while dead.len() < count {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "after 30 s {} of {count} dead letters: {dead:?}",
                dead.len()
            );
            for delivery in queue.receive(10, Duration::from_secs(1), Duration::from_secs(30)).await.unwrap() {
                let letter = read(&delivery, &self.services().ledger).await.unwrap();
                let letter = letter.expect("the host's dead letters have envelopes");
                queue.delete(std::slice::from_ref(&delivery.receipt)).await.remove(0).unwrap();
                dead.push(Dead { delivery, letter });
            }
        }
        dead
    }

    /// Messages that are visible, in flight and delayed in a queue. What is in flight is the host's
    /// own to say where its broker cannot.
    pub async fn counts(&self, queue: &str) -> (usize, usize, usize) {
        let hosts = self.running.as_ref().and_then(|host| Some(host.services().outlets.get(queue)?.queue.clone()));
        let queue = match hosts.filter(|queue| queue.broker() != Broker::Sqs) {
            Some(queue) => queue,
            None => self.queue(queue).await,
        };
        let attributes = queue.attributes().await.unwrap();
        let number = |name: &str| attributes[name].parse().unwrap();
        (
            number("ApproximateNumberOfMessages"),
            number("ApproximateNumberOfMessagesNotVisible"),
            number("ApproximateNumberOfMessagesDelayed"),
        )
    }

    /// Messages in a queue or a DLQ, whoever has them in hand.
    pub async fn left(&self, name: &str) -> usize {
        self.broker.left(&*self.queue(name).await).await
    }

    /// Deletes a queue or a DLQ, whose broker is a server.
    pub async fn delete_queue(&self, name: &str) {
        self.broker.delete_queue(name).await;
    }

    /// Makes a queue again that was deleted.
    pub async fn make_what_is_missing(&self) {
        self.broker.make_what_is_missing(self.dir.path()).await;
    }

    /// What a config of another host says of where a queue and its DLQ are.
    pub(super) fn location_lines(&self, name: &str) -> String {
        format!("dlq = '{}'\n{}", self.broker.name_there(&dlq(name)), self.broker.location_lines(name))
    }

    /// Waits until nothing is left in any of the host's queues. Their DLQs do not count.
    pub async fn emptied(&self) {
        for name in self.config.queues.keys() {
            until(&format!("the queue {name} is empty"), || async {
                self.counts(name).await == (0, 0, 0) && self.left(name).await == 0
            })
            .await;
        }
    }

    /// Handlers that ran to an end of their own or their timeout's.
    pub fn runs(&self) -> u64 {
        self.services().stats.snapshot().iter().map(|line| line.runs).sum()
    }

    /// Messages whose work another one with the same key had done.
    pub fn duplicates(&self) -> u64 {
        self.services().stats.snapshot().iter().map(|line| line.duplicates).sum()
    }

    /// How often an exit was seen.
    pub fn exits(&self, class: &str) -> u64 {
        let lines = self.services().stats.snapshot();
        lines.iter().filter_map(|line| line.exits.get(class)).sum()
    }

    pub async fn until_exits(&self, class: &str, count: u64) {
        until(&format!("{count} exits `{class}`"), || async { self.exits(class) >= count }).await;
    }

    /// Waits until a name of the sink was called so often.
    pub async fn until_called(&self, name: &str, count: usize) {
        until(&format!("{count} calls of `{name}`"), || async { self.sink.count(name) >= count }).await;
    }

    /// Readiness as an orchestrator asks for it: the status, and the reasons.
    pub async fn ready(&self) -> (u16, String) {
        get(self.host().admin_addr(), "/readyz").await
    }

    pub async fn admin(&self, path: &str) -> Value {
        let (status, body) = get(self.host().admin_addr(), path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// A message on its way.
pub struct Post<'a> {
    rig: &'a Rig,
    queue: String,
    body: String,
    attributes: Vec<(String, AttributeValue)>,
    group: Option<String>,
}

impl Post<'_> {
    pub fn queue(self, name: &str) -> Self {
        Self { queue: name.into(), ..self }
    }

    pub fn kind(mut self, kind: &str) -> Self {
        self.attributes.remove(0);
        self.attributes.insert(0, ("type".into(), AttributeValue::string(kind)));
        self
    }

    pub fn untyped(mut self) -> Self {
        self.attributes.remove(0);
        self
    }

    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.into(), AttributeValue::string(value)));
        self
    }

    pub fn binary(mut self, name: &str, data_type: &str, bytes: &[u8]) -> Self {
        let value = AttributeData::Binary(bytes.to_vec().into());
        self.attributes.push((name.into(), AttributeValue { data_type: data_type.into(), value }));
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.attribute("idempotency-key", key)
    }

    pub fn group(self, group: &str) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// The answer is the message id.
    pub async fn send(self) -> String {
        match self.rig.broker.broker {
            Broker::Sqs => self.send_by_the_sdk().await,
            Broker::RabbitMq | Broker::Redis | Broker::Kafka => self.send_by_the_host().await,
        }
    }

    /// As `wasq send` does.
    async fn send_by_the_host(self) -> String {
        let (body, attributes) = (self.body.into(), self.attributes.into_iter().collect());
        let message = Outgoing { body, attributes, delay_s: 0, group: self.group, deduplication_id: None };
        self.rig.queue(&self.queue).await.send(&[message]).await.remove(0).unwrap().0
    }

    /// As a producer of its own does.
    async fn send_by_the_sdk(self) -> String {
        let client = &self.rig.client;
        let url = client.get_queue_url().queue_name(&self.queue).send().await.unwrap();
        let deduplication_id = self.group.as_ref().map(|_| fastrand::u64(..).to_string());
        let attributes = self.attributes.into_iter().map(|(name, value)| (name, of_the_sdk(value)));
        let sent = client
            .send_message()
            .set_queue_url(url.queue_url)
            .message_body(self.body)
            .set_message_attributes(Some(attributes.collect()))
            .set_message_group_id(self.group)
            .set_message_deduplication_id(deduplication_id)
            .send()
            .await
            .unwrap();
        sent.message_id.unwrap()
    }
}

fn of_the_sdk(attribute: AttributeValue) -> MessageAttributeValue {
    let value = MessageAttributeValue::builder().data_type(attribute.data_type);
    let value = match attribute.value {
        AttributeData::Text(text) => value.string_value(text),
        AttributeData::Binary(bytes) => value.binary_value(Blob::new(bytes)),
    };
    value.build().unwrap()
}

/// An answer of an admin port: the status, and the body.
pub async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
