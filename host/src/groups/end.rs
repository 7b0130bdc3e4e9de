//! A member's end, and the group's.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use tokio::sync::oneshot;
use wasq_core::message::Key;
use wasq_ledgers::LedgerError;

use super::attributes::{ENDED_ATTRIBUTE, EndedGroup, Membership};
use super::chunk::{Chunk, End, EndState};
use super::combine::{Told, Waiting};
use super::record::{Record, State, Sum, Then};
use super::store::{GroupStore, chunk_id, record_id};
use super::{PARTS_KEPT, REASON_MAX_BYTES, RESULT_MAX_BYTES};
use crate::timers;

/// A result up to this length stands in the chunk; a longer one costs a write of its own.
const WITHIN_MAX_BYTES: usize = 128;

impl GroupStore {
    /// Records how a member has ended. If it was the last one, what follows is sent. To say it
    /// again is always right.
    ///
    /// # Errors
    /// The ledger does not answer. Nothing may be deleted then.
    pub async fn end(
        &self,
        member: &Membership,
        state: EndState,
        result: Option<Vec<u8>>,
        reason: String,
    ) -> Result<(), LedgerError> {
        let end = self.keep_result(member, state, result, reason).await?;
        let Told { is_new, sum } = self.end_in_chunk(member, end).await?;
        self.meters.member_ends.add(u64::from(is_new));
        let Some(sum) = sum else { return Ok(()) };
        if sum.open > 0 && sum.counts.dead_lettered == 0 {
            return Ok(());
        }
        let now = self.now();
        let (record, cancels) = self
            .change(&record_id(&member.group), |found: Option<Record>| {
                let Some(mut record) = found else { return ((None, false), None) };
                let before = record.state;
                let changed = record.update_chunk(&member.by, &member.of, member.chunk as usize, sum, now);
                let cancels = before == State::Open && record.state == State::Cancelled;
                ((Some(record.clone()), cancels), changed.then_some(record))
            })
            .await?;
        if cancels {
            self.meters.cancelled.add(1);
            tracing::warn!(group = member.group, "a group is cancelled: a member was dead-lettered; nothing follows");
        }
        match record {
            Some(record) => self.follow_up(&member.group, &record).await,
            None => Ok(()),
        }
    }

    /// The end as its chunk has it; a result that is too long for that is kept before.
    async fn keep_result(
        &self,
        member: &Membership,
        state: EndState,
        result: Option<Vec<u8>>,
        mut reason: String,
    ) -> Result<End, LedgerError> {
        reason.truncate(reason.floor_char_boundary(REASON_MAX_BYTES));
        let mut end = End { state, at: self.now(), result: None, result_id: None, reason };
        let Some(result) = result else { return Ok(end) };
        match result.len() {
            len if len <= WITHIN_MAX_BYTES => end.result = Some(BASE64_STANDARD.encode(result)),
            len if len <= RESULT_MAX_BYTES => {
                let place = member.place.to_le_bytes();
                let id = Key::derive(&[b"group-result", chunk_id(member).as_bytes(), &place, &result]).to_hex();
                self.ledger.put_envelope(&id, &result, PARTS_KEPT).await?;
                end.result_id = Some(id);
            }
            len => end.reason = format!("its result has {len} bytes; a group keeps {RESULT_MAX_BYTES} of a member's"),
        }
        Ok(end)
    }

    /// Records the end together with those of the chunk's other members that come now.
    async fn end_in_chunk(&self, member: &Membership, end: End) -> Result<Told, LedgerError> {
        let (id, place) = (chunk_id(member), member.place as usize);
        let (tell, mut told) = oneshot::channel();
        if !self.combiner.hand_in(&id, Waiting { place, end: end.clone(), tell }) {
            return match told.await {
                Ok(told) => told,
                // Whoever was to record it has gone away.
                Err(_) => self.record_ends(&id, &[(place, end)]).await.map(|(sum, news)| Told { is_new: news[0], sum }),
            };
        }
        let mut abandoned = Abandoned { store: self, chunk: &id, is_over: false };
        while let Some(waiting) = self.combiner.take(&id) {
            let ends: Vec<_> = waiting.iter().map(|waiting| (waiting.place, waiting.end.clone())).collect();
            let answer = self.record_ends(&id, &ends).await;
            let last = waiting.len() - 1;
            for (n, waiting) in waiting.into_iter().enumerate() {
                let told =
                    |(sum, news): &(Option<Sum>, Vec<bool>)| Told { is_new: news[n], sum: sum.filter(|_| n == last) };
                let told = answer.as_ref().map(told).map_err(Clone::clone);
                // Who no longer waits has gone away; what was recorded stands.
                drop(waiting.tell.send(told));
            }
        }
        abandoned.is_over = true;
        told.try_recv().unwrap_or_else(|_| Err(LedgerError::Unavailable("an end was not recorded".into())))
    }

    /// What the chunk comes to then, and which ends are news. No chunk is there where a member is
    /// none any more: its sender has sent others in its place, or it came too late.
    async fn record_ends(&self, id: &str, ends: &[(usize, End)]) -> Result<(Option<Sum>, Vec<bool>), LedgerError> {
        self.change(id, |found: Option<Chunk>| {
            let Some(mut chunk) = found else { return ((None, vec![false; ends.len()]), None) };
            let news: Vec<_> = ends.iter().map(|(place, end)| chunk.end(*place, end)).collect();
            let changed = news.contains(&true);
            ((Some(chunk.sum()), news), changed.then_some(chunk))
        })
        .await
    }

    /// Sends what follows, if the group has ended and it was not sent yet.
    pub(super) async fn follow_up(&self, group: &str, record: &Record) -> Result<(), LedgerError> {
        let Some(then) = record.then.as_ref().filter(|_| record.state == State::Ended && !record.is_sent) else {
            return Ok(());
        };
        let mut message = self.message_of(group, then).await?;
        let ended = EndedGroup { group: group.to_owned(), counts: record.counts() };
        message.attributes.insert(ENDED_ATTRIBUTE.into(), ended.attribute());
        self.timers.send_soon(&format!("group/{group}"), &then.queue, &message).await?;
        self.change(&record_id(group), |found: Option<Record>| {
            let changed = found.filter(|record| !record.is_sent).map(|record| Record { is_sent: true, ..record });
            ((), changed)
        })
        .await?;
        self.meters.ended.add(1);
        Ok(())
    }

    async fn message_of(&self, group: &str, then: &Then) -> Result<wasq_queues::Outgoing, LedgerError> {
        let mut stored = Vec::new();
        for part in 0..then.parts {
            let Some(more) = self.ledger.get_envelope(&part_id(group, &then.key, part)).await? else {
                return Err(LedgerError::Damaged(format!("what follows the group `{group}` is gone from the ledger")));
            };
            stored.extend(more);
        }
        let stored = timers::decode(&Bytes::from(stored));
        stored
            .map(|stored| stored.message)
            .map_err(|error| LedgerError::Damaged(format!("what follows the group `{group}` cannot be read: {error}")))
    }
}

/// Under which id the ledger has a part of what follows a group.
pub fn part_id(group: &str, key: &str, part: u32) -> String {
    Key::derive(&[b"group-then", group.as_bytes(), key.as_bytes(), &part.to_le_bytes()]).to_hex()
}

/// Lets those go who wait for a record that is not made any more.
struct Abandoned<'a> {
    store: &'a GroupStore,
    chunk: &'a str,
    /// All that had come is recorded.
    is_over: bool,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.store.combiner.abandon(self.chunk);
        }
    }
}
