//! From a host's name to its addresses, every one checked.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::destination::{DestinationError, host_and_port};
use super::errors::DialError;
use crate::sandbox::address::{is_local, is_public};

/// Look-ups at once in the system's resolver. Each holds a thread for as long as DNS lets it wait.
const LOOKUPS_MAX: usize = 64;

/// Finds the addresses of a host for a port.
pub type Resolver = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Resolves and checks.
#[derive(Clone)]
pub struct Addresses {
    open_hosts: Arc<HashSet<(String, u16)>>,
    resolver: Resolver,
}

impl Addresses {
    /// `open_hosts` are `host:port` pairs that may be in local networks.
    pub fn new(open_hosts: &[String], resolver: Resolver) -> Result<Self, DestinationError> {
        let open = open_hosts.iter().map(|text| {
            let rule = || "an open host is host:port".to_owned();
            host_and_port(text).ok_or_else(|| DestinationError { text: text.clone(), rule: rule() })
        });
        Ok(Self { open_hosts: Arc::new(open.collect::<Result<_, _>>()?), resolver })
    }

    /// Where to connect to: all of the host's addresses, if every one may be reached. To these and
    /// no others: a second look-up could answer differently.
    pub async fn of(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let dns = |reason: String| DialError::Dns { host: host.to_owned(), reason };
        let addresses = match host.parse::<IpAddr>().ok() {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => (self.resolver)(host.to_owned(), port).await.map_err(|error| dns(error.to_string()))?,
        };
        if addresses.is_empty() {
            return Err(dns("no address".into()));
        }
        for address in &addresses {
            self.check(host, port, address.ip()).inspect_err(|_| {
                tracing::warn!(%host, %address, "a handler called a host with an address that it may not reach");
            })?;
        }
        Ok(addresses)
    }

    /// Why this host could not be reached, as far as that is known without a look-up: of addresses
    /// that are written as such, and of the names of this machine.
    pub fn closed(&self, host: &str, port: u16) -> Option<DialError> {
        let is_localhost = host == "localhost" || host.ends_with(".localhost");
        let address = if is_localhost { Some(Ipv4Addr::LOCALHOST.into()) } else { host.parse().ok() };
        self.check(host, port, address?).err()
    }

    /// Whether the operator has opened it.
    pub fn is_open(&self, host: &str, port: u16) -> bool {
        self.open_hosts.contains(&(host.to_owned(), port))
    }

    fn check(&self, host: &str, port: u16, address: IpAddr) -> Result<(), DialError> {
        // An operator who opens an address, and not a name, means that one.
        let can_open = is_local(address) || host.parse::<IpAddr>().is_ok();
        let is_open = can_open && self.is_open(host, port);
        match is_public(address) || is_open {
            true => Ok(()),
            false => Err(DialError::Prohibited { host: host.to_owned(), port, address, can_open }),
        }
    }
}

/// The system's resolver.
pub fn system() -> Resolver {
    let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
    Arc::new(move |host, port| {
        let lookups = lookups.clone();
        Box::pin(async move {
            let lookup = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let resolve = move || {
                let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                drop(lookup);
                addresses
            };
            tokio::task::spawn_blocking(resolve).await.map_err(io::Error::other)?
        })
    })
}

#[cfg(test)]
mod tests;
