//! A connection that is made when it is wanted, and again when it has ended.
//!
//! A call that finds none tries the nodes one after the other, each once. When none answers, calls
//! fail at once until the next try is due. Nothing is tried in the background: who needs a
//! connection asks for it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::{Channel, Connection, Event};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasq_core::backoff::Backoff;
use wasq_core::clock;

use super::error::{CallTarget, failed, no_answer_in_time};
use super::handshake::{self, Settings};
use crate::queue::QueueError;

/// How long any call but a receive may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The waits between tries of all nodes, as the worker's own between receives.
const AGAIN: Backoff = Backoff::new(std::time::Duration::from_secs(1), std::time::Duration::from_secs(30));

/// One connection to a RabbitMQ.
pub struct Link {
    settings: Arc<Settings>,
    /// What RabbitMQ's list of connections shows.
    name: &'static str,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    live: Option<Arc<Live>>,
    /// Tries in a row that have failed.
    failures: u32,
    /// The last of them, and when the next one is due.
    failed: Option<(QueueError, Instant)>,
}

/// A connection that was made.
pub struct Live {
    connection: Connection,
    node: String,
    vhost: String,
    /// Why RabbitMQ takes no messages on it, while it takes none.
    blocked: watch::Receiver<Option<String>>,
    _events: AbortOnDropHandle<()>,
    /// Channels in confirm mode that nobody uses now.
    pub spare: Mutex<Vec<Channel>>,
}

impl Link {
    pub fn new(settings: Arc<Settings>, name: &'static str) -> Self {
        Self { settings, name, state: tokio::sync::Mutex::default() }
    }

    /// The connection. If none is there and none is to be tried yet, waits for the next try when it
    /// is due until then.
    ///
    /// # Errors
    /// Why there is none, by each node.
    pub async fn connection(&self, until: Instant) -> Result<Arc<Live>, QueueError> {
        loop {
            // A try of somebody else is waited for.
            let mut state = self.state.lock().await;
            if let Some(live) = state.live.as_ref().filter(|live| live.is_open()) {
                return Ok(live.clone());
            }
            state.live = None;
            match &state.failed {
                Some((error, again_at)) if *again_at > clock::now() => {
                    if *again_at > until {
                        return Err(error.clone());
                    }
                    let again_at = *again_at;
                    drop(state);
                    tokio::time::sleep_until(again_at).await;
                }
                Some(_) | None => return self.connect(&mut state).await,
            }
        }
    }

    /// Tries each node once.
    async fn connect(&self, state: &mut State) -> Result<Arc<Live>, QueueError> {
        let address = &self.settings.address;
        let mut errors = Vec::new();
        for node in &address.nodes {
            match handshake::connect(&self.settings, node, self.name).await {
                Ok(connection) => {
                    tracing::info!(%node, vhost = address.vhost, connection = self.name, "connected to RabbitMQ");
                    let live = Arc::new(Live::new(connection, node.to_string(), address.vhost.clone()));
                    *state = State { live: Some(live.clone()), ..State::default() };
                    return Ok(live);
                }
                Err(error) => errors.push(error),
            }
        }
        state.failures = state.failures.saturating_add(1);
        let error = all_of(errors);
        state.failed = Some((error.clone(), clock::now() + AGAIN.jittered(state.failures)));
        Err(error)
    }
}

/// What the nodes said, in one: it may pass if one of them may.
fn all_of(errors: Vec<QueueError>) -> QueueError {
    let passes = errors.iter().any(|error| matches!(error, QueueError::Transient { .. }));
    let is_first = |error: &&QueueError| !passes || matches!(error, QueueError::Transient { .. });
    let code = errors.iter().find(is_first).map_or("NoAnswer", QueueError::code).to_owned();
    let messages = errors.iter().map(|error| match error {
        QueueError::Transient { message, .. }
        | QueueError::Permanent { message, .. }
        | QueueError::LeaseLost { message } => message.as_str(),
    });
    let message = messages.collect::<Vec<_>>().join("; ");
    if passes { QueueError::Transient { code, message } } else { QueueError::Permanent { code, message } }
}

impl Live {
    fn new(connection: Connection, node: String, vhost: String) -> Self {
        let mut events = Box::pin(connection.events_listener());
        let (block, blocked) = watch::channel(None);
        let events = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::ConnectionBlocked(reason) => drop(block.send_replace(Some(reason))),
                    Event::ConnectionUnblocked => drop(block.send_replace(None)),
                    _ => {}
                }
            }
        });
        Self { connection, node, vhost, blocked, _events: AbortOnDropHandle::new(events), spare: Mutex::default() }
    }

    pub fn is_open(&self) -> bool {
        self.connection.status().connected()
    }

    pub fn target(&self) -> CallTarget {
        CallTarget::node(&self.node, &self.vhost)
    }

    /// The largest frame that both sides take.
    pub fn frame_max(&self) -> usize {
        self.connection.configuration().frame_max() as usize
    }

    /// Why RabbitMQ takes no messages on it, while it takes none.
    pub fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.blocked.clone()
    }

    /// A channel of one's own.
    pub async fn channel(&self, target: &CallTarget) -> Result<Channel, QueueError> {
        call(target, self.connection.create_channel()).await
    }
}

/// A call to RabbitMQ, given up after [`CALL_TIMEOUT`].
pub async fn call<T>(target: &CallTarget, call: impl Future<Output = lapin::Result<T>>) -> Result<T, QueueError> {
    let answer = tokio::time::timeout(CALL_TIMEOUT, call).await;
    answer.map_err(|_| no_answer_in_time(target, CALL_TIMEOUT))?.map_err(|error| failed(target, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_all_nodes_are_told_and_one_that_may_pass_counts() {
        let transient = || QueueError::Transient { code: "NoAnswer".into(), message: "a: refused".into() };
        let permanent = || QueueError::Permanent { code: "AccessRefused".into(), message: "b: no".into() };
        let both = all_of(vec![permanent(), transient()]);
        assert_eq!(both.to_string(), "NoAnswer: b: no; a: refused");
        assert!(matches!(both, QueueError::Transient { .. }));
        assert!(matches!(all_of(vec![permanent(), permanent()]), QueueError::Permanent { .. }));
    }
}
