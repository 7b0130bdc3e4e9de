//! Which ticks are due, and which of them are sent. Pure.

use std::time::Duration;

use wasq_core::message::{Key, UnixMs};

use crate::config::{CatchUp, Rule};

/// A tick that is later than this was missed: no host was there.
const MISSED_AFTER_MS: u64 = 60_000;
/// Ticks whose messages are sent in one turn. With more of them there is another turn.
const SENT_MAX: usize = 100;

/// What becomes of the ticks up to now.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticks {
    pub sent: Vec<UnixMs>,
    /// The first of those that were missed and are not sent.
    pub skipped: Option<UnixMs>,
    /// The first one after all of these.
    pub next: Option<UnixMs>,
}

/// Looks at the ticks from `first` on. `due` says when a tick's message is to be sent, up to `jitter`
/// later.
pub fn ticks(
    rule: &Rule,
    catch_up: CatchUp,
    first: UnixMs,
    due: impl Fn(UnixMs) -> UnixMs,
    jitter: Duration,
    now: UnixMs,
) -> Ticks {
    let is_missed = |tick: UnixMs| due(tick).0.saturating_add(MISSED_AFTER_MS) < now.0;
    let mut found = Ticks { sent: Vec::new(), skipped: None, next: Some(first) };
    if catch_up != CatchUp::All && is_missed(first) {
        // There may be millions: those that are surely missed are not looked at one by one.
        let missed_until = UnixMs(now.0.saturating_sub(MISSED_AFTER_MS + jitter.as_millis() as u64 + 1));
        let last = rule.last_until(missed_until).filter(|last| *last > first).unwrap_or(first);
        found.skipped = Some(first);
        found.next = rule.next_after(last);
        if catch_up == CatchUp::Last {
            found.sent.push(last);
            found.skipped = (last > first).then_some(first);
        }
    }
    while let Some(tick) = found.next.filter(|tick| due(*tick) <= now)
        && found.sent.len() < SENT_MAX
    {
        match catch_up {
            CatchUp::None if is_missed(tick) => found.skipped = found.skipped.or(Some(tick)),
            // Of those that were missed only the last, and none if one comes in time.
            CatchUp::Last => {
                if let Some(missed) = found.sent.pop_if(|sent| is_missed(*sent)) {
                    found.skipped = found.skipped.or(Some(missed));
                }
                found.sent.push(tick);
            }
            CatchUp::None | CatchUp::All => found.sent.push(tick),
        }
        found.next = rule.next_after(tick);
    }
    found
}

/// When the message of a tick is sent: up to `jitter` later, and at the same time whichever host
/// sends it.
pub fn jittered(tick: UnixMs, name: &str, jitter: Duration) -> UnixMs {
    let jitter_ms = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
    if jitter_ms == 0 {
        return tick;
    }
    let Key(digest) = Key::derive(&[b"jitter", name.as_bytes(), &tick.0.to_le_bytes()]);
    let (draw, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    UnixMs(tick.0.saturating_add(u64::from_le_bytes(*draw) % jitter_ms))
}
