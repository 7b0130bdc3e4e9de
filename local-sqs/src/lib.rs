//! The local queue: an endpoint that speaks both of SQS's protocols, AWS JSON and the older Query
//! protocol, durable on disk. It knows nothing of the rest of the host, and any AWS client can use
//! it.
//!
//! A request comes in through `server` (connections) and `http`, which reads it by its `protocol`
//! (`faults` step in here). It has its operation done in `operations`, on a queue that `registry`
//! finds, with its `backlog` of messages in memory and a record of every change in `log` on disk.
//!
//! What it promises: a send is answered when the message is on disk. Receipts, visibility and
//! deletes are answered when they have reached the operating system: they survive the process's
//! death, and after the machine's a message may come again, as with SQS itself. A torn write leaves
//! the last committed state.
//!
//! A queue belongs to the region and account of the request that created it. The region is the one
//! that the request is signed for; the account is the access key id if that has twelve digits, and
//! 000000000000 otherwise. Queues of [`LocalSqs::create_queue`] are in every region.
//!
//! What it leaves out: signatures and permissions are not checked, and messages are not encrypted
//! at rest. Unless [`Options::waits`] is set, PurgeQueue and CreateQueue after DeleteQueue have no
//! 60 seconds to wait.

mod address;
mod attributes;
mod backlog;
mod clock;
mod dedup;
mod digest;
mod error;
mod faults;
mod http;
mod log;
mod maintenance;
mod message;
mod operations;
mod policy;
mod protocol;
mod queue;
mod receipt;
mod record;
mod registry;
mod server;
mod service;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::faults::{Effect, Fault, Faults};
use self::{
    error::SqsError,
    http::Http,
    log::{Log, OpenError},
    service::Service,
};

/// The port that `wasq` uses unless told otherwise.
pub const DEFAULT_PORT: u16 = 9324;
/// How long `shutdown` waits for requests that are being served.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// Where the local queue lives.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory for its data; made if need be. One process at a time may use it.
    pub dir: PathBuf,
    /// Where to listen. Port 0 lets the system choose.
    pub addr: SocketAddr,
    /// Whether to refuse what SQS refuses for 60 seconds: another purge of the same queue, and a
    /// new queue with a deleted one's name.
    pub waits: bool,
}

impl Options {
    /// This directory, and the default port on this machine only.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), addr: (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into(), waits: false }
    }

    /// Another port.
    pub fn port(self, port: u16) -> Self {
        Self { addr: SocketAddr::new(self.addr.ip(), port), ..self }
    }
}

/// Why the local queue does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody listens there already.
    #[error("port {} is taken on {}: is another wasq running? Stop it, or choose another port", .addr.port(), .addr.ip())]
    PortTaken { addr: SocketAddr },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {error}")]
    Listen { addr: SocketAddr, error: std::io::Error },
    /// The data directory is in use, unreadable or damaged.
    #[error("the local queue's data cannot be opened: {0}")]
    Data(#[from] OpenError),
    /// The thread that opened the data panicked.
    #[error("opening the local queue's data failed: {0}")]
    Opening(#[from] tokio::task::JoinError),
}

/// Why the local queue does not make a queue.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the queue `{name}`: {reason}")]
pub struct CreateError {
    name: String,
    reason: SqsError,
}

/// A running local queue. Dropping it ends its connections at once and without ceremony, as if it
/// had been killed; see [`LocalSqs::shutdown`].
pub struct LocalSqs {
    addr: SocketAddr,
    http: Arc<Http>,
    stop: CancellationToken,
    server: JoinHandle<()>,
    maintenance: JoinHandle<()>,
}

impl LocalSqs {
    /// Opens the data and listens. To be called within a tokio runtime, on which it then runs.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let listener = TcpListener::bind(options.addr).await.map_err(|error| listen_error(options.addr, error))?;
        let addr = listener.local_addr().map_err(|error| listen_error(options.addr, error))?;
        let Options { dir, waits, .. } = options;
        let (log, replayed) = tokio::task::spawn_blocking(move || Log::open(&dir)).await??;
        let service = Arc::new(Service::new(log, replayed, waits));
        service.resume_moves();
        let maintenance = tokio::spawn(maintenance::maintain(service.clone()));
        let http = Arc::new(Http { service, faults: Arc::default() });
        let stop = CancellationToken::new();
        let server = tokio::spawn(server::serve(listener, http.clone(), stop.clone()));
        Ok(Self { addr, http, stop, server, maintenance })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What to give an AWS client as its endpoint.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Makes a queue that every region of the default account has; a name that ends in `.fifo`
    /// makes a FIFO queue. One that is there stays as it is, and from then on every region has it.
    ///
    /// # Errors
    /// SQS takes no such name, two regions have a queue of this name each, or the queue cannot be
    /// stored.
    pub async fn create_queue(&self, name: &str) -> Result<(), CreateError> {
        let made = self.http.service.create_everywhere(name).await;
        made.map_err(|reason| CreateError { name: name.to_owned(), reason })
    }

    /// Orders and counts faults, for tests.
    pub fn faults(&self) -> &Faults {
        &self.http.faults
    }

    /// Answers all long polls now, with nothing unless there is something; receives no longer wait
    /// from then on. Message move tasks pause until the next start.
    pub fn end_long_polls(&self) {
        self.http.service.polls_ended.cancel();
    }

    /// Stops accepting, finishes the requests that are being served, stores everything and lets go
    /// of the directory.
    pub async fn shutdown(mut self) {
        self.end_long_polls();
        self.stop.cancel();
        if tokio::time::timeout(SHUTDOWN_WAIT, &mut self.server).await.is_err() {
            tracing::warn!("the local queue stops although some requests are not answered yet");
            self.server.abort();
        }
        let service = self.http.service.clone();
        let closed = tokio::task::spawn_blocking(move || service.log.close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "closing the local queue's log panicked");
        }
    }
}

impl Drop for LocalSqs {
    fn drop(&mut self) {
        self.end_long_polls();
        self.server.abort();
        self.maintenance.abort();
    }
}

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

fn listen_error(addr: SocketAddr, error: std::io::Error) -> StartError {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        StartError::PortTaken { addr }
    } else {
        StartError::Listen { addr, error }
    }
}
