//! Connections that wait for new entries. Redis answers nothing else on a connection that waits, so
//! each receive that is under way has one to itself.
//!
//! The call is a task of its own. A receive that ends before the call does leaves it with its
//! connection here, and the next receive goes on waiting for the same one.

use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio_util::task::AbortOnDropHandle;

use super::consumer::Consumer;
use super::error::{CallTarget, failed, given_up, no_answer_in_time};
use super::store::Store;
use crate::queue::QueueError;

/// Connections that are kept: as many as a queue has receives at once (`max_pollers`).
const READERS_MAX: usize = 64;
/// How long Redis waits in one call. A server that is gone is noticed so much later.
pub const BLOCK_MAX: Duration = Duration::from_secs(1);
/// How long the answer may take beyond that. What a lost answer had in it waits for its visibility
/// to end, so a server that is slow gets more time than in other calls.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct Readers(Mutex<Vec<Reader>>);

/// A connection, or the call that has it now.
enum Reader {
    Idle(MultiplexedConnection),
    Reads { consumer: Consumer, call: Call },
}

type Call = AbortOnDropHandle<Result<MultiplexedConnection, QueueError>>;

/// A reader while a receive has it.
pub struct Checkout<'a> {
    readers: &'a Readers,
    reader: Option<Reader>,
}

impl Readers {
    /// One that reads for this consumer, or one that is idle; or none yet.
    pub fn check_out(&self, consumer: &Consumer) -> Checkout<'_> {
        let mut readers = self.0.lock();
        let reads =
            readers.iter().position(|reader| matches!(reader, Reader::Reads { consumer: of, .. } if of == consumer));
        let index = reads.or_else(|| readers.iter().position(|reader| matches!(reader, Reader::Idle(_))));
        Checkout { readers: self, reader: index.map(|index| readers.swap_remove(index)) }
    }
}

impl Checkout<'_> {
    /// Begins to read. `read` gives the connection back when it has an answer.
    pub async fn begin<F>(
        &mut self,
        store: &Store,
        target: &CallTarget,
        consumer: &Consumer,
        read: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<(), QueueError>
    where
        F: Future<Output = Result<MultiplexedConnection, QueueError>> + Send + 'static,
    {
        let connection = match self.reader.take() {
            Some(Reader::Idle(connection)) => connection,
            Some(reader @ Reader::Reads { .. }) => {
                self.reader = Some(reader);
                return Ok(());
            }
            None => store.dedicated(target).await?,
        };
        let call = AbortOnDropHandle::new(tokio::spawn(read(connection)));
        self.reader = Some(Reader::Reads { consumer: consumer.clone(), call });
        Ok(())
    }

    /// Waits until the call has ended. Given up, it goes on.
    pub async fn end(&mut self, target: &CallTarget) -> Result<(), QueueError> {
        let Some(Reader::Reads { call, .. }) = &mut self.reader else { return Ok(()) };
        let answer = call.await;
        // A connection whose call has failed may have an answer to come.
        self.reader = None;
        self.reader = Some(Reader::Idle(answer.map_err(|error| given_up(target, &error))??));
        Ok(())
    }
}

impl Drop for Checkout<'_> {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        let mut readers = self.readers.0.lock();
        if readers.len() < READERS_MAX {
            readers.push(reader);
        }
    }
}

/// The answer to a call for which Redis waits up to `block`.
pub async fn answer(
    target: &CallTarget,
    block: Duration,
    call: impl Future<Output = RedisResult<Value>>,
) -> Result<Value, QueueError> {
    let within = block + ANSWER_TIMEOUT;
    let answer = tokio::time::timeout(within, call).await;
    answer.map_err(|_| no_answer_in_time(target, within))?.map_err(|error| failed(target, &error))
}
