//! Stands where a service of AWS stands, and notes who made each call.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{AUTHORIZATION, DATE};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use wasq_queues::sqs::{Sqs, SqsQueue};
use wasq_queues::{Queue, QueueError};

const NOTHING: &str = "{}";

/// A call as the service saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub operation: String,
    pub by: By,
    pub status: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Sdk,
    Us,
}

pub fn seen(operation: &str, by: By, status: u16) -> Seen {
    Seen { operation: operation.into(), by, status }
}

/// How the next call is answered.
pub struct Order {
    status: StatusCode,
    body: &'static str,
    /// Whether the call is handed on before, so that its own answer is lost.
    is_done: bool,
}

/// Stands where the service stands: notes each call, and answers what is ordered, or hands it on.
pub struct Gate {
    pub addr: SocketAddr,
    pub state: Arc<GateState>,
}

pub struct GateState {
    /// Where calls go on to, byte for byte; without it, a call is answered with [`NOTHING`].
    pub behind: Option<String>,
    pub ahead: Mutex<Duration>,
    pub ordered: Mutex<VecDeque<Order>>,
    pub seen: Mutex<Vec<Seen>>,
    pub keys: Mutex<Vec<String>>,
    /// Notes calls and never answers them.
    pub silent: AtomicBool,
}

impl Gate {
    pub async fn before(behind: Option<String>) -> Self {
        let state = Arc::new(GateState {
            behind,
            ahead: Mutex::default(),
            ordered: Mutex::default(),
            seen: Mutex::default(),
            keys: Mutex::default(),
            silent: AtomicBool::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { addr, state }
    }

    pub async fn start() -> Self {
        Self::before(None).await
    }

    pub fn order(&self, status: StatusCode, body: &'static str) {
        self.state.ordered.lock().unwrap().push_back(Order { status, body, is_done: false });
    }

    /// Has the next call done, and answers something else.
    pub fn lose(&self, status: StatusCode, body: &'static str) {
        self.state.ordered.lock().unwrap().push_back(Order { status, body, is_done: true });
    }

    /// The calls since the last time.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.seen.lock().unwrap())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub async fn queue(&self, credentials: impl ProvideCredentials + 'static) -> SqsQueue {
        let sqs = Sqs::new(&sdk_config(&self.url(), credentials).await);
        sqs.queue(&format!("{}/123456789012/jobs", self.url())).await.unwrap()
    }
}

pub async fn sdk_config(endpoint: &str, credentials: impl ProvideCredentials + 'static) -> SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(wasq_core::aws::http_client());
    loader
        .region(Region::from_static("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(credentials)
        .load()
        .await
}

pub async fn answer(State(gate): State<Arc<GateState>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let operation = header("x-amz-target").unwrap().rsplit('.').next().unwrap().to_owned();
    let by = if header("amz-sdk-request").is_some() { By::Sdk } else { By::Us };
    let authorization = header(AUTHORIZATION.as_str()).unwrap();
    gate.keys.lock().unwrap().push(authorization.split(['=', '/']).nth(1).unwrap().to_owned());
    if gate.silent.load(Ordering::Relaxed) {
        gate.seen.lock().unwrap().push(Seen { operation, by, status: 0 });
        return std::future::pending().await;
    }
    let now = now() + *gate.ahead.lock().unwrap();
    let signed: jiff::Timestamp =
        jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ%z", format!("{}+0000", header("x-amz-date").unwrap()))
            .and_then(|time| time.to_timestamp())
            .unwrap();
    let age = jiff::Timestamp::try_from(now).unwrap().duration_since(signed).unsigned_abs();
    let ordered = gate.ordered.lock().unwrap().pop_front();
    let response = match (ordered, &gate.behind) {
        _ if age > Duration::from_secs(300) => plain(
            StatusCode::FORBIDDEN,
            r#"{"__type":"com.amazonaws.sqs#RequestTimeTooSkewed","message":"too skewed"}"#,
        ),
        (Some(Order { status, body, is_done: false }), _) | (Some(Order { status, body, .. }), None) => {
            plain(status, body)
        }
        (Some(Order { status, body, is_done: true }), Some(behind)) => {
            hand_on(behind, request).await;
            plain(status, body)
        }
        (None, None) => plain(StatusCode::OK, NOTHING),
        (None, Some(behind)) => hand_on(behind, request).await,
    };
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(DATE, httpdate(now).parse().unwrap());
    gate.seen.lock().unwrap().push(Seen { operation, by, status: parts.status.as_u16() });
    Response::from_parts(parts, body)
}

pub fn plain(status: StatusCode, body: &'static str) -> Response {
    Response::builder().status(status).header("content-type", "application/x-amz-json-1.0").body(body.into()).unwrap()
}

pub async fn hand_on(behind: &str, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    parts.uri = format!("{behind}{}", parts.uri.path_and_query().unwrap()).parse().unwrap();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(Request::from_parts(parts, Body::from(body))).await.unwrap().map(Body::new)
}

pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(wasq_core::clock::unix_ms().0)
}

pub fn httpdate(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

pub fn static_credentials() -> Credentials {
    Credentials::new("AKIDFIRST", "secret", None, None, "test")
}

pub async fn receive(queue: &SqsQueue) -> Result<Vec<wasq_core::message::Delivery>, QueueError> {
    queue.receive(10, Duration::ZERO, Duration::from_secs(30)).await
}
