//! Where a guest may send: `scheme://host:port`, compared in canonical form.

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

/// Scheme, host and port in the one form in which they are compared and dialled.
pub(super) fn canonical(url: &Url) -> Result<(String, String, u16), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the scheme is http or https".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password is not sent".into());
    }
    let host = url.host_str().ok_or("it has no host")?.trim_matches(['[', ']']);
    // One dot at the end says that the name is whole. A URL's parser takes `127.0.0.1..` for a name, so no more are taken off.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_match_whole_hosts_in_canonical_form() {
        let check = |rule: &str, url: &str, expect: bool| {
            let destination = Destination::parse(rule).unwrap();
            let matches = canonical(&Url::parse(url).unwrap())
                .is_ok_and(|(scheme, host, port)| destination.matches(&scheme, &host, port));
            assert_eq!(matches, expect, "{rule} and {url}");
        };
        check("https://api.example.com:443", "https://api.example.com/x", true);
        check("https://api.example.com", "https://API.EXAMPLE.com.:443/x", true);
        check("https://api.example.com", "http://api.example.com/", false);
        check("https://api.example.com", "https://api.example.com:444/", false);
        check("https://api.example.com", "https://api.example.com.evil.example/", false);
        check("https://api.example.com", "https://user@api.example.com/", false);
        check("https://*.example.com", "https://a.b.example.com/", true);
        check("https://*.example.com", "https://example.com/", false);
        check("https://*.example.com", "https://badexample.com/", false);
        check("http://127.0.0.1:80", "http://0x7f.1/", true);
        check("https://bücher.example", "https://xn--bcher-kva.example/", true);
        for bad in ["ftp://x", "https://", "api.example.com", "https://x/path", "https://u:p@x", "https://*.1.2.3.4"] {
            assert!(Destination::parse(bad).is_err(), "{bad}");
        }
    }
}
