//! Where a Kafka is: its first brokers, user and password, out of one URL.

use percent_encoding::percent_decode_str;
use wasq_core::secret::Secret;

/// How the URL is written, for whoever has written another.
const FORM: &str = "write kafka://HOST:PORT,HOST:PORT, or kafkas:// for TLS, with USER:PASSWORD@ before the hosts where Kafka \
                    asks who it is, and letters like @ / ? # , in these as %40 %2F %3F %23 %2C";
/// The ports that Kafka's own examples listen on.
const PORT: u16 = 9092;
const PORT_TLS: u16 = 9093;

/// One Kafka: the brokers that are asked for all the others.
#[derive(Clone, Debug)]
pub struct Address {
    pub is_tls: bool,
    pub user: Option<User>,
    /// `HOST:PORT,HOST:PORT`.
    pub brokers: String,
}

/// Who the host says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: Secret,
}

impl Address {
    /// # Errors
    /// What is wrong, without a part of the URL that could be secret.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("the URL has no scheme; {FORM}"))?;
        let is_tls = match scheme {
            "kafka" => false,
            "kafkas" => true,
            _ => return Err(format!("the URL's scheme is neither kafka nor kafkas; {FORM}")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(format!("the URL has a path, a query or a fragment: the topic has a key of its own; {FORM}"));
        }
        let (user, hosts) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((info, hosts)) => {
                let (name, password) =
                    info.split_once(':').ok_or_else(|| format!("the URL has a user without a password; {FORM}"))?;
                let (name, password) = (decode(name, "user")?, Secret(decode(password, "password")?));
                (Some(User { name, password }), hosts)
            }
        };
        let port = if is_tls { PORT_TLS } else { PORT };
        let brokers = hosts.split(',').map(|host| broker(host, port)).collect::<Result<Vec<_>, _>>()?.join(",");
        Ok(Self { is_tls, user, brokers })
    }

    /// Without user and password.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_tls { "kafkas" } else { "kafka" }, self.brokers)
    }
}

/// `HOST:PORT`, with the brackets of an IPv6 address.
fn broker(text: &str, default_port: u16) -> Result<String, String> {
    let refused = || format!("the URL has a broker that is no HOST:PORT; {FORM}");
    let (host, port) = match text.find(']') {
        Some(end) if text.starts_with('[') => text.split_at(end + 1),
        Some(_) => return Err(refused()),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        None => return Err(refused()),
        Some(port) => port.parse().map_err(|_| refused())?,
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if host.is_empty() || host == "[]" || port == 0 || !host.chars().all(is_host) {
        return Err(refused());
    }
    Ok(format!("{host}:{port}"))
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| format!("the URL's {what} is not UTF-8; {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_brokers_user_and_password() {
        let check = |url: &str, expect: (&str, Option<(&str, &str)>)| {
            let address = Address::parse(url).unwrap();
            let user = address.user.as_ref().map(|user| (user.name.as_str(), user.password.0.as_str()));
            assert_eq!((address.url().as_str(), user), expect, "{url}");
        };
        check("kafka://a", ("kafka://a:9092", None));
        check("kafkas://a,b:1/", ("kafkas://a:9093,b:1", None));
        check("kafka://u:p@a:1,b:2,c", ("kafka://a:1,b:2,c:9092", Some(("u", "p"))));
        check("kafkas://u%40x:p%2F:q@[::1]:7,[fe80::1]", ("kafkas://[::1]:7,[fe80::1]:9093", Some(("u@x", "p/:q"))));
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        for (url, expect) in [
            ("pa55", "no scheme"),
            ("http://u:pa55@a", "neither kafka nor kafkas"),
            ("kafka://u:pa55@a/orders", "path"),
            ("kafka://u:pa55@a?x=1", "query"),
            ("kafka://pa55@a", "user without a password"),
            ("kafka://u:pa55@", "no HOST:PORT"),
            ("kafka://u:pa55@a,", "no HOST:PORT"),
            ("kafka://u:pa55@a:x", "no HOST:PORT"),
            ("kafka://u:pa55@a:0", "no HOST:PORT"),
            ("kafka://u:pa55@[::1", "no HOST:PORT"),
            ("kafka://u:pa55@a b", "no HOST:PORT"),
            ("kafka://u:pa55%ff@a", "password is not UTF-8"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.contains(expect) && !error.contains("pa55"), "{url}: {error}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let address = Address::parse("kafka://u:pa55@a").unwrap();
        assert!(!format!("{address:?}").contains("pa55"), "{address:?}");
    }
}
