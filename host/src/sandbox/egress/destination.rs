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
        self == other || (!other.subdomains && self.matches(&other.scheme, &other.host, other.port))
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
        check("https://*.example.com", "https://.example.com/", false);
        check("https://*.example.com", "https://example.com.evil.example/", false);
        check("http://[fd00::1]:80", "http://[FD00:0::0001]/", true);
        for bad in ["ftp://x", "https://", "api.example.com", "https://x/path", "https://u:p@x", "https://*.1.2.3.4"] {
            assert!(Destination::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_is_canonical_whatever_was_written() {
        let check = |text: &str, expect: &str| {
            let target = Target::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert_eq!(format!("{} {} {}", target.uri, target.host, target.port), expect, "{text}");
        };
        check("HTTPS://API.Example.COM/A?b", "https://api.example.com/A?b api.example.com 443");
        check("https://api.example.com./", "https://api.example.com/ api.example.com 443");
        check("https://api.example.com.:8443/", "https://api.example.com:8443/ api.example.com 8443");
        check("http://api.example.com:80/", "http://api.example.com/ api.example.com 80");
        check("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/ xn--bcher-kva.example 443");
        check("https://B\u{dc}CHER.example/", "https://xn--bcher-kva.example/ xn--bcher-kva.example 443");
        check("https://\u{ff41}pi.example/", "https://api.example/ api.example 443");
        check("https://%61pi.example/", "https://api.example/ api.example 443");
        // Each way to write 127.0.0.1 and 169.254.169.254.
        for text in
            ["http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://127.1/", "http://0177.0.0.1/"]
        {
            check(text, "http://127.0.0.1/ 127.0.0.1 80");
        }
        for text in ["http://127.0.0.1./", "http://127\u{3002}0\u{ff0e}0.1/", "http://\u{2460}27.0.0.1/"] {
            check(text, "http://127.0.0.1/ 127.0.0.1 80");
        }
        for text in ["http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://169.254.43518/"]
        {
            check(text, "http://169.254.169.254/ 169.254.169.254 80");
        }
        check("http://[::FFFF:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/ ::ffff:a9fe:a9fe 80");
        check("http://[64:ff9b::169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/ 64:ff9b::a9fe:a9fe 80");
    }

    #[test]
    fn a_target_that_could_be_read_in_two_ways_is_refused() {
        for text in [
            "https://user@api.example.com/",
            "https://user:password@api.example.com/",
            "https://api.example.com:443@evil.example/",
            "https://:@api.example.com:443:443/",
            "http://[fe80::1%25eth0]/",
            "http://[fe80::1%eth0]/",
            "http://256.256.256.256/",
            "http://1.2.3.4.5/",
            "http://0x7g.1/",
            "http://api example.com/",
            "http://api%00.example.com/",
            "http://api%2f.example.com/",
            "http://./",
            "http://../",
            "http://127.0.0.1../",
            "http:///",
            "https://api.example.com:65536/",
            "ftp://api.example.com/",
            "file:///etc/passwd",
            "/only/a/path",
        ] {
            assert!(Target::parse(text).is_err(), "{text} gave {:?}", Target::parse(text));
        }
    }

    #[test]
    fn an_open_host_is_canonical_too() {
        let check = |text: &str, expect: Option<(&str, u16)>| {
            let expect = expect.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(host_and_port(text), expect, "{text}");
        };
        check("Localhost.:80", Some(("localhost", 80)));
        check("[::1]:8080", Some(("::1", 8080)));
        check("0x7f.1:9", Some(("127.0.0.1", 9)));
        check("localhost", None);
        check("user@localhost:80", None);
        check("localhost:http", None);
    }
}
