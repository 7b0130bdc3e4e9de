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

    /// Where to connect to: all of the host's addresses, if every one may be reached. To these and no others: a second
    /// look-up could answer differently.
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

    /// Why this host could not be reached, as far as that is known without a look-up: of addresses that are written as such,
    /// and of the names of this machine.
    pub fn closed(&self, host: &str, port: u16) -> Option<DialError> {
        let is_localhost = host == "localhost" || host.ends_with(".localhost");
        let address = if is_localhost { Some(Ipv4Addr::LOCALHOST.into()) } else { host.parse().ok() };
        self.check(host, port, address?).err()
    }

    fn check(&self, host: &str, port: u16, address: IpAddr) -> Result<(), DialError> {
        // An operator who opens an address, and not a name, means that one.
        let can_open = is_local(address) || host.parse::<IpAddr>().is_ok();
        let is_open = can_open && self.open_hosts.contains(&(host.to_owned(), port));
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A resolver that gives these answers, one after the other; each is addresses with spaces between.
    fn answers(answers: &'static [&'static str]) -> Resolver {
        let next = Arc::new(AtomicUsize::new(0));
        Arc::new(move |_, port| {
            let answer = answers[next.fetch_add(1, Ordering::Relaxed)];
            let addresses =
                answer.split_whitespace().map(|text| SocketAddr::new(text.parse().unwrap(), port)).collect();
            Box::pin(async move { Ok(addresses) })
        })
    }

    #[tokio::test]
    async fn a_name_is_denied_for_any_of_its_addresses() {
        let check = async |answer: &'static [&'static str], open: &str, expect: bool| {
            let addresses = Addresses::new(&[open.to_owned()], answers(answer)).unwrap();
            let found = addresses.of("api.example", 80).await;
            assert_eq!(found.is_ok(), expect, "{answer:?} with {open} open gave {found:?}");
        };
        let other = "other.example:80";
        check(&["8.8.8.8 2606:4700::1111"], other, true).await;
        check(&["8.8.8.8 10.0.0.1"], other, false).await;
        check(&["2606:4700::1111 fd00:ec2::254"], other, false).await;
        check(&["169.254.169.254"], other, false).await;
        check(&["127.0.0.1"], other, false).await;
        check(&["::ffff:127.0.0.1"], other, false).await;
        check(&["64:ff9b::a9fe:a9fe"], other, false).await;
        check(&[""], other, false).await;
        check(&["127.0.0.1"], "api.example:80", true).await;
        check(&["127.0.0.1"], "API.example.:80", true).await;
        check(&["127.0.0.1"], "api.example:81", false).await;
        check(&["10.0.0.1 169.254.169.254"], "api.example:80", false).await;
    }

    #[tokio::test]
    async fn an_answer_that_changes_is_checked_each_time() {
        let addresses = Addresses::new(&[], answers(&["8.8.8.8", "127.0.0.1"])).unwrap();
        assert_eq!(addresses.of("rebind.example", 80).await.unwrap(), ["8.8.8.8:80".parse().unwrap()]);
        assert!(matches!(addresses.of("rebind.example", 80).await, Err(DialError::Prohibited { .. })));
    }

    #[tokio::test]
    async fn an_address_is_never_looked_up_and_opened_as_it_is() {
        let addresses =
            Addresses::new(&["169.254.169.254:80".to_owned(), "[::1]:80".to_owned()], answers(&[])).unwrap();
        assert!(addresses.of("169.254.169.254", 80).await.is_ok(), "the operator wrote this very address");
        assert!(addresses.of("::1", 80).await.is_ok());
        assert!(matches!(addresses.of("169.254.169.254", 81).await, Err(DialError::Prohibited { .. })));
        assert!(matches!(addresses.of("127.0.0.1", 80).await, Err(DialError::Prohibited { .. })));
    }

    #[test]
    fn what_is_closed_is_known_without_a_look_up_where_the_address_is_written_or_the_machine_itself() {
        let check = |host: &str, port: u16, expect: Option<&str>| {
            let open = ["127.0.0.1:7799".to_owned(), "localhost:7799".to_owned()];
            let closed = Addresses::new(&open, answers(&[])).unwrap().closed(host, port);
            match (&closed, expect) {
                (Some(error), Some(part)) => assert!(error.to_string().contains(part), "{host}: {error}"),
                (closed, expect) => assert!(closed.is_none() && expect.is_none(), "{host}:{port} gave {closed:?}"),
            }
        };
        check("127.0.0.1", 7799, None);
        check("127.0.0.1", 7798, Some("egress.open_hosts = [\"127.0.0.1:7798\"]"));
        check("::1", 80, Some("egress.open_hosts = [\"[::1]:80\"]"));
        check("169.254.169.254", 80, Some("egress.open_hosts"));
        check("localhost", 7799, None);
        check("localhost", 80, Some("egress.open_hosts = [\"localhost:80\"]"));
        check("a.localhost", 80, Some("egress.open_hosts"));
        check("8.8.8.8", 80, None);
        check("api.example", 80, None);
    }

    #[test]
    fn what_no_setting_opens_is_not_told_to_be_opened() {
        let addresses = Addresses::new(&["api.example:80".to_owned()], answers(&[])).unwrap();
        let error = addresses.check("api.example", 80, "169.254.169.254".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("no setting opens") && !error.contains("egress.open_hosts"), "{error}");
    }

    #[tokio::test]
    async fn the_system_resolves_localhost_and_it_is_denied() {
        let addresses = Addresses::new(&[], system()).unwrap();
        assert!(matches!(addresses.of("localhost", 80).await, Err(DialError::Prohibited { .. })));
    }
}
