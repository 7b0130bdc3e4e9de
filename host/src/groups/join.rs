//! What an outbox adds to a group: members, and what follows when all have ended.

use futures::future::try_join_all;
use wasq_core::message::Key;
use wasq_ledgers::LedgerError;
use wasq_queues::Outgoing;

use super::PARTS_KEPT;
use super::attributes::{Membership, digest};
use super::chunk::{CHUNK_MEMBERS, Chunk, Member};
use super::end::part_id;
use super::record::{Addition, OnFailure, Record, State, Then};
use super::store::{GroupStore, chunk_id, record_id};
use crate::timers;

/// Bytes of one part of what follows. DynamoDB keeps 400 KB in an item.
const PART_BYTES: usize = 256 * 1024;

/// What one message's outbox adds to one group.
pub struct Joining {
    /// The group's id: plugin and name.
    pub group: String,
    pub members: Vec<NewMember>,
    pub then: Option<FollowUp>,
}

/// A message that becomes a member.
pub struct NewMember {
    /// Its idempotency key.
    pub key: String,
    /// The queue's name in the config.
    pub queue: String,
    pub kind: String,
}

/// What is sent when all members have ended.
pub struct FollowUp {
    /// Its idempotency key.
    pub key: String,
    /// The queue's name in the config.
    pub queue: String,
    pub kind: String,
    pub on_failure: OnFailure,
    pub message: Outgoing,
}

/// Why an outbox adds nothing to a group.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Permanent: the group takes it never.
    #[error("the group `{group}` {why}")]
    Refused { group: String, why: String },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl GroupStore {
    /// Adds what the outbox of the message with the key `parent` has for a group, before any of it
    /// is sent. To say it again is always right. The answer is what each member is to the group, in
    /// their order.
    ///
    /// # Errors
    /// The group does not take it, or the ledger does not answer: then nothing may be sent.
    pub async fn join(&self, parent: Key, joining: &Joining) -> Result<Vec<Membership>, JoinError> {
        let Joining { group, members, then } = joining;
        let by = digest(&[b"adder", &parent.0]);
        let keys: Vec<&[u8]> = members.iter().map(|member| member.key.as_bytes()).collect();
        let of = digest(&keys);
        let then = match then {
            Some(then) => Some(self.keep(group, then).await?),
            None => None,
        };
        let sizes: Vec<u32> = members.chunks(CHUNK_MEMBERS).map(|chunk| chunk.len() as u32).collect();
        let addition = Addition {
            by: by.clone(),
            members: (!members.is_empty()).then(|| (of.clone(), sizes)),
            then,
            members_max: self.members_max,
        };
        let now = self.now();
        let (record, cancels) = self
            .change(&record_id(group), |found: Option<Record>| {
                let mut record = found.unwrap_or_else(|| Record::new(now));
                let before = record.state;
                match record.add(&addition, now) {
                    Ok(changes) => {
                        let cancels = before == State::Open && record.state == State::Cancelled;
                        (Ok((record.clone(), cancels)), changes.then_some(record))
                    }
                    Err(why) => (Err(why), None),
                }
            })
            .await?
            .map_err(|why| JoinError::Refused { group: group.clone(), why })?;
        let place = |n: usize| Membership {
            group: group.clone(),
            by: by.clone(),
            of: of.clone(),
            chunk: (n / CHUNK_MEMBERS) as u32,
            place: (n % CHUNK_MEMBERS) as u32,
            may_be_cancelled: record.on_failure() == OnFailure::Cancel,
        };
        let places: Vec<_> = (0..members.len()).map(place).collect();
        // All ended long ago where the group has: nothing waits for these.
        if record.state == State::Open {
            try_join_all(
                places
                    .chunks(CHUNK_MEMBERS)
                    .zip(members.chunks(CHUNK_MEMBERS))
                    .map(|(places, members)| async move { self.begin_chunk(&chunk_id(&places[0]), members).await }),
            )
            .await?;
        }
        self.meters.members.add(members.len() as u64);
        self.meters.cancelled.add(u64::from(cancels));
        self.follow_up(group, &record).await?;
        Ok(places)
    }

    async fn begin_chunk(&self, id: &str, members: &[NewMember]) -> Result<(), LedgerError> {
        self.change(id, |found: Option<Chunk>| {
            let member = |member: &NewMember| Member {
                key: member.key.chars().take(16).collect(),
                queue: member.queue.clone(),
                kind: member.kind.clone(),
                end: None,
            };
            let begun = || Chunk { members: members.iter().map(member).collect() };
            ((), found.is_none().then(begun))
        })
        .await
    }

    /// Keeps the message that follows, in parts.
    async fn keep(&self, group: &str, then: &FollowUp) -> Result<Then, LedgerError> {
        let stored = timers::encode(&then.message, None);
        let parts: Vec<&[u8]> = stored.chunks(PART_BYTES).collect();
        for (n, part) in parts.iter().enumerate() {
            self.ledger.put_envelope(&part_id(group, &then.key, n as u32), part, PARTS_KEPT).await?;
        }
        Ok(Then {
            key: then.key.clone(),
            queue: then.queue.clone(),
            kind: then.kind.clone(),
            on_failure: then.on_failure,
            parts: parts.len() as u32,
        })
    }
}
