//! Which proxy a connection goes through, by the variables that other programs read, too:
//! `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in capitals or not. AWS's clients use it, and the
//! guests' egress where the config says so.

mod no_proxy;

use std::fmt;

pub use no_proxy::NoProxy;

/// A proxy for each scheme, and the hosts that are reached without one.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    exempt: NoProxy,
}

/// A proxy's URL. It may have a password in it, so it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(url::Url);

/// What a text is that names no proxy. It is not shown: it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is no proxy's URL: {reason}; use http://HOST:PORT or https://HOST:PORT")]
pub struct BadProxy {
    setting: String,
    reason: String,
}

impl Proxies {
    /// From the environment, as `lookup` reads it. A name in lower case goes first, as in curl.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, BadProxy> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, lookup(name).filter(|value| !value.trim().is_empty())?)))
        };
        let proxy = |names| first(names).map(|(name, value)| Proxy::parse(name, &value)).transpose();
        Ok(Self {
            https: proxy(["https_proxy", "HTTPS_PROXY"])?,
            http: proxy(["http_proxy", "HTTP_PROXY"])?,
            exempt: first(["no_proxy", "NO_PROXY"]).map(|(_, rules)| NoProxy::parse(&rules)).unwrap_or_default(),
        })
    }

    /// One for both schemes.
    pub fn all(proxy: Proxy, exempt: NoProxy) -> Self {
        Self { https: Some(proxy.clone()), http: Some(proxy), exempt }
    }

    pub fn https(&self) -> Option<&Proxy> {
        self.https.as_ref()
    }

    pub fn http(&self) -> Option<&Proxy> {
        self.http.as_ref()
    }

    /// The proxy on the way to `host`, which has no brackets. This machine and the addresses of
    /// instance metadata are never asked for through one.
    pub fn to(&self, scheme: &str, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if scheme == "https" { self.https() } else { self.http() };
        proxy.filter(|_| !is_here(host) && !self.exempt.covers(host, port))
    }
}

impl Proxy {
    /// `setting` is where the text stands. Without a scheme it is `http://`, as in curl.
    pub fn parse(setting: &str, text: &str) -> Result<Self, BadProxy> {
        let bad = |reason: &str| BadProxy { setting: setting.to_owned(), reason: reason.to_owned() };
        let text = text.trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = url::Url::parse(&text).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(&format!("the scheme {} is not supported", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("it has no host"));
        }
        Ok(Self(url))
    }

    /// With its user and password, for whoever connects.
    pub fn url(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port_or_known_default().unwrap_or_default();
        write!(f, "{}://{}:{port}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// This machine, its link (where EC2, ECS and EKS have their endpoints for credentials), and EC2's
/// and EKS's own addresses in IPv6.
fn is_here(host: &str) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    match host.parse() {
        Ok(std::net::IpAddr::V4(v4)) => v4.is_loopback() || v4.is_link_local(),
        Ok(std::net::IpAddr::V6(v6)) => {
            v6.is_loopback() || v6.is_unicast_link_local() || v6.segments()[..2] == [0xfd00, 0x0ec2]
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
