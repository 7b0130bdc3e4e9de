//! ReceiveMessage: short and long polls, and dead-lettering of what was received too often.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    super::{
        attributes::{MAX_VISIBILITY_S, MAX_WAIT_S},
        backlog::{Ask, Delivery},
        clock::{Ms, wall_ms},
        digest,
        error::{Code, SqsError, SqsResult},
        log::{Durability, Location, Slot, Stored},
        message::{Attribute, Content, TRACE_HEADER},
        queue::{Queue, arn_of_reference},
        receipt::Receipt,
        record::{MessageState, Record},
        service::Service,
    },
    Caller, in_range, in_range_or,
    messages::{Incoming, Receives},
    or_default,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReceiveMessage {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    attribute_names: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    message_system_attribute_names: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    message_attribute_names: Vec<String>,
    /// A fault: what is delivered stays visible.
    #[serde(skip)]
    pub duplicate: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Received {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<ReceivedMessage>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReceivedMessage {
    message_id: String,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_message_attributes: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<String, Attribute>,
}

/// A sequence number as clients see it: 20 digits, so that their order as text is their order.
pub fn sequence_number(seq: u64) -> String {
    format!("{seq:020}")
}

impl Service {
    pub async fn receive_message(&self, request: ReceiveMessage, caller: &Caller) -> SqsResult<Received> {
        let queue = self.at(&request.queue_url, caller)?;
        let max = in_range("MaxNumberOfMessages", request.max_number_of_messages, 1, super::MAX_ENTRIES as u64)?;
        let visibility_s = in_range("VisibilityTimeout", request.visibility_timeout, 0, MAX_VISIBILITY_S)?;
        let reason = || format!("Must be >= 0 and <= {MAX_WAIT_S}, if provided.");
        let wait_s = in_range_or("WaitTimeSeconds", request.wait_time_seconds, 0, MAX_WAIT_S, reason)?;
        let wait_s = wait_s.unwrap_or(queue.living_state()?.settings.wait_s);
        let poll = Poll { max: max.unwrap_or(1) as usize, visibility_s, duplicate: request.duplicate };
        let deliveries = self.poll(&queue, poll, self.clock.now() + wait_s * 1_000).await?;
        let contents = self.contents(&deliveries).await?;
        let messages = deliveries
            .into_iter()
            .zip(contents)
            .map(|(delivery, content)| answer(&queue, delivery, content, &request, &caller.region));
        Ok(Received { messages: messages.collect() })
    }

    /// Takes messages, waiting for the first until a point in time.
    async fn poll(&self, queue: &Arc<Queue>, poll: Poll, until: Ms) -> SqsResult<Vec<Delivery<Location>>> {
        loop {
            // Made before the look at the queue, so that nothing that happens after it is missed.
            let arrived = queue.arrived.notified();
            let slot = self.log.slot().await?;
            let now = self.clock.now();
            let (taken, wake_at) = self.take(queue, poll, now, until, slot)?;
            if let Some(stored) = taken.stored {
                stored.await?;
            }
            if let Some((dead_letters, dead)) = taken.dead {
                self.dead_letter(queue, &dead_letters, dead).await?;
                if taken.deliveries.is_empty() {
                    continue;
                }
            }
            if !taken.deliveries.is_empty() || now >= until || self.polls_ended.is_cancelled() {
                return Ok(taken.deliveries);
            }
            tokio::select! {
                () = self.polls_ended.cancelled() => {}
                () = arrived => {}
                () = tokio::time::sleep_until(self.clock.instant(wake_at)) => {}
            }
        }
    }

    /// Takes what is there, and tells when to look again.
    fn take(&self, queue: &Arc<Queue>, poll: Poll, now: Ms, until: Ms, slot: Slot) -> SqsResult<(Taken, Ms)> {
        let redrive = queue.living_state()?.settings.redrive.clone();
        let dead_letters = redrive.and_then(|redrive| {
            Some((self.queues().dead_letter_queue(queue, &redrive.target)?.clone(), redrive.max_receives))
        });
        let mut guard = queue.living_state()?;
        let state = &mut *guard;
        let wall_ms = wall_ms();
        let mut taken = state.backlog.take(Ask {
            max: poll.max,
            visibility_ms: poll.visibility_s.unwrap_or(state.settings.visibility_s) * 1_000,
            now,
            wall_ms,
            expired_before_ms: wall_ms.saturating_sub(state.settings.retention_s * 1_000),
            max_receives: dead_letters.as_ref().map(|(_, max_receives)| *max_receives),
        });
        if taken.over_limit {
            let message = "Too many messages in flight: delete some, or let them become visible.";
            return Err(SqsError::new(Code::OverLimit, message));
        }
        if poll.duplicate {
            for delivery in &mut taken.deliveries {
                state.backlog.show(delivery.seq);
                delivery.entry.state.visible_at = 0;
            }
        }
        queue.wake(state);
        let next = state.backlog.next_visible_at();
        state.watched_until = next.unwrap_or(Ms::MAX);
        let mut records = Vec::new();
        if !taken.expired.is_empty() {
            records.push(Record::Delete(queue.number, taken.expired));
        }
        if !taken.deliveries.is_empty() {
            let states = taken.deliveries.iter().map(|delivery| (delivery.seq, delivery.entry.state));
            records.push(Record::State(queue.number, states.collect()));
        }
        let stored = (!records.is_empty()).then(|| slot.commit_and_tell(records, Vec::new(), Durability::System));
        let dead = dead_letters.map(|(queue, _)| (queue, taken.dead)).filter(|(_, dead)| !dead.is_empty());
        let taken = Taken { deliveries: taken.deliveries, dead, stored };
        Ok((taken, next.map_or(until, |next| next.min(until))))
    }

    /// Moves messages to the dead-letter queue. A standard queue's keep their age; all keep their
    /// ids.
    async fn dead_letter(
        &self,
        queue: &Arc<Queue>,
        dead_letters: &Arc<Queue>,
        dead: Vec<Delivery<Location>>,
    ) -> SqsResult<()> {
        let contents = self.contents(&dead).await?;
        for (Delivery { seq, entry }, mut content) in dead.into_iter().zip(contents) {
            content.head.dead_letter_source.get_or_insert_with(|| queue.reference());
            let kept = Receives {
                id: Some(entry.id),
                sent_ms: (!queue.fifo).then_some(entry.sent_ms),
                state: MessageState { visible_at: 0, received_at: 0, ..entry.state },
            };
            // Its deduplication id stays visible and opens no window: nothing may keep a dead
            // letter out.
            let group = entry.group.as_deref().map(str::to_owned);
            let message = Incoming { content, group, dedup_id: None, delay_ms: 0, kept };
            self.move_message(queue, seq, dead_letters, message).await?;
        }
        Ok(())
    }
}

/// What one look at the queue brought.
struct Taken {
    deliveries: Vec<Delivery<Location>>,
    /// Messages for the dead-letter queue, and which that is.
    dead: Option<(Arc<Queue>, Vec<Delivery<Location>>)>,
    /// Ends when the taking is stored.
    stored: Option<Stored>,
}

/// What a poll asks for.
#[derive(Clone, Copy)]
struct Poll {
    max: usize,
    visibility_s: Option<u64>,
    duplicate: bool,
}

fn answer(
    queue: &Queue,
    delivery: Delivery<Location>,
    content: Content,
    request: &ReceiveMessage,
    region: &str,
) -> ReceivedMessage {
    let Delivery { seq, entry } = delivery;
    let mut attributes = BTreeMap::new();
    let mut add = |name: &'static str, value: Option<String>| {
        let mut asked = request.attribute_names.iter().chain(&request.message_system_attribute_names);
        if asked.any(|asked| asked == "All" || asked == name) {
            attributes.extend(value.map(|value| (name, value)));
        }
    };
    add("SenderId", Some(queue.account().to_string()));
    add("SentTimestamp", Some(entry.sent_ms.to_string()));
    add("ApproximateReceiveCount", Some(entry.state.count.to_string()));
    add("ApproximateFirstReceiveTimestamp", Some(entry.state.first_received_ms.to_string()));
    add("MessageGroupId", entry.group.as_deref().map(str::to_owned));
    add("MessageDeduplicationId", content.head.dedup_id);
    add("SequenceNumber", queue.fifo.then(|| sequence_number(seq)));
    add(TRACE_HEADER, content.head.trace);
    add("DeadLetterQueueSourceArn", content.head.dead_letter_source.map(|source| arn_of_reference(&source, region)));
    let mut message_attributes = content.head.attributes;
    message_attributes.retain(|name, _| request.message_attribute_names.iter().any(|asked| asks_for(asked, name)));
    ReceivedMessage {
        message_id: entry.id.to_string(),
        receipt_handle: Receipt { queue: queue.number, seq, count: entry.state.count }.encode(),
        md5_of_body: content.head.md5,
        body: content.body,
        attributes,
        md5_of_message_attributes: digest::of_attributes(&message_attributes),
        message_attributes,
    }
}

/// `All`, `*`, `.*`, a prefix with `.*` after it, or the name itself.
fn asks_for(asked: &str, name: &str) -> bool {
    match asked.strip_suffix(".*") {
        Some(prefix) => name.starts_with(prefix),
        None => matches!(asked, "All" | "*") || asked == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_names_are_asked_for_by_name_prefix_or_all() {
        for (asked, name, expect) in [
            ("All", "a", true),
            (".*", "a", true),
            ("*", "a", true),
            ("AWS.", "a", false),
            ("foo.*", "foo.bar", true),
            ("foo.*", "bar", false),
            ("a", "ab", false),
        ] {
            assert_eq!(asks_for(asked, name), expect, "{asked} {name}");
        }
    }
}
