//! The outside world of the demo: mail, storage, inventories, a partner, analytics, an audit log,
//! and those who moderate videos, as one small HTTP server on this machine. It remembers every
//! call, can be told to fail and to be slow, and does not deduplicate, so that a duplicate shows.

mod audit;
mod effect;
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, Uri, header};
use parking_lot::{Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

pub use effect::Effect;

use super::client::Client;
use world::{Call, World};

/// The largest body that the server takes, in bytes.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// How long each service takes to answer, by the beginning of its path. These are made up, in the
/// order of what such services take; the inline checkout and the plugins meet the same ones.
pub const LATENCIES: [(&str, Duration); 7] = [
    ("/mail", Duration::from_millis(120)),
    ("/storage", Duration::from_millis(40)),
    ("/inventory", Duration::from_millis(30)),
    ("/partner", Duration::from_millis(180)),
    ("/analytics", Duration::from_millis(15)),
    ("/audit", Duration::from_millis(10)),
    ("/catalogue", Duration::from_millis(30)),
];

/// How long the moderators take, and how often they try to call back.
const MODERATION: Duration = Duration::from_secs(1);
const CALLBACK_TRIES: u32 = 20;

/// The server. It stops when it is shut down or dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    world: Mutex<World>,
    answered: Notify,
    /// Where the moderators call back: the shop's ingress port.
    callbacks: OnceLock<String>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        // Each change of the world is whole when it can panic at all, so a poisoned one is still
        // good.
        self.world.lock()
    }
}

impl Sink {
    /// Starts the server on 127.0.0.1, on a port that the system chooses, without latencies.
    ///
    /// # Errors
    ///
    /// When no port could be bound.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind a port for the demo's sink")?;
        let address = listener.local_addr().context("read the port of the demo's sink")?;
        let shared = Arc::new(Shared::default());
        let router =
            Router::new().fallback(answer).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            // A sender that was dropped stops the server too.
            let _ = stopped.await;
        });
        Ok(Sink { address, shared, stop, server: tokio::spawn(server.into_future()) })
    }

    /// Where it listens: `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, calls whose path begins with `prefix` get this status, with `Retry-After` if
    /// given: `calls` of them, or all until [`Sink::heal`]. The longest prefix that fits a path
    /// holds.
    pub fn fail(&self, prefix: &str, status: u16, retry_after_s: Option<u32>, calls: Option<u32>) {
        self.shared.world().fail(prefix, status, retry_after_s, calls);
    }

    /// Ends what [`Sink::fail`] began for this very prefix.
    pub fn heal(&self, prefix: &str) {
        self.shared.world().heal(prefix);
    }

    /// From now on, calls whose path begins with `prefix` are answered after this time. The longest
    /// prefix holds.
    pub fn set_latency(&self, prefix: &str, latency: Duration) {
        self.shared.world().set_latency(prefix, latency);
    }

    /// Where the moderators call back, such as `http://127.0.0.1:8080`.
    pub fn call_back(&self, base: String) {
        // The shop has one ingress port.
        let _ = self.shared.callbacks.set(base);
    }

    /// Sets all of [`LATENCIES`].
    pub fn set_latencies(&self) {
        for (prefix, latency) in LATENCIES {
            self.set_latency(prefix, latency);
        }
    }

    /// All calls so far, in the order in which they were answered.
    pub fn effects(&self) -> Vec<Effect> {
        self.shared.world().effects().to_vec()
    }

    /// How many calls changed something, of those whose path begins with `prefix`; with an id, only
    /// those about it.
    pub fn count(&self, prefix: &str, id: Option<&str>) -> usize {
        let fits = |effect: &&Effect| effect.path.starts_with(prefix) && (id.is_none() || effect.id.as_deref() == id);
        self.shared.world().effects().iter().filter(|effect| effect.is_done()).filter(fits).count()
    }

    /// How many calls were answered in all, whatever the status, of those whose path begins with
    /// `prefix`.
    pub fn calls(&self, prefix: &str) -> usize {
        self.shared.world().effects().iter().filter(|effect| effect.path.starts_with(prefix)).count()
    }

    /// Waits until `fits` holds for the calls so far; it is asked again after each call. It may
    /// wait for ever: the caller sets the bound.
    pub async fn wait_until(&self, mut fits: impl FnMut(&[Effect]) -> bool) {
        loop {
            let mut answered = std::pin::pin!(self.shared.answered.notified());
            answered.as_mut().enable();
            if fits(self.shared.world().effects()) {
                return;
            }
            answered.await;
        }
    }

    /// Walks the audit log from its first entry and gives the number of entries.
    ///
    /// # Errors
    ///
    /// Which entry does not fit the one before it.
    pub fn verify_audit(&self) -> Result<u64, String> {
        self.shared.world().verify_audit()
    }

    /// Stops the server, after the calls that are under way.
    ///
    /// # Errors
    ///
    /// When the server had failed.
    pub async fn shutdown(self) -> anyhow::Result<()> {
        // It may have ended by itself; then joining it tells why.
        let _ = self.stop.send(());
        self.server.await.context("join the demo's sink")?.context("serve the demo's sink")
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<axum::body::Body> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let call =
        Call { method: method.as_str(), path: uri.path(), idempotency_key: text("idempotency-key"), body: &body };
    let latency = shared.world().latency(uri.path());
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let (answer, asked) = {
        let mut world = shared.world();
        (world.answer(&call), world.take_waiting())
    };
    shared.answered.notify_waiters();
    if let Some(base) = shared.callbacks.get().filter(|_| !asked.is_empty()) {
        tokio::spawn(moderate(Client::new(base), asked));
    }

    let mut response = Response::new(answer.body.into());
    *response.status_mut() = answer.status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(answer.content_type));
    if let Some(seconds) = answer.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The moderators have a look, which takes them a second, and call back.
async fn moderate(client: Client, tokens: Vec<String>) {
    tokio::time::sleep(MODERATION).await;
    for token in tokens {
        let path = format!("/v1/callbacks/{token}");
        for _ in 0..CALLBACK_TRIES {
            // 404 says that it was told before.
            match client.post(&path, "", r#"{"fit":true}"#.to_owned()).await {
                Ok((202 | 404, _)) => break,
                Ok(_) | Err(_) => tokio::time::sleep(MODERATION).await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
