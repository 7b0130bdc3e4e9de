//! The connection to Redis, and what is asked of the server before it is trusted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisResult, Script, ServerErrorKind,
    ToRedisArgs, Value, cmd,
};

use super::error::{OpenError, failed, reason, unexpected};
use crate::config::RedisConfig;
use crate::ledger::{LedgerError, one};
use crate::remote;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an operation may take in all: a connection that is made anew, and the answer.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a connection is tried again before what waits for it fails.
const CONNECT_RETRIES: usize = 1;
/// Operations on the way at once; more wait.
const IN_FLIGHT: usize = 1_024;
/// After how long of silence the system looks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// One connection, over which all operations go; it is made again when it is lost. Clones share it.
#[derive(Clone)]
pub struct Store {
    connection: ConnectionManager,
    client: Client,
    /// Host, port and database, for errors.
    endpoint: Arc<str>,
}

impl Store {
    /// Connects, and checks that the server keeps what it is told.
    ///
    /// # Errors
    /// [`OpenError`] says what to change.
    pub async fn open(config: &RedisConfig) -> Result<Self, OpenError> {
        let url = remote::url(config.url.as_ref()).ok_or(OpenError::NoUrl)?;
        // The driver's words may show parts of a password that stands where it does not belong.
        let server = url.0.as_str().into_connection_info().map_err(|_| OpenError::Url)?.set_tcp_settings(tcp());
        let endpoint = endpoint(&server);
        let unreachable = |reason: String| OpenError::Unreachable { endpoint: endpoint.clone(), reason };
        // It is the only provider in the build; naming it keeps that from being a panic when it is
        // not. Another choice that was made before stands.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::open(server).map_err(|error| unreachable(reason(&error)))?;
        let connect = ConnectionManager::new_with_config(client.clone(), settings());
        let connection = tokio::time::timeout(OPERATION_TIMEOUT, connect)
            .await
            .map_err(|_| unreachable(format!("no answer within {OPERATION_TIMEOUT:?}")))?
            .map_err(|error| unreachable(reason(&error)))?;
        let store = Self { connection, client, endpoint: endpoint.clone().into() };
        store.check().await?;
        Ok(store)
    }

    /// The same server over a connection that the runtime drives on which this is called; it is
    /// made with the first operation.
    pub fn with_own_connection(&self) -> Self {
        let connection = ConnectionManager::new_lazy_with_config(self.client.clone(), settings())
            .expect("a connection was made with these settings before");
        Self { connection, client: self.client.clone(), endpoint: self.endpoint.clone() }
    }

    /// What a script answers: words and values.
    pub async fn run(&self, script: &Script, call: ScriptCall) -> Result<Vec<Vec<u8>>, LedgerError> {
        one(self.run_all(script, &[call]).await)
    }

    /// What a script answers to each call. All go out together.
    pub async fn run_all(&self, script: &Script, calls: &[ScriptCall]) -> Vec<Result<Vec<Vec<u8>>, LedgerError>> {
        if calls.is_empty() {
            return Vec::new();
        }
        let mut connection = self.connection.clone();
        let asked = async {
            let mut answers = call_all(&mut connection, script, calls.iter()).await?;
            // A server that was started anew has forgotten the script.
            let unknown: Vec<_> = (0..calls.len()).filter(|index| is_no_script(&answers[*index])).collect();
            if !unknown.is_empty() {
                script.load_async(&mut connection).await?;
                let again = call_all(&mut connection, script, unknown.iter().map(|index| &calls[*index])).await?;
                for (index, answer) in unknown.into_iter().zip(again) {
                    answers[index] = answer;
                }
            }
            Ok(answers)
        };
        match self.within_time(asked).await {
            Ok(answers) => answers.into_iter().map(|answer| self.read(answer)).collect(),
            Err(error) => vec![Err(error); calls.len()],
        }
    }

    /// What a command answers.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LedgerError> {
        let mut connection = self.connection.clone();
        let answer = self.within_time(command.query_async(&mut connection)).await?;
        self.read(Ok(answer))
    }

    async fn within_time<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, LedgerError> {
        let Ok(answer) = tokio::time::timeout(OPERATION_TIMEOUT, answer).await else {
            let endpoint = &self.endpoint;
            return Err(LedgerError::Unavailable(format!(
                "Redis at {endpoint}: no answer within {OPERATION_TIMEOUT:?}"
            )));
        };
        answer.map_err(|error| failed(&self.endpoint, &error))
    }

    fn read<T: FromRedisValue>(&self, answer: RedisResult<Value>) -> Result<T, LedgerError> {
        let answer = answer.map_err(|error| failed(&self.endpoint, &error))?;
        T::from_redis_value(answer).map_err(|error| unexpected(&self.endpoint, &error))
    }

    /// A server that forgets what it was told when its memory is full is refused; one that may
    /// forget it when it goes down is warned about.
    async fn check(&self) -> Result<(), OpenError> {
        let endpoint = &*self.endpoint;
        let unreachable =
            |error: LedgerError| OpenError::Unreachable { endpoint: endpoint.to_owned(), reason: error.to_string() };
        let memory: String = self.ask(cmd("INFO").arg("memory")).await.map_err(unreachable)?;
        match field(&memory, "maxmemory_policy") {
            Some("noeviction") => {}
            Some(policy) => return Err(OpenError::Evicts { endpoint: endpoint.to_owned(), policy: policy.to_owned() }),
            None => tracing::warn!(endpoint, "Redis does not tell its maxmemory-policy; it must be noeviction"),
        }
        let persistence: String = self.ask(cmd("INFO").arg("persistence")).await.map_err(unreachable)?;
        if field(&persistence, "aof_enabled") == Some("0") {
            tracing::warn!(
                endpoint,
                "Redis has appendonly off: when it goes down, claims and completions are lost, and messages run again"
            );
            return Ok(());
        }
        // Managed servers forbid CONFIG.
        let config: Result<HashMap<String, String>, _> = self.ask(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
        match config.as_ref().map(|config| config.get("appendfsync").map(String::as_str)) {
            Ok(Some("always")) => {}
            Ok(fsync) => tracing::warn!(
                endpoint,
                fsync = fsync.unwrap_or("unknown"),
                "Redis has not appendfsync always: when its machine goes down, the last second of claims and completions \
                 may be lost, and their messages run again"
            ),
            Err(error) => tracing::warn!(endpoint, %error, "cannot see whether Redis has appendfsync always"),
        }
        Ok(())
    }
}

/// One call of a script.
pub struct ScriptCall {
    keys: [String; 2],
    arguments: Vec<Vec<u8>>,
}

impl ScriptCall {
    pub fn new(keys: [String; 2]) -> Self {
        Self { keys, arguments: Vec::new() }
    }

    /// An argument; several, or none, where it is a list.
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.arguments.extend(argument.to_redis_args());
        self
    }
}

/// The answers to calls of a script, in their order. An error of one is its own.
async fn call_all(
    connection: &mut ConnectionManager,
    script: &Script,
    calls: impl Iterator<Item = &ScriptCall>,
) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut batch = redis::pipe();
    batch.ignore_errors();
    for ScriptCall { keys, arguments } in calls {
        batch.cmd("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(keys).arg(arguments);
    }
    batch.query_async(connection).await
}

fn is_no_script(answer: &RedisResult<Value>) -> bool {
    let kind = answer.as_ref().err().map(redis::RedisError::kind);
    kind == Some(ErrorKind::Server(ServerErrorKind::NoScript))
}

fn settings() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_number_of_retries(CONNECT_RETRIES)
        .set_pipeline_buffer_size(IN_FLIGHT)
}

fn endpoint(server: &ConnectionInfo) -> String {
    format!("{}/{}", server.addr(), server.redis_settings().db())
}

fn tcp() -> TcpSettings {
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE));
    // A server that vanished without a word: the system gives up the connection, and the next
    // operation makes another.
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(OPERATION_TIMEOUT);
    settings
}

/// A line `name:value` of what INFO tells.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}
