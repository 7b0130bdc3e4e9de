//! Where a guest may send: `scheme://host:port`, compared in canonical form.

use http::Uri;
use url::Url;

/// `scheme://host:port`; `*.` before the host stands for its subdomains, not for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    scheme: String,
    host: String,
    subdomains: bool,
    port: u16,
}

/// Why an outbound rule cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no destination: {rule}; write scheme://host:port, such as https://api.example.com:443")]
pub struct DestinationError {
    pub(super) text: String,
    pub(super) rule: String,
}

impl Destination {
    /// Reads `scheme://host:port`; the port may be left out where the scheme has one.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let refuse = |rule: &str| DestinationError { text: text.to_owned(), rule: rule.to_owned() };
        let (subdomains, plain) = match text.split_once("://*.") {
            Some((scheme, rest)) => (true, format!("{scheme}://{rest}")),
            None => (false, text.to_owned()),
        };
        let url = Url::parse(&plain).map_err(|error| refuse(&error.to_string()))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has a path; what is allowed is a whole host"));
        }
        let (scheme, host, port) = canonical(&url).map_err(|rule| refuse(&rule))?;
        if subdomains && url.domain().is_none() {
            return Err(refuse("an address has no subdomains"));
        }
        Ok(Self { scheme, host, subdomains, port })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn has_wildcard(&self) -> bool {
        self.subdomains
    }

    /// Whether all that `other` stands for is in this one too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self == other
            || ((self.subdomains || !other.subdomains) && self.matches(&other.scheme, &other.host, other.port))
    }

    /// Whether a request to this URL may be sent under this rule.
    pub fn allows(&self, url: &Url) -> bool {
        canonical(url).is_ok_and(|(scheme, host, port)| self.matches(&scheme, &host, port))
    }

    pub(super) fn matches(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host_matches = match self.subdomains {
            true => host.strip_suffix(&self.host).is_some_and(|prefix| prefix.len() > 1 && prefix.ends_with('.')),
            false => host == self.host,
        };
        host_matches && scheme == self.scheme && port == self.port
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wildcard = if self.subdomains { "*." } else { "" };
        match self.host.contains(':') {
            true => write!(f, "{}://[{}]:{}", self.scheme, self.host, self.port),
            false => write!(f, "{}://{wildcard}{}:{}", self.scheme, self.host, self.port),
        }
    }
}

/// Where a request goes, in the one form in which it is compared, dialled, and named to its server.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) uri: Uri,
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// Reads a guest's URL.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| error.to_string())?;
        let (_, host, _) = canonical(&url)?;
        if url.host_str().is_some_and(|given| given.ends_with('.')) {
            // Else the dot would be part of the name in the certificate and in the Host header.
            url.set_host(Some(&host)).map_err(|error| error.to_string())?;
        }
        let (scheme, host, port) = canonical(&url)?;
        let uri = url.as_str().parse::<Uri>().map_err(|error| error.to_string())?;
        Ok(Self { uri, scheme, host, port })
    }
}

/// A `host:port` as it is compared.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (_, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let (_, host, _) = canonical(&Url::parse(&format!("http://{text}")).ok()?).ok()?;
    Some((host, port))
}

/// Scheme, host and port in the one form in which they are compared and dialled.
pub(super) fn canonical(url: &Url) -> Result<(String, String, u16), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the scheme is http or https".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password is not sent".into());
    }
    let host = url.host_str().ok_or("it has no host")?.trim_matches(['[', ']']);
    // One dot at the end says that the name is whole. A URL's parser takes `127.0.0.1..` for a
    // name, so no more are taken off.
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.ends_with('.') {
        return Err("a host does not end in two dots".into());
    }
    if host.is_empty() {
        return Err("it has no host".into());
    }
    // A wildcard is a rule's own, and stands before its host.
    if host.contains('*') {
        return Err("a host has no `*` in it".into());
    }
    let port = url.port_or_known_default().ok_or("it has no port")?;
    Ok((url.scheme().to_owned(), host.to_owned(), port))
}

/// The port of a URI, or its scheme's own.
pub fn port_of(uri: &http::Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

#[cfg(test)]
mod tests;
