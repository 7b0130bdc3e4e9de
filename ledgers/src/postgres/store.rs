//! Connections to PostgreSQL: how they are made, shared, and given up.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio_postgres::config::Host;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{OpenError, failed, reason};
use crate::config::PostgresConfig;
use crate::ledger::LedgerError;
use crate::remote;

/// How long an operation waits for a connection: until another operation gives one back, or a new
/// one is made.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the server may take to answer a statement. It gives up a statement itself after so
/// long.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections per host at most.
const CONNECTIONS_MAX: usize = 100;
/// What the server's own list of connections shows.
const APPLICATION: &str = "wasq";

/// Connections to one database. Clones share them.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    server: Arc<Config>,
    /// Host, port and database, for errors.
    endpoint: Arc<str>,
}

impl Store {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the config.
    pub fn new(config: &PostgresConfig) -> Result<Self, OpenError> {
        if !(1..=CONNECTIONS_MAX).contains(&config.max_connections) {
            return Err(OpenError::Connections(config.max_connections));
        }
        let url = remote::url(config.url.as_ref()).ok_or(OpenError::NoUrl)?;
        let server = server(&url.0)?;
        let endpoint = endpoint(&server);
        Ok(Self { pool: pool(&server, config.max_connections), server: server.into(), endpoint: endpoint.into() })
    }

    /// The same database over connections that are not shared. A connection is driven by the
    /// runtime on which it is made, and it is made when an operation wants it.
    pub fn with_own_connections(&self, max: usize) -> Self {
        Self { pool: pool(&self.server, max), server: self.server.clone(), endpoint: self.endpoint.clone() }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A connection, for a transaction of several statements, or why there is none. The server
    /// bounds each statement; a server that is gone is not noticed, so that the caller bounds the
    /// whole.
    pub async fn connect(&self) -> Result<Object, String> {
        match tokio::time::timeout(CONNECTION_TIMEOUT, self.pool.get()).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)))) => {
                Err(reason(&error))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no connection within {CONNECTION_TIMEOUT:?}")),
        }
    }

    /// The rows that a statement gives.
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, LedgerError> {
        let client = self.connect().await.map_err(|reason| self.unavailable(&reason))?;
        let answer = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, parameters).await
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|error| failed(&self.endpoint, &error)),
            Err(_) => {
                // Nobody else shall wait behind what has not been answered.
                drop(Object::take(client));
                Err(self.unavailable(&format!("no answer within {ANSWER_TIMEOUT:?}")))
            }
        }
    }

    /// As [`Store::query`], for a statement that gives a row or none.
    pub async fn query_opt(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, LedgerError> {
        Ok(self.query(sql, parameters).await?.pop())
    }

    fn unavailable(&self, reason: &str) -> LedgerError {
        LedgerError::Unavailable(format!("PostgreSQL at {}: {reason}", self.endpoint))
    }
}

fn pool(server: &Config, max_connections: usize) -> Pool {
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(server.clone(), tls(), ManagerConfig { recycling_method });
    Pool::builder(manager)
        .max_size(max_connections)
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async { client.batch_execute(&settings()).await.map_err(HookError::Backend) })
        }))
        .build()
        .expect("a pool without timeouts needs no runtime")
}

/// What every connection is told before it is used. A stronger `synchronous_commit` than `on` is
/// the operator's choice, and a weaker one that still syncs; only `off` answers before anything is
/// on a disk.
fn settings() -> String {
    let timeout_ms = ANSWER_TIMEOUT.as_millis();
    format!(
        "SET statement_timeout = {timeout_ms};
         SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED;
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

fn server(url: &str) -> Result<Config, OpenError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(OpenError::Url("does not begin with postgres://".into()));
    }
    // What cannot be parsed may have parts of the password where they do not belong: of the
    // driver's words only those are told that name an option.
    let mut server = Config::from_str(url).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        match cause.strip_prefix("invalid value for option ") {
            Some(option) => OpenError::Url(format!("has a value for {option} that is not known")),
            None => OpenError::Url("cannot be read".into()),
        }
    })?;
    if server.get_hosts().is_empty() && server.get_hostaddrs().is_empty() {
        return Err(OpenError::Url("names no host".into()));
    }
    if server.get_user().is_none() {
        return Err(OpenError::Url("names no user".into()));
    }
    if server.get_application_name().is_none() {
        server.application_name(APPLICATION);
    }
    server.connect_timeout(CONNECTION_TIMEOUT).tcp_user_timeout(ANSWER_TIMEOUT);
    Ok(server)
}

/// Host, port and database.
fn endpoint(server: &Config) -> String {
    let ports = server.get_ports();
    let port = |i: usize| ports.get(i).or(ports.first()).copied().unwrap_or(5432);
    let hosts = server.get_hosts().iter().enumerate().map(|(i, host)| match host {
        Host::Tcp(host) => format!("{host}:{}", port(i)),
        Host::Unix(path) => format!("{}:{}", path.display(), port(i)),
    });
    let addresses = server.get_hostaddrs().iter().enumerate().map(|(i, address)| format!("{address}:{}", port(i)));
    let endpoints: Vec<String> = if server.get_hosts().is_empty() { addresses.collect() } else { hosts.collect() };
    let database = server.get_dbname().or(server.get_user()).unwrap_or_default();
    format!("{}/{database}", endpoints.join(","))
}

/// TLS for `sslmode=prefer` and `require`: a server that speaks it is always checked against the
/// system's roots.
fn tls() -> MakeRustlsConnect {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}
