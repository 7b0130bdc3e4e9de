//! Connections, made to the very addresses that were checked.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use wasq_core::clock;

use super::destination::port_of;
use super::errors::DialError;
use super::resolve::Addresses;

/// Resolves a host, checks every address, and dials one that was checked.
#[derive(Clone)]
pub struct CheckedConnector {
    addresses: Addresses,
    timeout: Duration,
}

impl CheckedConnector {
    pub fn new(addresses: Addresses, timeout: Duration) -> Self {
        Self { addresses, timeout }
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub async fn dial(self, uri: Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let end = clock::now() + self.timeout;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = port_of(&uri);
        let addresses: Vec<SocketAddr> = self.addresses.of(host, port).await?;
        let mut last = DialError::Timeout(self.timeout);
        for (tried, address) in addresses.iter().enumerate() {
            // Each address gets its share of the time, so that one that never answers leaves some
            // for the next.
            let left = end.saturating_duration_since(clock::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            last = match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(ready(stream)),
                Ok(Err(error)) => DialError::Refused(error),
                Err(_) => DialError::Timeout(self.timeout),
            };
        }
        Err(last)
    }
}

/// A connection as the client wants it.
pub fn ready(stream: TcpStream) -> TokioIo<TcpStream> {
    // Small requests must not wait for an acknowledgement; without it they are only slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    TokioIo::new(stream)
}
