//! Sending so that no message overtakes another of its group. SQS may refuse single entries of a
//! batch and take those after them, so on a FIFO queue a batch holds one message of each group.

use std::collections::{BTreeMap, VecDeque};

use wasq_core::message::MessageId;

use super::{BATCH_MAX_ENTRIES, Outgoing, Queue, QueueError};

/// The code of a message that was not sent because one before it in its group was not.
const HELD_BACK: &str = "HeldBack";

/// Sends messages and answers entry by entry. On a FIFO queue a group ends at its first failure:
/// what follows in it is not sent.
pub async fn send_in_order(queue: &dyn Queue, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
    if !queue.is_fifo() {
        return queue.send(messages).await;
    }
    let mut groups: BTreeMap<Option<&str>, VecDeque<usize>> = BTreeMap::new();
    for (index, message) in messages.iter().enumerate() {
        groups.entry(message.group.as_deref()).or_default().push_back(index);
    }
    let held_back = || QueueError::Transient {
        code: HELD_BACK.into(),
        message: "one before it in its group could not be sent".into(),
    };
    let mut answers: Vec<_> = messages.iter().map(|_| Err(held_back())).collect();
    while !groups.is_empty() {
        let heads: Vec<usize> = groups.values_mut().take(BATCH_MAX_ENTRIES).filter_map(VecDeque::pop_front).collect();
        let batch: Vec<Outgoing> = heads.iter().map(|index| messages[*index].clone()).collect();
        for (index, answer) in heads.into_iter().zip(queue.send(&batch).await) {
            if answer.is_err() {
                groups.remove(&messages[index].group.as_deref());
            }
            answers[index] = answer;
        }
        groups.retain(|_, indexes| !indexes.is_empty());
    }
    answers
}

#[cfg(test)]
mod tests;
