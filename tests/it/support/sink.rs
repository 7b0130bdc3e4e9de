//! The other end of a handler's HTTP calls: it counts them, says what the probe shall do next, and
//! can keep it waiting.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A small HTTP server of its own port. Every path, without its first slash, is a name, with calls
/// and answers of its own.
pub struct Sink {
    addr: SocketAddr,
    names: Arc<Names>,
    server: JoinHandle<()>,
}

type Names = Mutex<HashMap<String, Name>>;

#[derive(Default)]
struct Name {
    calls: Vec<Call>,
    answers: VecDeque<Answer>,
    held: Option<watch::Receiver<bool>>,
    open: usize,
    most_open: usize,
}

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Call {
    pub at: Instant,
    /// What the probe told: attempt, key, id, kind, body, attributes. Null if it told nothing.
    pub report: Value,
    pub headers: HeaderMap,
}

/// What a name answers: by default, that the work is done.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    order: Value,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), order: json!({}) }
    }

    pub fn retry_after_s(self, seconds: u64) -> Self {
        self.header("retry-after", seconds)
    }

    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl From<Value> for Answer {
    fn from(order: Value) -> Self {
        Self { status: 200, headers: Vec::new(), order }
    }
}

/// Keeps the calls of a name waiting until it is dropped.
pub struct Hold(#[allow(dead_code, reason = "dropping it is what it is for")] watch::Sender<bool>);

impl Sink {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let names: Arc<Names> = Arc::default();
        let router = Router::new().route("/{*name}", axum::routing::any(answer)).with_state(names.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, names, server }
    }

    /// `host:port`, as `egress.open_hosts` wants it.
    pub fn host(&self) -> String {
        self.addr.to_string()
    }

    /// The origin, as a manifest grants it.
    pub fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.addr)
    }

    /// A body with which the probe asks `name` what to do.
    pub fn ask(&self, name: &str) -> Value {
        json!({ "do": "ask", "url": self.url(name) })
    }

    /// What `name` answers next, one call after the other; then that the work is done.
    pub fn answers<A: Into<Answer>>(&self, name: &str, answers: impl IntoIterator<Item = A>) {
        self.lock().entry(name.to_owned()).or_default().answers.extend(answers.into_iter().map(Into::into));
    }

    /// From now on the calls of `name` wait until the hold is dropped.
    pub fn hold(&self, name: &str) -> Hold {
        let (hold, held) = watch::channel(false);
        self.lock().entry(name.to_owned()).or_default().held = Some(held);
        Hold(hold)
    }

    pub fn calls(&self, name: &str) -> Vec<Call> {
        self.lock().get(name).map(|name| name.calls.clone()).unwrap_or_default()
    }

    pub fn count(&self, name: &str) -> usize {
        self.lock().get(name).map_or(0, |name| name.calls.len())
    }

    /// These names, each as often as it was called, in the order of the calls.
    pub fn order(&self, names: &[&str]) -> Vec<String> {
        let mut calls: Vec<(Instant, String)> = Vec::new();
        for name in names {
            calls.extend(self.calls(name).into_iter().map(|call| (call.at, (*name).to_owned())));
        }
        calls.sort();
        calls.into_iter().map(|(_, name)| name).collect()
    }

    /// The most calls of `name` that were under way at once.
    pub fn most_open(&self, name: &str) -> usize {
        self.lock().get(name).map_or(0, |name| name.most_open)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Name>> {
        self.names.lock().unwrap()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A call under way. It ends too when its caller hangs up.
struct Open(Arc<Names>, String);

impl Open {
    fn begin(names: Arc<Names>, path: String, report: Value, headers: HeaderMap) -> Self {
        let mut all = names.lock().unwrap();
        let name = all.entry(path.clone()).or_default();
        name.calls.push(Call { at: wasq_core::clock::now(), report, headers });
        name.open += 1;
        name.most_open = name.most_open.max(name.open);
        drop(all);
        Self(names, path)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().unwrap().entry(self.1.clone()).or_default().open -= 1;
    }
}

async fn answer(
    State(names): State<Arc<Names>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let report = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let open = Open::begin(names.clone(), path.clone(), report, headers);
    let held = names.lock().unwrap()[&path].held.clone();
    if let Some(mut held) = held {
        // An error says that the hold was dropped.
        let _ = held.changed().await;
    }
    let next = names.lock().unwrap().entry(path).or_default().answers.pop_front();
    let answer = next.unwrap_or_else(|| json!({ "do": "done" }).into());
    drop(open);
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.order.to_string()).into_response();
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// Waits until `holds`, and fails after half a minute, naming `what`.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = wasq_core::clock::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(30), "waited 30 s in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
