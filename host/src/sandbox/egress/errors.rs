//! What stops a request on its way: no connection, or none that the checks allow, or an answer that
//! breaks off.

use std::net::IpAddr;
use std::time::Duration;

use wasmtime_wasi_http::Error;

use super::exceeded::Exceeded;
use crate::config::Limits;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The words are for the handler, whose failure has them as its reason: so they have no address
    /// that a look-up gave.
    #[error("its address is a prohibited one: {} is not public; {}", endpoint(host, *port), way_out(host, *port, *can_open))]
    Prohibited {
        host: String,
        port: u16,
        address: IpAddr,
        /// Whether `egress.open_hosts` can have it.
        can_open: bool,
    },
    #[error("cannot resolve {host}: {reason}")]
    Dns { host: String, reason: String },
    #[error("no connection within {0:?} (egress.connect_timeout)")]
    Timeout(Duration),
    #[error("cannot connect: {0}")]
    Refused(std::io::Error),
    #[error("no connection through the proxy {proxy} (egress.proxy): {reason}")]
    Proxy { proxy: String, reason: String },
}

/// `host:port`, as a config has it.
fn endpoint(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn way_out(host: &str, port: u16, can_open: bool) -> String {
    match can_open {
        true => format!("if it is meant, set egress.open_hosts = [\"{}\"]", endpoint(host, port)),
        false => "no setting opens a name for it".to_owned(),
    }
}

/// What stopped a request on its way, as far as its causes say.
pub fn send_error(error: &hyper_util::client::legacy::Error, limits: &Limits) -> Error {
    if let Some(dial) = cause::<DialError>(error) {
        return match dial {
            // Its own code has no words, and the operator is to learn which setting is meant.
            DialError::Prohibited { .. } | DialError::Proxy { .. } => Error::InternalError(Some(dial.to_string())),
            DialError::Dns { .. } => Error::DnsError { rcode: Some(dial.to_string()), info_code: None },
            DialError::Timeout(_) => Error::ConnectionTimeout,
            DialError::Refused(_) => Error::ConnectionRefused,
        };
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return Error::InternalError(Some(format!("no TLS connection: {tls}")));
    }
    match cause::<hyper::Error>(error) {
        Some(http) if http.is_parse_too_large() => Exceeded::AnswerHead(limits.headers, limits.header_bytes).into(),
        Some(http) if cause::<std::io::Error>(http).is_none() && !ended(http) => {
            Error::InternalError(Some(format!("no answer: {}", last(http))))
        }
        Some(_) | None if error.is_connect() => Error::TlsProtocolError,
        Some(_) | None => Error::ConnectionTerminated,
    }
}

/// Whether the connection is gone and nothing more is known.
fn ended(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_closed() || error.is_canceled()
}

/// The innermost cause, which says the most.
pub fn last<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

/// The first cause of this kind, those inside of I/O errors included.
fn cause<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
