//! What the handlers did, as an independent witness saw it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The longest that a call takes: hosts are hit while they wait for an answer.
const WORK_MAX_MS: u64 = 20;

/// An HTTP server that notes every call, and says that the work is done.
pub struct Sink {
    addr: SocketAddr,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

/// All calls of one name: `run/17`.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    pub count: usize,
    /// What the handler told of its message, each time that it told something else.
    pub reports: Vec<Told>,
}

/// What a handler told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub key: String,
    pub message_id: String,
    pub body: String,
    /// Of a group that has ended: members that are done.
    pub members_done: Option<u64>,
}

#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    names: Mutex<BTreeMap<String, Calls>>,
}

impl Sink {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let router = Router::new().route("/{*name}", any(note)).with_state(seen.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the sink has ended: {error}");
            }
        });
        Ok(Self { addr, seen, server })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self, name: &str, n: usize) -> String {
        format!("http://{}/{name}/{n}", self.addr)
    }

    /// All calls so far.
    pub fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::Relaxed)
    }

    /// Such names that were called.
    pub fn names(&self, is_one: impl Fn(&str) -> bool) -> usize {
        self.seen.lock().keys().filter(|name| is_one(name)).count()
    }

    /// Every name with its calls.
    pub fn all(&self) -> BTreeMap<String, Calls> {
        self.seen.lock().clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Calls>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn note(State(seen): State<Arc<Seen>>, Path(name): Path<String>, body: Bytes) -> Json<Value> {
    seen.calls.fetch_add(1, Ordering::Relaxed);
    {
        let mut names = seen.lock();
        let calls = names.entry(name).or_default();
        calls.count += 1;
        // A step tells nothing.
        if let Ok(report) = serde_json::from_slice::<Value>(&body) {
            let text = |field: &str| report[field].as_str().unwrap_or_default().to_owned();
            let told = Told {
                key: text("key"),
                message_id: text("id"),
                body: text("body"),
                members_done: report["done"].as_u64(),
            };
            if !calls.reports.contains(&told) {
                calls.reports.push(told);
            }
        }
    }
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=WORK_MAX_MS))).await;
    Json(json!({ "do": "done" }))
}
