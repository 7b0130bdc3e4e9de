//! Where a Redis is: host, port, user, password and database, out of one URL.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use redis::io::tcp::{TcpSettings, socket2};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use wasq_core::secret::Secret;

/// How the URL is written, for whoever has written another.
const FORM: &str = "write redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS, and letters like @ / ? # in user and \
                    password as %40 %2F %3F %23";
/// After how long of silence the system looks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long the other side may leave what was sent without a word that it has come. Then the system
/// gives up the connection, and the next call makes another.
#[cfg(target_os = "linux")]
const SILENCE_MAX: Duration = Duration::from_secs(8);
/// Redis's own port, with and without TLS.
const PORT: u16 = 6379;

/// One database of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub is_tls: bool,
    user: String,
    password: Secret,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    db: u16,
}

/// Host, port and database, without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, db, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}/{db}") } else { write!(f, "{host}:{port}/{db}") }
    }
}

impl Address {
    /// # Errors
    /// What is wrong, without a part of the URL that could be secret.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("the URL has no scheme; {FORM}"))?;
        let is_tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(format!("the URL's scheme is neither redis nor rediss; {FORM}")),
        };
        if rest.contains(['?', '#']) {
            return Err(format!("the URL has a query or a fragment: what is set there has keys of its own; {FORM}"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password, host) = match authority.rsplit_once('@') {
            None => (String::new(), String::new(), authority),
            Some((info, host)) => {
                let (user, password) = info.split_once(':').unwrap_or((info, ""));
                (decode(user, "user")?, decode(password, "password")?, host)
            }
        };
        let (host, port) = host_and_port(host).ok_or_else(|| format!("the URL has no HOST:PORT; {FORM}"))?;
        let db = match path {
            "" => 0,
            path => path.parse().map_err(|_| format!("the URL's database is no number; {FORM}"))?,
        };
        Ok(Self { is_tls, user, password: Secret(password), host, port, db })
    }

    /// As the client has it.
    pub fn connection_info(&self) -> ConnectionInfo {
        let (host, port) = (self.host.clone(), self.port);
        let addr = match self.is_tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        let mut settings = RedisConnectionInfo::default().set_db(self.db.into());
        if !self.user.is_empty() {
            settings = settings.set_username(&self.user);
        }
        if !self.password.0.is_empty() {
            settings = settings.set_password(&self.password.0);
        }
        let info = addr.into_connection_info().expect("an address is taken as it is");
        info.set_redis_settings(settings).set_tcp_settings(tcp())
    }
}

fn tcp() -> TcpSettings {
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE));
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(SILENCE_MAX);
    settings
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() { PORT } else { port.parse().ok()? };
    (!host.is_empty() && port != 0).then(|| (host.to_owned(), port))
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| format!("the URL's {what} is not UTF-8; {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_host_port_user_password_and_database() {
        let check = |url: &str, expect: (bool, &str, &str, &str)| {
            let address = Address::parse(url).unwrap();
            let (user, password) = (address.user.as_str(), address.password.0.as_str());
            assert_eq!((address.is_tls, user, password, address.to_string().as_str()), expect, "{url}");
        };
        check("redis://a", (false, "", "", "a:6379/0"));
        check("redis://a/", (false, "", "", "a:6379/0"));
        check("rediss://u:p@a:1/7", (true, "u", "p", "a:1/7"));
        check("redis://:p@a", (false, "", "p", "a:6379/0"));
        check("redis://u%40x:p%2F%3A@[::1]:7/2", (false, "u@x", "p/:", "[::1]:7/2"));
        check("redis://u:p:q@[::1]", (false, "u", "p:q", "[::1]:6379/0"));
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        for (url, expect) in [
            ("pa55", "no scheme"),
            ("http://u:pa55@a", "neither redis nor rediss"),
            ("redis://u:pa55@a/0?protocol=resp3", "query"),
            ("redis://u:pa55@", "no HOST:PORT"),
            ("redis://u:pa55@a:x", "no HOST:PORT"),
            ("redis://u:pa55@a:0", "no HOST:PORT"),
            ("redis://u:pa55@[::1", "no HOST:PORT"),
            ("redis://u:pa55@a/jobs", "database is no number"),
            ("redis://u:pa55%ff@a", "password is not UTF-8"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.contains(expect) && !error.contains("pa55"), "{url}: {error}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let address = Address::parse("redis://u:pa55@a").unwrap();
        let shown = format!("{address:?} {address} {:?}", address.connection_info());
        assert!(!shown.contains("pa55"), "{shown}");
    }
}
