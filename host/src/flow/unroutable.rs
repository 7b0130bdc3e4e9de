//! The types that no plugin handles: said in the log once an hour each, and listed by `wasq status`
//! and the dashboard until a plugin handles them.
//!
//! A mistyped message fails nothing: it is hidden again and again until it is dead-lettered, and on
//! a FIFO queue its group stands behind it meanwhile. So somebody has to be told.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use wasq_core::message::UnixMs;
use wasq_queues::is_fifo;

/// Types of all queues that are told apart. Producers name them, so there must be a limit; what is
/// over it is `(other)`.
pub const TYPES_MAX: usize = 100;
/// What stands for the types over the limit.
const OTHER: &str = "(other)";
/// Characters of a type that are kept.
const TYPE_MAX_CHARS: usize = 200;
/// From one warning of a type to the next.
pub const WARN_EVERY: Duration = Duration::from_secs(60 * 60);
/// A type that did not come for so long is not listed any more.
const LISTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What came and found no plugin.
#[derive(Default)]
pub struct Unroutable {
    types: Mutex<BTreeMap<(String, String), Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    deliveries: u64,
    first_at: UnixMs,
    last_at: UnixMs,
    warned_at: UnixMs,
    dead_lettered_after: Duration,
}

/// One type of one queue, as listings show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnroutableType {
    pub queue: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Each look at a waiting message is one.
    pub deliveries: u64,
    pub first_at: UnixMs,
    pub last_at: UnixMs,
    pub reason: String,
}

impl Unroutable {
    /// A message of this type was received and put back, to be dead-lettered so long after it was
    /// sent.
    pub fn met(&self, queue: &str, kind: &str, dead_lettered_after: Duration, now: UnixMs) {
        let kind: String = kind.chars().take(TYPE_MAX_CHARS).collect();
        let mut types = self.types.lock();
        let mut key = (queue.to_owned(), kind);
        if types.len() >= TYPES_MAX && !types.contains_key(&key) {
            // A warning of what is forgotten here would be due again anyway.
            types.retain(|_, seen| !is_over(seen.last_at, WARN_EVERY, now));
            if types.len() >= TYPES_MAX {
                key.1 = OTHER.to_owned();
            }
        }
        let new = Seen { deliveries: 0, first_at: now, last_at: now, warned_at: UnixMs(0), dead_lettered_after };
        let seen = types.entry(key.clone()).or_insert(new);
        let warns = seen.deliveries == 0 || is_over(seen.warned_at, WARN_EVERY, now);
        *seen = Seen { deliveries: seen.deliveries + 1, last_at: now, dead_lettered_after, ..*seen };
        if warns {
            seen.warned_at = now;
            let (queue, kind) = key;
            let (deliveries, after) = (seen.deliveries, span(dead_lettered_after));
            tracing::warn!(
                queue,
                "type" = kind,
                deliveries,
                "no plugin handles this type: its messages wait, and go to the DLQ {after} after they were sent; load a plugin \
                 with it among its `types`, or correct the producer. It is said once an hour"
            );
        }
    }

    /// The types that have no plugin still, the latest first.
    pub fn listed(&self, now: UnixMs, has_plugin: impl Fn(&str) -> bool) -> Vec<UnroutableType> {
        let mut types = self.types.lock();
        types.retain(|(_, kind), seen| !is_over(seen.last_at, LISTED_FOR, now) && !has_plugin(kind));
        let listed = types.iter().map(|((queue, kind), seen)| {
            let after = span(seen.dead_lettered_after);
            let stands = if is_fifo(queue) { "; what is behind them in their groups waits too" } else { "" };
            UnroutableType {
                queue: queue.clone(),
                kind: kind.clone(),
                deliveries: seen.deliveries,
                first_at: seen.first_at,
                last_at: seen.last_at,
                reason: format!(
                    "no plugin handles it; its messages go to the DLQ {after} after they were sent{stands}"
                ),
            }
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by_key(|row| std::cmp::Reverse(row.last_at));
        listed
    }
}

fn is_over(since: UnixMs, time: Duration, now: UnixMs) -> bool {
    u128::from(now.0.saturating_sub(since.0)) >= time.as_millis()
}

fn span(time: Duration) -> impl std::fmt::Display {
    humantime_serde::re::humantime::format_duration(time)
}

#[cfg(test)]
mod tests;
