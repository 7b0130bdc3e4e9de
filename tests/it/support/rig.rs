//! A whole host with its queues, as a test sees it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wasq::config::{Config, LedgerConfig};
use wasq::dlq::{Letter, read};
use wasq::flow::Services;
use wasq::host::Host;
use wasq_core::message::Delivery;
use wasq_ledgers::Ledger;
use wasq_local_sqs::LocalSqs;
use wasq_queues::Queue;
use wasq_queues::sqs::{Sqs, SqsQueue};

use super::setup::{KIND, dlq};
use super::sink::{Sink, until};

/// Local queues, a sink, and a host over them.
pub struct Rig {
    pub sqs: LocalSqs,
    pub sink: Sink,
    pub config: Config,
    /// The SDK's client, as a producer has it.
    pub client: Client,
    host_side: Sqs,
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
    pub(super) async fn new(dir: TempDir, sqs: LocalSqs, sink: Sink, config: Config) -> Self {
        let host_side = Sqs::connect(&config.aws).await;
        let client = host_side.client().clone();
        for name in config.queues.keys().flat_map(|name| [name.clone(), dlq(name)]) {
            // Commands that a test runs have another region than the rig's host.
            sqs.create_queue(&name).await.unwrap();
        }
        Self { sqs, sink, config, client, host_side, running: None, dir }
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
        let text =
            |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap();
        Post {
            client: &self.client,
            queue,
            body: body.to_string(),
            attributes: vec![("type".into(), text(KIND))],
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

    /// A queue as the host sees it.
    pub async fn queue(&self, name: &str) -> SqsQueue {
        self.host_side.queue(name).await.unwrap()
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

    /// Messages that are visible, in flight and delayed in a queue.
    pub async fn counts(&self, queue: &str) -> (usize, usize, usize) {
        let attributes = self.queue(queue).await.attributes().await.unwrap();
        let number = |name: &str| attributes[name].parse().unwrap();
        (
            number("ApproximateNumberOfMessages"),
            number("ApproximateNumberOfMessagesNotVisible"),
            number("ApproximateNumberOfMessagesDelayed"),
        )
    }

    /// Waits until nothing is left in any of the host's queues. Their DLQs do not count.
    pub async fn emptied(&self) {
        for name in self.config.queues.keys() {
            until(&format!("the queue {name} is empty"), || async { self.counts(name).await == (0, 0, 0) }).await;
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
    client: &'a Client,
    queue: String,
    body: String,
    attributes: Vec<(String, MessageAttributeValue)>,
    group: Option<String>,
}

impl Post<'_> {
    pub fn queue(self, name: &str) -> Self {
        Self { queue: name.into(), ..self }
    }

    pub fn kind(mut self, kind: &str) -> Self {
        self.attributes.remove(0);
        self.attributes.insert(0, ("type".into(), string(kind)));
        self
    }

    pub fn untyped(mut self) -> Self {
        self.attributes.remove(0);
        self
    }

    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.into(), string(value)));
        self
    }

    pub fn binary(mut self, name: &str, data_type: &str, bytes: &[u8]) -> Self {
        let value =
            MessageAttributeValue::builder().data_type(data_type).binary_value(Blob::new(bytes)).build().unwrap();
        self.attributes.push((name.into(), value));
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.attribute("idempotency-key", key)
    }

    pub fn group(self, group: &str) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    pub async fn send(self) -> String {
        let url = self.client.get_queue_url().queue_name(&self.queue).send().await.unwrap();
        let deduplication_id = self.group.as_ref().map(|_| fastrand::u64(..).to_string());
        let sent = self
            .client
            .send_message()
            .set_queue_url(url.queue_url)
            .message_body(self.body)
            .set_message_attributes(Some(self.attributes.into_iter().collect()))
            .set_message_group_id(self.group)
            .set_message_deduplication_id(deduplication_id)
            .send()
            .await
            .unwrap();
        sent.message_id.unwrap()
    }
}

fn string(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
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
