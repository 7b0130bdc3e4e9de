//! One try to connect to one node, bounded in all of it: the name's addresses, TCP, TLS and the
//! handshake of AMQP.
//!
//! lapin drives a connection on a thread of its own, and bounds none of these. A try that is given
//! up must end that thread: so the socket is shut down under it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use lapin::tcp::{AsyncTcpStream, RustlsConnector};
use lapin::{Connection, ConnectionProperties};
use parking_lot::Mutex;
use tracing::dispatcher::{self, DefaultGuard, Dispatch};

use super::address::{Address, Node};
use super::config::RabbitMqConfig;
use super::error::{CallTarget, configuration, failed, no_answer_in_time};
use super::tls;
use crate::queue::QueueError;

/// What every try has in common.
pub struct Settings {
    pub address: Address,
    pub heartbeat_s: u16,
    pub connect_timeout: Duration,
    tls: Option<RustlsConnector>,
}

impl Settings {
    /// # Errors
    /// A config that cannot be used.
    pub fn of(config: &RabbitMqConfig) -> Result<Self, QueueError> {
        if let Some((name, value, rule)) = config.fault() {
            let fault = format!("`{name}` is {value}: {rule}");
            return Err(configuration(format!("RabbitMQ: {fault}")));
        }
        let address = Address::parse(&config.url.0).map_err(|fault| configuration(format!("RabbitMQ: {fault}")))?;
        let tls = address.is_tls.then(|| tls::connector(config.ca_file.as_deref())).transpose();
        Ok(Self {
            tls: tls.map_err(|fault| configuration(format!("RabbitMQ: {fault}")))?,
            address,
            heartbeat_s: u16::try_from(config.heartbeat.as_secs())
                .expect("the config's heartbeat is within its bounds"),
            connect_timeout: config.connect_timeout,
        })
    }
}

/// The socket of a try. Whoever gives the try up shuts it down.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Unopened,
    Open(TcpStream),
    /// The try has come to its end: nothing is to be shut down.
    Over,
}

impl Socket {
    /// # Errors
    /// The try was given up meanwhile.
    fn opened(&self, stream: &impl AsFd) -> io::Result<()> {
        let mut state = self.0.lock();
        if let State::Over = *state {
            return Err(io::ErrorKind::TimedOut.into());
        }
        *state = State::Open(TcpStream::from(stream.as_fd().try_clone_to_owned()?));
        Ok(())
    }

    /// The connection owns its socket alone from here on.
    fn release(&self) {
        *self.0.lock() = State::Over;
    }
}

/// Dropped before its end, a try shuts its socket down.
struct Try(Socket);

impl Drop for Try {
    fn drop(&mut self) {
        if let State::Open(socket) = std::mem::replace(&mut *self.0.0.lock(), State::Over)
            && let Err(error) = socket.shutdown(Shutdown::Both)
        {
            // The other side has closed it.
            tracing::debug!(%error, "a connection that was given up is closed already");
        }
    }
}

/// Connects to a node.
///
/// # Errors
/// As [`failed`] reads them, and that there was no answer in time.
pub async fn connect(settings: &Settings, node: &Node, name: &str) -> Result<Connection, QueueError> {
    let target = CallTarget::node(&node.to_string(), &settings.address.vhost);
    let socket = Socket::default();
    let attempt = Try(socket.clone());
    let (within, tls) = (settings.connect_timeout, settings.tls.clone());
    let wire = socket.clone();
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "wasq".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let runtime = lapin::runtime::default_runtime().map_err(|error| failed(&target, &error))?;
    let connected = Connection::connector(
        settings.address.uri(node, settings.heartbeat_s),
        runtime,
        async move |uri, runtime| {
            keep_quiet();
            let open = async {
                let host = uri.authority.host.as_str();
                let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, uri.authority.port)).await?.collect();
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(stream) = &stream {
                    wire.opened(stream.get_ref())?;
                }
                match &tls {
                    Some(connector) => stream.into_rustls(connector, host).await,
                    None => Ok(stream),
                }
            };
            let opened = tokio::time::timeout(within, open).await;
            opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(lapin::Error::from)
        },
        properties,
    );
    let connected = tokio::time::timeout(within, connected).await.map_err(|_| no_answer_in_time(&target, within))?;
    attempt.0.release();
    connected.map_err(|error| failed(&target, &error))
}

thread_local! {
    static QUIET: DefaultGuard = dispatcher::set_default(&Dispatch::none());
}

/// Keeps this thread from logging, until it ends. It is lapin's own, and lapin logs each message
/// that comes back, with its body. What it finds wrong, its calls say.
fn keep_quiet() {
    QUIET.with(|_| {});
}
