//! The way to the queues: what comes at the same time goes in one call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};
use wasq_core::message::MessageId;
use wasq_queues::{BATCH_MAX_ENTRIES, Outgoing, Outlets, Queue, QueueError, send_in_order};

/// Calls to one queue under way at once. On a FIFO queue there is one, so that no message overtakes
/// another.
const CALLS: usize = 16;
/// Messages that wait for a call.
const WAITING: usize = 4_096;

/// A sender for each queue, made when it is first asked for.
pub struct Senders {
    outlets: Arc<Outlets>,
    by_queue: Mutex<HashMap<String, mpsc::Sender<Item>>>,
}

struct Item {
    message: Outgoing,
    answer: oneshot::Sender<Result<MessageId, QueueError>>,
}

impl Senders {
    pub fn new(outlets: Arc<Outlets>) -> Self {
        Self { outlets, by_queue: Mutex::default() }
    }

    pub fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    /// Sends messages to a queue of the config, and answers them one by one.
    pub async fn send(&self, queue: &str, messages: Vec<Outgoing>) -> Vec<Result<MessageId, QueueError>> {
        let items = self.items(queue);
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            let (answer, answered) = oneshot::channel();
            // Without a receiver the answer says so below.
            if let Some(items) = &items {
                let _ended = items.send(Item { message, answer }).await;
            }
            answers.push(answered);
        }
        let ended = || QueueError::Transient { code: "Ended".into(), message: "the host is stopping".into() };
        let mut sent = Vec::with_capacity(answers.len());
        for answer in answers {
            sent.push(answer.await.unwrap_or_else(|_| Err(ended())));
        }
        sent
    }

    fn items(&self, queue: &str) -> Option<mpsc::Sender<Item>> {
        let mut by_queue = self.by_queue.lock();
        if let Some(items) = by_queue.get(queue) {
            return Some(items.clone());
        }
        let outlet = self.outlets.get(queue)?;
        let (items, waiting) = mpsc::channel(WAITING);
        tokio::spawn(collect(outlet.queue.clone(), waiting));
        by_queue.insert(queue.to_owned(), items.clone());
        Some(items)
    }
}

/// Says that a queue refuses messages, and that it takes them again. What goes on is said once.
fn note(sent: &[Result<MessageId, QueueError>], queue: &str, is_failing: &AtomicBool) {
    match sent.iter().find_map(|sent| sent.as_ref().err()) {
        Some(error) if !is_failing.swap(true, Ordering::Relaxed) => {
            tracing::warn!(queue, %error, "messages that came in cannot be sent; their producers are told so");
        }
        Some(error) => tracing::debug!(queue, %error, "messages that came in cannot be sent"),
        None if is_failing.swap(false, Ordering::Relaxed) => {
            tracing::info!(queue, "messages that come in are sent again");
        }
        None => {}
    }
}

/// Takes what is there into one call, as soon as a call may begin. It ends with the last sender.
async fn collect(queue: Arc<dyn Queue>, mut waiting: mpsc::Receiver<Item>) {
    let room = Arc::new(Semaphore::new(if queue.is_fifo() { 1 } else { CALLS }));
    let is_failing = Arc::new(AtomicBool::new(false));
    loop {
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        let mut batch = Vec::with_capacity(BATCH_MAX_ENTRIES);
        if waiting.recv_many(&mut batch, BATCH_MAX_ENTRIES).await == 0 {
            return;
        }
        let (queue, is_failing) = (queue.clone(), is_failing.clone());
        tokio::spawn(async move {
            let (messages, answers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|item| (item.message, item.answer)).unzip();
            let sent = send_in_order(queue.as_ref(), &messages).await;
            note(&sent, queue.name(), &is_failing);
            for (answer, sent) in answers.into_iter().zip(sent) {
                // A client that has gone away hears nothing; its message is in the queue.
                let _gone = answer.send(sent);
            }
            drop(permit);
        });
    }
}
