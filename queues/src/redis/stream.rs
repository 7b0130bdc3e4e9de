//! Streams and their groups: whether they are there, and how they are made.

use redis::{Value, cmd};

use super::config::RedisConfig;
use super::error::{CallTarget, unexpected};
use super::scripts;
use super::store::Store;
use crate::queue::QueueError;

/// A stream as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTopology {
    pub name: String,
    /// The group that reads it, from its first entry on. None of a stream that is only sent to.
    pub group: Option<String>,
}

impl StreamTopology {
    /// A stream of this name as the config has it read.
    pub fn of(config: &RedisConfig, name: &str) -> Self {
        Self { name: name.to_owned(), group: Some(config.group.clone()) }
    }
}

/// # Errors
/// Redis's word where the key holds something else.
pub async fn declare(store: &Store, stream: &StreamTopology) -> Result<(), QueueError> {
    let StreamTopology { name, group } = stream;
    let target = store.target().stream(name, group.as_deref());
    let call = scripts::call(&scripts::DECLARE, name, group.as_deref().unwrap_or_default());
    match store.run(&target, &scripts::DECLARE, &call).await? {
        Value::BulkString(kind) if kind.is_empty() => Ok(()),
        Value::BulkString(kind) => Err(target.no_stream_but(&String::from_utf8_lossy(&kind))),
        _ => Err(unexpected(&target)),
    }
}

/// # Errors
/// [`QueueError::says_missing`] where there is no such stream, or no such group.
pub async fn check(store: &Store, target: &CallTarget, name: &str, group: Option<&str>) -> Result<(), QueueError> {
    let kind: String = store.ask(target, cmd("TYPE").arg(name)).await?;
    match kind.as_str() {
        "stream" => {}
        "none" => return Err(target.no_stream()),
        kind => return Err(target.no_stream_but(kind)),
    }
    let Some(group) = group else { return Ok(()) };
    // It tells of a group without reading from it.
    match store.ask::<Value>(target, cmd("XPENDING").arg(name).arg(group)).await {
        Err(error) if error.says_missing() => Err(target.no_group()),
        answer => answer.map(drop),
    }
}
