//! Why PostgreSQL did not do it, in words that hold no secret.

use std::error::Error;

use tokio_postgres::error::{DbError, SqlState};

use crate::ledger::LedgerError;
use crate::remote::URL_VARIABLE;

/// Why the ledger in PostgreSQL could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the ledger in PostgreSQL has no URL: set `url` under [ledger], or {URL_VARIABLE} in the environment")]
    NoUrl,
    #[error(
        "the ledger's URL {0}; write postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require, and letters like @ / ? # \
         in user or password as %40 %2F %3F %23"
    )]
    Url(String),
    #[error("the ledger's schema is {0:?}: use at most 63 letters a to z, digits and _")]
    Schema(String),
    #[error("the ledger's max_connections is {0}: use 1 to 100")]
    Connections(usize),
    #[error("cannot open the ledger in PostgreSQL at {endpoint}: {reason}")]
    Unreachable { endpoint: String, reason: String },
    #[error(
        "cannot make version {version} of the ledger's tables in schema {schema} at {endpoint}: {reason}; the user needs to own \
         the schema, or to be allowed to make one in the database"
    )]
    Migrate { endpoint: String, schema: String, version: usize, reason: String },
    #[error(
        "the ledger's tables in schema {schema} at {endpoint} are of version {found}, and this host knows up to {known}: a newer \
         host has opened them; run that version, or name another schema"
    )]
    Newer { endpoint: String, schema: String, found: usize, known: usize },
}

/// What a driver's error means to a caller: damage is what will not pass.
pub fn failed(endpoint: &str, error: &tokio_postgres::Error) -> LedgerError {
    match error.code() {
        Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => LedgerError::Damaged(reason(error)),
        // Numbers that do not fit, or a state that there is not.
        Some(code) if code.code().starts_with("22") || *code == SqlState::CHECK_VIOLATION => {
            LedgerError::Damaged(reason(error))
        }
        // Program limits: no value of that size.
        Some(code) if code.code().starts_with("54") => LedgerError::TooLarge(reason(error)),
        Some(_) | None => LedgerError::Unavailable(format!("PostgreSQL at {endpoint}: {}", reason(error))),
    }
}

/// The server's own words, or each cause of the error. The server's details are left out: they may
/// show a row.
pub fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return said(error);
    }
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn said(error: &DbError) -> String {
    format!("{} (SQLSTATE {})", error.message(), error.code().code())
}
