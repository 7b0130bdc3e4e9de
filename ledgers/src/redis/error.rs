//! Why Redis did not do it, in words that hold no secret.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::ledger::LedgerError;
use crate::remote::URL_VARIABLE;

/// Why the ledger in Redis could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the ledger in Redis has no URL: set `url` under [ledger], or {URL_VARIABLE} in the environment")]
    NoUrl,
    #[error(
        "the ledger's URL cannot be read; write redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS, and letters like \
         @ / ? # in user or password as %40 %2F %3F %23"
    )]
    Url,
    #[error("the ledger's prefix is {0:?}: use at least one letter, and neither {{ nor }}")]
    Prefix(String),
    #[error("cannot open the ledger in Redis at {endpoint}: {reason}")]
    Unreachable { endpoint: String, reason: String },
    #[error(
        "Redis at {endpoint} has maxmemory-policy {policy}: when its memory is full, it would forget claims and completions, and \
         messages would run again; set it to noeviction (CONFIG SET maxmemory-policy noeviction, or in redis.conf, or in the \
         service's parameter group), or give the ledger a Redis of its own"
    )]
    Evicts { endpoint: String, policy: String },
}

/// What a driver's error means to a caller: damage is what will not pass, and is one name's matter.
/// An answer that is not in Redis's own protocol says nothing of any name: whoever sent it is not
/// the server, or not well.
pub fn failed(endpoint: &str, error: &RedisError) -> LedgerError {
    let reason = format!("Redis at {endpoint}: {}", reason(error));
    match error.kind() {
        // A name of the ledger's that holds something else.
        ErrorKind::Extension if error.code() == Some("WRONGTYPE") => LedgerError::Damaged(reason),
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => LedgerError::Unavailable(format!(
            "{reason}; this is one shard of a cluster: name a server, or an endpoint that hides the cluster"
        )),
        _ => LedgerError::Unavailable(reason),
    }
}

/// An answer of a kind that the ledger does not ask for.
pub fn unexpected(endpoint: &str, error: &redis::ParsingError) -> LedgerError {
    LedgerError::Damaged(format!("Redis at {endpoint}: {error}"))
}

/// The error's own words.
pub fn reason(error: &RedisError) -> String {
    error.to_string()
}
