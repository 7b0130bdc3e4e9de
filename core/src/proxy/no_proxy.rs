//! `NO_PROXY`: what is reached without a proxy.

use std::net::IpAddr;

use ipnet::IpNet;

/// Rules, any of which exempts a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    hosts: Hosts,
    /// Any where it names none.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Network(IpNet),
    /// The name, and all below it; in lower case, without a leading dot.
    Domain(String),
}

impl NoProxy {
    /// Reads names, `.suffix`, `*.suffix`, addresses, networks as `10.0.0.0/8`, and `*`, each with
    /// a port if it likes, with commas or blanks in between.
    pub fn parse(text: &str) -> Self {
        let rules = text.split(|c: char| c == ',' || c.is_whitespace()).map(str::trim);
        Self(rules.filter(|rule| !rule.is_empty()).map(Rule::parse).collect())
    }

    /// Whether this host and port are exempt. An address in IPv6 has no brackets.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.0.iter().any(|rule| {
            let is_port = rule.port.is_none_or(|only| only == port);
            is_port
                && match &rule.hosts {
                    Hosts::All => true,
                    Hosts::Network(network) => address.is_some_and(|address| network.contains(&address)),
                    Hosts::Domain(domain) => {
                        host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                    }
                }
        })
    }
}

impl Rule {
    fn parse(text: &str) -> Self {
        if let Some(hosts) = network(text) {
            return Self { hosts, port: None };
        }
        let (hosts, port) = match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, Some(port)),
            Some(_) | None => (text, None),
        };
        let hosts = network(hosts.trim_start_matches('[').trim_end_matches(']')).unwrap_or_else(|| match hosts {
            "*" => Hosts::All,
            name => {
                let name = name.strip_prefix('*').unwrap_or(name);
                Hosts::Domain(name.trim_matches('.').to_ascii_lowercase())
            }
        });
        Self { hosts, port }
    }
}

/// An address or a network.
fn network(text: &str) -> Option<Hosts> {
    let address = text.parse::<IpAddr>().ok().map(IpNet::from);
    address.or_else(|| text.parse().ok()).map(Hosts::Network)
}
