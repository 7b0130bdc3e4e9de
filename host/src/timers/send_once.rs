//! One try at sending many messages to a queue.

use futures::StreamExt;
use wasq_queues::{Outgoing, Queue, QueueError, batches, send_in_order};

/// Calls to one queue under way at once.
const CALLS_AT_ONCE: usize = 16;

/// One call for as many as a call takes: in their order on a FIFO queue, else some calls at once.
pub async fn send_once(queue: &dyn Queue, messages: &[Outgoing]) -> Vec<Result<(), QueueError>> {
    let answers = match queue.is_fifo() {
        true => send_in_order(queue, messages).await,
        false => {
            let calls: Vec<_> = batches(messages).into_iter().map(|batch| queue.send(batch)).collect();
            futures::stream::iter(calls).buffered(CALLS_AT_ONCE).collect::<Vec<_>>().await.concat()
        }
    };
    answers.into_iter().map(|answer| answer.map(drop)).collect()
}
