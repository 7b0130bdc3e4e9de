//! Where a RabbitMQ is: nodes, user, password and vhost, out of one URL.

use std::fmt;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use percent_encoding::percent_decode_str;
use wasq_core::secret::Secret;

/// How the URL is written, for whoever has written another.
const FORM: &str = "write amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS, several nodes as \
                    HOST:PORT,HOST:PORT, and letters like @ / ? # , in user, password and vhost as %40 %2F %3F %23 %2C";
/// The user and the password that RabbitMQ comes with.
const GUEST: &str = "guest";

/// One RabbitMQ: the nodes of a cluster, and a vhost on them.
#[derive(Clone, Debug)]
pub struct Address {
    pub is_tls: bool,
    pub user: String,
    password: Secret,
    pub nodes: Vec<Node>,
    pub vhost: String,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Address {
    /// # Errors
    /// What is wrong, without a part of the URL that could be secret.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("the URL has no scheme; {FORM}"))?;
        let is_tls = match scheme {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(format!("the URL's scheme is neither amqp nor amqps; {FORM}")),
        };
        if rest.contains(['?', '#']) {
            return Err(format!("the URL has a query or a fragment: what is set there has keys of its own; {FORM}"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password, hosts) = match authority.rsplit_once('@') {
            None => (GUEST.to_owned(), GUEST.to_owned(), authority),
            Some((info, hosts)) => {
                let (user, password) = info.split_once(':').unwrap_or((info, ""));
                (decode(user, "user")?, decode(password, "password")?, hosts)
            }
        };
        let port = if is_tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP }.default_port();
        let nodes = hosts.split(',').map(|node| Node::parse(node, port)).collect::<Result<Vec<_>, _>>()?;
        let vhost = match path {
            "" => "/".to_owned(),
            path => decode(path, "vhost")?,
        };
        if vhost.len() > usize::from(u8::MAX) {
            return Err("the URL's vhost has more than 255 bytes, which AMQP does not take".into());
        }
        Ok(Self { is_tls, user, password: Secret(password), nodes, vhost })
    }

    /// Where a node is, as the client has it.
    pub fn uri(&self, node: &Node, heartbeat_s: u16) -> AMQPUri {
        AMQPUri {
            scheme: if self.is_tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: self.user.clone(), password: self.password.0.clone() },
                host: node.host.clone(),
                port: node.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(heartbeat_s), ..AMQPQueryString::default() },
        }
    }

    /// Where all nodes are, without user and password.
    pub fn nodes(&self) -> String {
        self.nodes.iter().map(Node::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Node {
    fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let refused = || format!("the URL has a node that is no HOST:PORT; {FORM}");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(refused)?;
                (host, port.strip_prefix(':').or((port.is_empty()).then_some("")).ok_or_else(refused)?)
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let port = match port {
            "" => default_port,
            port => port.parse().map_err(|_| refused())?,
        };
        if host.is_empty() || port == 0 {
            return Err(refused());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| format!("the URL's {what} is not UTF-8; {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_nodes_user_password_and_vhost() {
        let check = |url: &str, expect: (bool, &str, &str, &str, &str)| {
            let address = Address::parse(url).unwrap();
            let (user, password) = (address.user.as_str(), address.password.0.as_str());
            assert_eq!((address.is_tls, user, password, &*address.nodes(), &*address.vhost), expect, "{url}");
        };
        check("amqp://a", (false, "guest", "guest", "a:5672", "/"));
        check("amqp://a/", (false, "guest", "guest", "a:5672", "/"));
        check("amqps://u:p@a/v", (true, "u", "p", "a:5671", "v"));
        check("amqp://u:p@a:1,b:2,c/v", (false, "u", "p", "a:1,b:2,c:5672", "v"));
        check(
            "amqp://u%40x:p%2F%3A@[::1]:7,[fe80::1]/%2Fv%2Fw",
            (false, "u@x", "p/:", "[::1]:7,[fe80::1]:5672", "/v/w"),
        );
        check("amqp://u:p:q@a", (false, "u", "p:q", "a:5672", "/"));
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        for (url, expect) in [
            ("pa55", "no scheme"),
            ("http://u:pa55@a", "neither amqp nor amqps"),
            ("amqp://u:pa55@a/v?heartbeat=1", "query"),
            ("amqp://u:pa55@", "no HOST:PORT"),
            ("amqp://u:pa55@a,", "no HOST:PORT"),
            ("amqp://u:pa55@a:x", "no HOST:PORT"),
            ("amqp://u:pa55@a:0", "no HOST:PORT"),
            ("amqp://u:pa55@[::1", "no HOST:PORT"),
            ("amqp://u:pa55%ff@a", "password is not UTF-8"),
            (&format!("amqp://u:pa55@a/{}", "v".repeat(256)), "more than 255 bytes"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.contains(expect) && !error.contains("pa55"), "{url}: {error}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let address = Address::parse("amqp://u:pa55@a").unwrap();
        assert!(!format!("{address:?}").contains("pa55"), "{address:?}");
    }
}
