//! The clients that compare queues: the calls of a consumer, made over plain HTTP, so that the
//! client costs little and the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wasq_core::clock;

use crate::protocol::say;

/// Clients at once.
const CLIENTS: u64 = 8;
/// Messages in a call.
const BATCH: u64 = 10;
/// Calls of one request at most, where the server fails.
const CALLS_MAX: u32 = 3;
/// A queue that is not done with its part by then is slow, and is measured by what it has done.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends so many messages to an endpoint, then receives and deletes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Caller {
    pub endpoint: String,
    pub messages: u64,
    pub bytes: usize,
}

/// Messages a second.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Called {
    pub sent_per_s: f64,
    pub received_and_deleted_per_s: f64,
}

pub async fn run(caller: Caller) -> anyhow::Result<()> {
    let calls = Arc::new(Calls::new(&caller).await?);
    let sent = calls.clone().all(caller.messages, Task::Send).await?;
    let received_and_deleted_per_s = calls.all(sent.messages, Task::ReceiveAndDelete).await?.per_s;
    say(&Called { sent_per_s: sent.per_s, received_and_deleted_per_s })
}

#[derive(Clone, Copy)]
enum Task {
    Send,
    ReceiveAndDelete,
}

struct Done {
    messages: u64,
    per_s: f64,
}

struct Calls {
    http: Client<HttpConnector, Full<Bytes>>,
    endpoint: String,
    queue_url: String,
    body: String,
}

impl Calls {
    async fn new(caller: &Caller) -> anyhow::Result<Self> {
        let http = Client::builder(TokioExecutor::new()).build_http();
        let (endpoint, body) = (caller.endpoint.clone(), "x".repeat(caller.bytes));
        let mut calls = Self { http, endpoint, queue_url: String::new(), body };
        let made = calls.call("CreateQueue", json!({ "QueueName": "compared" })).await?;
        calls.queue_url = made["QueueUrl"].as_str().context("a new queue has a URL")?.to_owned();
        Ok(calls)
    }

    /// Has all clients do a task until so many messages are done or it takes too long.
    async fn all(self: Arc<Self>, messages: u64, task: Task) -> anyhow::Result<Done> {
        let (begun, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let began = clock::now();
        let mut clients: JoinSet<anyhow::Result<()>> = JoinSet::new();
        for _ in 0..CLIENTS {
            let (calls, begun, done) = (self.clone(), begun.clone(), done.clone());
            clients.spawn(async move {
                while began.elapsed() < PATIENCE && done.load(Ordering::Relaxed) < messages {
                    let count = match task {
                        Task::Send if begun.fetch_add(BATCH, Ordering::Relaxed) >= messages => return Ok(()),
                        Task::Send => calls.send().await?,
                        Task::ReceiveAndDelete => calls.receive_and_delete().await?,
                    };
                    done.fetch_add(count, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        let messages = done.load(Ordering::Relaxed);
        Ok(Done { messages, per_s: messages as f64 / began.elapsed().as_secs_f64() })
    }

    async fn send(&self) -> anyhow::Result<u64> {
        let entries: Vec<_> =
            (0..BATCH).map(|place| json!({ "Id": place.to_string(), "MessageBody": self.body })).collect();
        self.batch("SendMessageBatch", entries).await
    }

    async fn receive_and_delete(&self) -> anyhow::Result<u64> {
        let request = json!({ "QueueUrl": self.queue_url, "MaxNumberOfMessages": BATCH, "VisibilityTimeout": 600 });
        let answer = self.call("ReceiveMessage", request).await?;
        let messages = answer["Messages"].as_array().map_or(&[][..], Vec::as_slice);
        if messages.is_empty() {
            return Ok(0);
        }
        let entry = |(place, message): (usize, &Value)| json!({ "Id": place.to_string(), "ReceiptHandle": message["ReceiptHandle"] });
        self.batch("DeleteMessageBatch", messages.iter().enumerate().map(entry).collect()).await
    }

    /// The answer is how many entries succeeded; all of them must.
    async fn batch(&self, operation: &str, entries: Vec<Value>) -> anyhow::Result<u64> {
        let count = entries.len();
        let answer = self.call(operation, json!({ "QueueUrl": self.queue_url, "Entries": entries })).await?;
        let successful = answer["Successful"].as_array().map_or(0, Vec::len);
        anyhow::ensure!(successful == count, "{operation}: {} of {count} entries failed", count - successful);
        Ok(count as u64)
    }

    /// Makes a call again where the server fails (5xx), as every client of SQS does. An emulator
    /// under load has some such answers.
    async fn call(&self, operation: &str, request: Value) -> anyhow::Result<Value> {
        let mut calls_left = CALLS_MAX;
        loop {
            calls_left -= 1;
            let (status, body) = self.call_once(operation, &request).await?;
            if status.is_success() {
                return Ok(serde_json::from_slice(&body)?);
            }
            if calls_left == 0 || !status.is_server_error() {
                anyhow::bail!("{operation}: {status}: {}", String::from_utf8_lossy(&body));
            }
        }
    }

    async fn call_once(&self, operation: &str, request: &Value) -> anyhow::Result<(http::StatusCode, Bytes)> {
        // Emulators do not check signatures; some read the service and the region out of them.
        let scope = "Credential=local/20260101/us-east-1/sqs/aws4_request";
        let request = http::Request::post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none"))
            .body(Full::from(request.to_string()))?;
        let answer = self.http.request(request).await.with_context(|| format!("{operation} at {}", self.endpoint))?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}
