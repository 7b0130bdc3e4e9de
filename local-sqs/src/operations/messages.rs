//! Storing messages: the one way into a queue, for what clients send and for what moves between
//! queues.

use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::super::{
    backlog::Delivery,
    clock::{Ms, wall_ms},
    dedup::{self, First},
    error::{Code, SqsError, SqsResult},
    log::{Durability, Finish, Location, LogError},
    message::Content,
    queue::Queue,
    record::{MessageRecord, MessageState, Record},
    service::Service,
};

/// Contents of more than this are read on a thread for blocking work, lest a slow disk stop the
/// runtime.
const READ_INLINE_BYTES: usize = 256 * 1024;

/// A message that wants into a queue.
pub struct Incoming {
    pub content: Content,
    pub group: Option<String>,
    pub dedup_id: Option<String>,
    pub delay_ms: Ms,
    /// What it keeps from the queue that it comes from.
    pub kept: Receives,
}

/// What of a message outlives its move from queue to queue: nothing if a client sent it.
#[derive(Default)]
pub struct Receives {
    pub id: Option<Uuid>,
    pub sent_ms: Option<u64>,
    pub state: MessageState,
}

/// A message that moves: its queue, and its sequence number there.
pub type Origin = (Arc<Queue>, u64);

struct Placing {
    record: MessageRecord,
    opened: Option<String>,
}

impl Service {
    /// Stores messages in a queue, all or none, and gives what identifies each there: for a twin
    /// within the deduplication window that is its first. They are on disk when this returns. A
    /// message with an origin leaves that queue in the same commit.
    pub(super) async fn store(
        &self,
        queue: &Arc<Queue>,
        incoming: Vec<Incoming>,
        origin: Option<Origin>,
    ) -> SqsResult<Vec<First>> {
        let slot = self.log.slot().await?;
        let (done, told) = oneshot::channel();
        let mut twins = Vec::new();
        let mut stored = Vec::new();
        let purged_at;
        {
            let mut guard = queue.living_state()?;
            let state = &mut *guard;
            purged_at = state.purged_at;
            let now = self.clock.now();
            let per_group = state.dedups_per_group(now);
            let (mut placings, mut contents) = (Vec::new(), Vec::new());
            for message in incoming {
                let scope = message.group.as_deref().filter(|_| per_group);
                let key = message.dedup_id.as_deref().map(|id| dedup::key(id, scope));
                if let Some(key) = &key
                    && let Some(first) = state.dedup.first(key, now)
                {
                    twins.push((key.clone(), first));
                    stored.push(first);
                    continue;
                }
                let seq = state.definition.next_seq;
                state.definition.next_seq += 1;
                let first = First { id: message.kept.id.unwrap_or_else(Uuid::new_v4), seq };
                if let Some(key) = &key {
                    state.dedup.open(key.clone(), first, now + dedup::WINDOW_MS);
                }
                stored.push(first);
                let content = message.content.encode();
                let mut message_state = message.kept.state;
                if message.delay_ms > 0 {
                    message_state.visible_at = now + message.delay_ms;
                }
                let record = MessageRecord {
                    queue: queue.number,
                    seq,
                    id: first.id,
                    sent_ms: message.kept.sent_ms.unwrap_or_else(wall_ms),
                    group: message.group,
                    dedup: key.clone().map(|key| (key, now + dedup::WINDOW_MS)),
                    state: message_state,
                    bytes: content.len() as u32,
                };
                placings.push(Placing { record, opened: key });
                contents.push(content);
            }
            let mut records: Vec<Record> = placings.iter().map(|one| Record::Put(one.record.clone())).collect();
            if let Some((source, seq)) = &origin {
                records.push(Record::Delete(source.number, vec![*seq]));
            }
            let queue = queue.clone();
            let finish: Finish = Box::new(move |result| {
                let result = place(&queue, placings, origin, result);
                // Nobody listens any more when the client went away; the message counts all the
                // same.
                let _ = done.send(result);
            });
            // Under the lock, so that the order in the log is the order of the sequence numbers.
            slot.commit(records, contents, Durability::Disk, finish);
        }
        told.await.unwrap_or(Err(LogError::Closed))?;
        if !twins.is_empty() {
            // A twin's first may have been on its way to the disk, and may have failed to get
            // there. A purge since then has forgotten it for another reason.
            let mut state = queue.state();
            let now = self.clock.now();
            if state.purged_at == purged_at
                && twins.iter().any(|(key, first)| state.dedup.first(key, now) != Some(*first))
            {
                return Err(SqsError::new(Code::InternalFailure, "The message's first twin could not be stored."));
            }
        }
        Ok(stored)
    }

    /// Moves a message into another queue. The message stays in its own, hidden, when that fails.
    pub(super) async fn move_message(
        &self,
        from: &Arc<Queue>,
        seq: u64,
        to: &Arc<Queue>,
        message: Incoming,
    ) -> SqsResult<()> {
        self.store(to, vec![message], Some((from.clone(), seq))).await.map(drop)
    }

    /// Reads the contents of messages from the log.
    pub(super) async fn contents(&self, deliveries: &[Delivery<Location>]) -> SqsResult<Vec<Content>> {
        let places: Vec<Location> = deliveries.iter().map(|delivery| delivery.entry.place.clone()).collect();
        let bytes: usize = places.iter().map(|place| place.bytes() as usize).sum();
        if bytes <= READ_INLINE_BYTES {
            return read(&places);
        }
        let read = tokio::task::spawn_blocking(move || read(&places)).await;
        read.unwrap_or_else(|error| Err(SqsError::new(Code::InternalFailure, error.to_string())))
    }
}

fn read(places: &[Location]) -> SqsResult<Vec<Content>> {
    let internal = |message: String| SqsError::new(Code::InternalFailure, message);
    let read_one = |place: &Location| {
        let bytes = place.read().map_err(|error| internal(format!("cannot read the local queue's log: {error}")))?;
        Content::decode(bytes).ok_or_else(|| internal("a message in the local queue's log is damaged".to_owned()))
    };
    places.iter().map(read_one).collect()
}

/// Makes stored messages visible, or forgets those that could not be stored.
fn place(
    queue: &Queue,
    placings: Vec<Placing>,
    origin: Option<Origin>,
    result: Result<Vec<Location>, LogError>,
) -> Result<(), LogError> {
    let mut guard = queue.state();
    let state = &mut *guard;
    match result {
        Ok(locations) => {
            for (Placing { record, .. }, location) in placings.into_iter().zip(locations) {
                let group = record.group.as_deref();
                state.backlog.insert(record.seq, record.id, record.sent_ms, group, record.state, location);
            }
            queue.wake(state);
            drop(guard);
            if let Some((source, seq)) = origin {
                let mut state = source.state();
                state.backlog.remove(seq);
                source.wake(&state);
            }
            Ok(())
        }
        Err(error) => {
            for Placing { record, opened } in placings {
                if let Some(key) = opened {
                    state.dedup.forget(&key, record.id);
                }
            }
            Err(error)
        }
    }
}
