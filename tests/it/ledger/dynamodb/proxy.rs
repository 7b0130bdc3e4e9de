//! What stands between a ledger and its server: it counts the calls, and makes trouble.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::fmt::rfc2822;

/// A proxy of its own port, on a thread of its own that lives as long as the tests.
pub struct Proxy {
    address: SocketAddr,
    inner: Arc<Inner>,
}

/// What the proxy does with calls.
#[derive(Clone, Debug, Default)]
pub enum Trouble {
    #[default]
    None,
    /// Says that the server's clock shows so many seconds more or less.
    ClockOff(i64),
    /// Never answers.
    Silence,
    /// Answers in this way, without asking the server.
    Answers(u16, &'static str),
    /// Has the server do it, and then answers that it failed: so many times, then no more.
    LosesAnswers(usize),
    /// Has the server do it, and breaks off in the middle of its answer: so many times, then no
    /// more.
    CutsAnswers(usize),
    /// As the one before, once for each call: the same call said again is answered.
    LosesEachOnce,
}

struct Inner {
    server: String,
    client: Client<HttpConnector, Body>,
    /// Held while a call is under way, if there may be only one.
    turn: Option<tokio::sync::Mutex<()>>,
    trouble: Mutex<Trouble>,
    actions: Mutex<Vec<String>>,
    /// The bodies of the calls whose answers were lost.
    lost: Mutex<HashSet<Vec<u8>>>,
}

impl Proxy {
    pub fn new(server: &str) -> Self {
        Self::start(server, None)
    }

    /// Lets one call at a time through.
    pub fn one_at_a_time(server: &str) -> Self {
        Self::start(server, Some(tokio::sync::Mutex::default()))
    }

    fn start(server: &str, turn: Option<tokio::sync::Mutex<()>>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (trouble, actions, lost) = Default::default();
        let inner = Arc::new(Inner { server: server.to_owned(), client, turn, trouble, actions, lost });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("it is a socket");
        let router = Router::new().fallback(pass).with_state(inner.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
                axum::serve(listener, router).await.expect("it serves");
            });
        });
        Self { address, inner }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn make(&self, trouble: Trouble) {
        *self.inner.trouble.lock().unwrap() = trouble;
    }

    /// The actions that were called since this was asked last.
    pub fn actions(&self) -> Vec<String> {
        std::mem::take(&mut *self.inner.actions.lock().unwrap())
    }
}

async fn pass(State(proxy): State<Arc<Inner>>, request: Request) -> Response {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let action = target.rsplit('.').next().unwrap_or_default().to_owned();
    proxy.actions.lock().unwrap().push(action);
    let trouble = proxy.trouble.lock().unwrap().clone();
    match trouble {
        Trouble::Silence => std::future::pending().await,
        Trouble::Answers(status, code) => return refusal(status, code),
        Trouble::None
        | Trouble::ClockOff(_)
        | Trouble::LosesAnswers(_)
        | Trouble::CutsAnswers(_)
        | Trouble::LosesEachOnce => {}
    }
    let _turn = match &proxy.turn {
        Some(turn) => Some(turn.lock().await),
        None => None,
    };
    let (head, body) = request.into_parts();
    let said = axum::body::to_bytes(body, usize::MAX).await.expect("the ledger says it all");
    let mut request = Request::from_parts(head, Body::from(said.clone()));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{}{path}", proxy.server).parse().expect("it was a URL before");
    let Ok(answer) = proxy.client.request(request).await else { return refusal(503, "ServiceUnavailable") };
    let (mut head, body) = answer.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.expect("the server says it all");
    match trouble {
        Trouble::LosesAnswers(0) | Trouble::CutsAnswers(0) => {}
        Trouble::None | Trouble::Silence | Trouble::Answers(..) => {}
        Trouble::LosesAnswers(left) => {
            *proxy.trouble.lock().unwrap() = Trouble::LosesAnswers(left - 1);
            return refusal(500, "InternalServerError");
        }
        Trouble::CutsAnswers(left) => {
            *proxy.trouble.lock().unwrap() = Trouble::CutsAnswers(left - 1);
            head.headers.insert("content-length", body.len().into());
            let half = body.slice(..body.len() / 2);
            let parts = [Ok(half), Err(std::io::Error::other("the proxy breaks off"))];
            return Response::from_parts(head, Body::from_stream(futures::stream::iter(parts)));
        }
        Trouble::LosesEachOnce if proxy.lost.lock().unwrap().insert(said.to_vec()) => {
            return refusal(500, "InternalServerError");
        }
        Trouble::LosesEachOnce => {}
        Trouble::ClockOff(seconds) => {
            let date = head.headers["date"].to_str().expect("a date is text");
            let date = rfc2822::DateTimeParser::new().parse_timestamp(date).expect("it is one");
            let off = date + jiff::SignedDuration::from_secs(seconds);
            let off = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&off).expect("it is in range");
            head.headers.insert("date", off.parse().expect("it is a header's value"));
        }
    }
    Response::from_parts(head, Body::from(body))
}

fn refusal(status: u16, code: &str) -> Response {
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"the proxy says so"}}"#);
    let status = axum::http::StatusCode::from_u16(status).expect("it is a status");
    (status, [("content-type", "application/x-amz-json-1.0")], body).into_response()
}
