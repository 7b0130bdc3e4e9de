//! The connection to one database of a Redis, over which all calls go but the receives that wait.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisResult, Script, ServerErrorKind,
    TlsCertificates, Value,
};

use super::address::Address;
use super::config::RedisConfig;
use super::error::{CallTarget, configuration, failed, no_answer_in_time, unexpected};
use super::tls;
use crate::queue::QueueError;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the server may take to answer. A batch of ten messages of 16 MiB goes out in that time
/// at 300 Mbit/s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take in all: a connection that is made anew, and the answer.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// How often a connection is tried again before what waits for it fails.
const CONNECT_RETRIES: usize = 1;
/// Calls under way at once; more wait.
const IN_FLIGHT: usize = 1_024;

/// One connection; it is made again when it is lost. Clones share it.
#[derive(Clone)]
pub struct Store {
    connection: ConnectionManager,
    client: Client,
    scheme: &'static str,
    /// Host, port and database.
    endpoint: Arc<str>,
}

impl Store {
    /// # Errors
    /// What is wrong with the settings, or why the server does not answer.
    pub async fn open(config: &RedisConfig) -> Result<Self, QueueError> {
        let address = Address::parse(&config.url.0).map_err(configuration)?;
        if let Some((key, value, rule)) = config.fault() {
            return Err(configuration(format!("`{key}` is {value}: {rule}")));
        }
        let (endpoint, target) = (address.to_string(), CallTarget::server(&address.to_string()));
        // It is the only provider in the build; naming it keeps that from being a panic when it is
        // not. Another choice that was made before stands.
        drop(rustls::crypto::ring::default_provider().install_default());
        let info = address.connection_info();
        let client = match &config.ca_file {
            Some(file) if address.is_tls => {
                let root_cert = Some(tls::trusted(file).map_err(configuration)?);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
            Some(_) | None => Client::open(info),
        };
        let client = client.map_err(|error| failed(&target, &error))?;
        let connect = ConnectionManager::new_with_config(client.clone(), settings());
        let connection = within_time(&target, connect).await?;
        let scheme = if address.is_tls { "rediss" } else { "redis" };
        Ok(Self { connection, client, scheme, endpoint: endpoint.into() })
    }

    /// The same database over a connection that the runtime drives on which this is called; it is
    /// made with the first call.
    pub fn with_own_connection(&self) -> Self {
        let connection = ConnectionManager::new_lazy_with_config(self.client.clone(), settings())
            .expect("a connection was made with these settings before");
        Self { connection, ..self.clone() }
    }

    /// A connection for one receive at a time, which waits for as long as it says itself.
    pub async fn dedicated(&self, target: &CallTarget) -> Result<MultiplexedConnection, QueueError> {
        let settings =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(None);
        within_time(target, self.client.get_multiplexed_async_connection_with_config(&settings)).await
    }

    pub fn target(&self) -> CallTarget {
        CallTarget::server(&self.endpoint)
    }

    /// What tells a stream from all others, as far as its messages go.
    pub fn id_of(&self, stream: &str) -> String {
        format!("{}/{stream}", self.endpoint)
    }

    /// The same as a URL.
    pub fn url_of(&self, stream: &str) -> String {
        format!("{}://{}", self.scheme, self.id_of(stream))
    }

    /// The name in a stream's URL, or the name itself.
    pub fn name_of<'a>(&self, named: &'a str) -> &'a str {
        named.strip_prefix(&self.url_of("")).unwrap_or(named)
    }

    /// What a command answers, which may be asked twice.
    pub async fn ask<T: FromRedisValue>(&self, target: &CallTarget, command: &Cmd) -> Result<T, QueueError> {
        let mut connection = self.connection.clone();
        let answer: Value = within_time(target, again_if_cut(command, &mut connection)).await?;
        T::from_redis_value(answer).map_err(|_| unexpected(target))
    }

    /// What each command answers. All go out together.
    pub async fn ask_all(
        &self,
        target: &CallTarget,
        commands: &Pipeline,
    ) -> Result<Vec<RedisResult<Value>>, QueueError> {
        let mut connection = self.connection.clone();
        within_time(target, commands.query_async(&mut connection)).await
    }

    /// What a script answers. Each looks first whether there is still something to do, and may be
    /// run twice.
    pub async fn run(&self, target: &CallTarget, script: &Script, call: &Cmd) -> Result<Value, QueueError> {
        let mut connection = self.connection.clone();
        let asked = async {
            match again_if_cut(call, &mut connection).await {
                // A server that was started anew has forgotten the script.
                Err(error) if is_no_script(&error) => {
                    script.load_async(&mut connection).await?;
                    call.query_async(&mut connection).await
                }
                answer => answer,
            }
        };
        within_time(target, asked).await
    }
}

/// That a connection has ended is often noticed by the next call only. Then that is repeated on the
/// next one.
async fn again_if_cut(call: &Cmd, connection: &mut ConnectionManager) -> RedisResult<Value> {
    match call.query_async(connection).await {
        Err(error) if error.is_connection_dropped() => call.query_async(connection).await,
        answer => answer,
    }
}

fn is_no_script(error: &redis::RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

async fn within_time<T>(target: &CallTarget, call: impl Future<Output = RedisResult<T>>) -> Result<T, QueueError> {
    let answer = tokio::time::timeout(OPERATION_TIMEOUT, call).await;
    answer.map_err(|_| no_answer_in_time(target, OPERATION_TIMEOUT))?.map_err(|error| failed(target, &error))
}

fn settings() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_number_of_retries(CONNECT_RETRIES)
        .set_pipeline_buffer_size(IN_FLIGHT)
}
