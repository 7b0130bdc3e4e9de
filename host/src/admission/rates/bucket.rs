//! One rate, or one key of one, on this host: the slots that it has taken, and the messages that
//! wait for one. Pure but for the messages' wakers: whoever calls says what time it is.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::slot::Slot;
use crate::admission::line::Line;
use crate::admission::returns::Returns;
use crate::quotas::rate_document::{AHEAD, Pace, Taken, WINDOW};

/// A slot can be used for so long after its time, and a run started in it for so long after that. A
/// busy host does not lose it; one that stood still does.
pub const GRACE: Duration = Duration::from_millis(150);
/// More slots are asked for when those in hand end within this time.
const REFILL: Duration = Duration::from_millis(300);
/// Hidden messages are shown again when they would have a slot within this time.
const SOON: Duration = Duration::from_secs(1);
/// The least time between two calls for one bucket.
const BETWEEN: Duration = Duration::from_millis(50);
/// The wait after a call that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Slots of a window from which on a busy host takes some for messages that are yet to come.
const BUSY_WINDOW: u128 = 4;

/// Slots in a row.
#[derive(Debug)]
struct Chunk {
    /// The time of the first.
    next: Instant,
    left: u32,
}

/// What happened with a bucket's slots so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub used: u64,
    /// Messages that were hidden because they would have waited for too long.
    pub hidden: u64,
    /// Slots that were taken and not used in time.
    pub lost: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.used += other.used;
        self.hidden += other.hidden;
        self.lost += other.lost;
    }
}

/// A bucket of slots.
pub struct Bucket {
    pub pace: Pace,
    chunks: VecDeque<Chunk>,
    pub line: Line<Slot>,
    pub returns: Returns,
    uses: Uses,
    /// Hosts that share the rate, as the ledger has it.
    pub hosts: u32,
    /// A call to the ledger is under way.
    pub is_asking: bool,
    /// No call before, and no slot is usable before, as far as the ledger has said.
    ask_at: Instant,
    usable_at: Instant,
    pub counts: Counts,
}

/// How often slots were used lately.
struct Uses {
    began: Instant,
    current: u32,
    before: u32,
}

impl Bucket {
    pub fn new(pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            chunks: VecDeque::new(),
            line: Line::default(),
            returns: Returns::new(now),
            uses: Uses { began: now, current: 0, before: 0 },
            hosts: 1,
            is_asking: false,
            ask_at: now,
            usable_at: now,
            counts: Counts::default(),
        }
    }

    /// Another limit holds from now on. Slots of the old one are not used.
    pub fn change_pace(&mut self, pace: Pace, now: Instant) {
        self.pace = pace;
        self.chunks.clear();
        self.returns = Returns::new(now);
        (self.ask_at, self.usable_at) = (now, now);
    }

    /// Whether a slot can be used now.
    pub fn is_ready(&mut self, now: Instant) -> bool {
        self.drop_late(now);
        self.chunks.front().is_some_and(|chunk| chunk.next <= now + self.pace.tolerance())
    }

    /// Uses a slot.
    pub fn use_slot(&mut self, now: Instant) -> Option<Slot> {
        if !self.is_ready(now) {
            return None;
        }
        let chunk = self.chunks.front_mut()?;
        let good_until = chunk.next.min(now) + GRACE * 2;
        chunk.next += self.pace.interval;
        chunk.left -= 1;
        if chunk.left == 0 {
            self.chunks.pop_front();
        }
        self.counts.used += 1;
        self.uses.note(now);
        Some(Slot { good_until })
    }

    /// Takes a slot back that was not used after all. It is good for no longer than it was.
    pub fn put_back(&mut self, slot: Slot) {
        self.counts.used -= 1;
        self.chunks.push_front(Chunk { next: slot.good_until - GRACE * 2, left: 1 });
    }

    /// Gives the slots that can be used to those who wait, the oldest message first.
    pub fn serve(&mut self, now: Instant) {
        while !self.line.is_empty()
            && let Some(slot) = self.use_slot(now)
        {
            if let Err(slot) = self.line.serve_first(slot) {
                self.put_back(slot);
                break;
            }
        }
    }

    /// Slots that are in hand.
    fn left(&self) -> u32 {
        self.chunks.iter().map(|chunk| chunk.left).sum()
    }

    /// How many slots the ledger should be asked for, and when.
    pub fn wants(&self, now: Instant) -> Option<(Instant, u32)> {
        if self.is_asking {
            return None;
        }
        // A host that is alone and uses most of the rate has slots ready for messages that are yet
        // to come. Of several hosts another could use them.
        let expected = self.uses.expected(now);
        let window = WINDOW.as_nanos() / self.pace.interval.as_nanos().max(1);
        let is_busy = self.hosts == 1 && window >= BUSY_WINDOW && u128::from(expected) * 2 >= window;
        let coming = if is_busy { expected } else { 0 };
        let wanted = (self.line.len() as u32).saturating_add(coming);
        let left = self.left();
        if wanted <= left {
            return None;
        }
        let ends_at = self.chunks.back().map(|chunk| chunk.next + self.pace.interval * chunk.left.saturating_sub(1));
        let at = ends_at.and_then(|ends_at| ends_at.checked_sub(REFILL)).map_or(now, |at| at.max(now));
        Some((at.max(self.ask_at), wanted - left))
    }

    /// When something is to be done next: slots to be used, or to be asked for.
    pub fn due_at(&self, now: Instant) -> Option<Instant> {
        let tolerance = self.pace.tolerance();
        let first = self.chunks.front().filter(|_| !self.line.is_empty());
        let usable = first.map(|chunk| chunk.next.checked_sub(tolerance).unwrap_or(now));
        usable.into_iter().chain(self.wants(now).map(|(at, _)| at)).min()
    }

    /// The ledger is asked now.
    pub fn ask(&mut self, now: Instant) {
        self.is_asking = true;
        self.ask_at = now + BETWEEN;
    }

    /// What the ledger said, counted from `asked_at`. Those who would wait for too long are hidden.
    pub fn answered(&mut self, taken: Taken, asked_at: Instant, now: Instant) {
        self.is_asking = false;
        match taken {
            Taken::Slots { first_in, count, hosts } => {
                self.hosts = hosts;
                self.add(asked_at + first_in, count);
                self.serve(now);
            }
            Taken::Later { ask_in, usable_in, hosts } => {
                self.hosts = hosts;
                self.ask_at = (asked_at + ask_in).max(now);
                self.usable_at = asked_at + usable_in;
            }
        }
        self.hide_who_waits_in_vain();
    }

    /// The ledger did not answer.
    pub fn failed(&mut self, now: Instant) {
        self.is_asking = false;
        self.ask_at = now + AGAIN;
    }

    /// While the ledger does not answer: this host's own share of the limit.
    pub fn take_share(&mut self, now: Instant) {
        let interval = self.shared_interval();
        let last = self.chunks.back().map(|chunk| chunk.next);
        let first = last.map_or(now, |last| (last + interval).max(now)).max(self.usable_at);
        let ends = now + AHEAD;
        let mut at = first;
        while at < ends {
            self.chunks.push_back(Chunk { next: at, left: 1 });
            at += interval;
        }
        // What follows is counted from the last, also when it is used.
        self.usable_at = at;
        self.serve(now);
    }

    fn add(&mut self, next: Instant, left: u32) {
        self.chunks.push_back(Chunk { next, left });
    }

    /// From one slot of this host's to the next, on average, while all hosts want some.
    pub fn shared_interval(&self) -> Duration {
        self.pace.interval.saturating_mul(self.hosts.max(1))
    }

    /// How long a message would wait with so many before it.
    pub fn wait_behind(&self, before: usize, now: Instant) -> Duration {
        let others = self.shared_interval().saturating_mul(u32::try_from(before).unwrap_or(u32::MAX));
        let first = match self.chunks.front() {
            Some(chunk) => chunk.next.saturating_duration_since(now + self.pace.tolerance()),
            None => self.usable_at.saturating_duration_since(now),
        };
        first.saturating_add(others)
    }

    /// How many more messages would have a slot soon.
    pub fn room(&self, now: Instant) -> usize {
        let first = self.wait_behind(self.line.len(), now);
        match SOON.checked_sub(first) {
            None => 0,
            Some(rest) => 1 + (rest.as_nanos() / self.shared_interval().as_nanos().max(1)) as usize,
        }
    }

    /// For how long a message is to be hidden that cannot wait here.
    pub fn hide(&mut self, is_returned: bool, hold: Duration, now: Instant) -> Duration {
        self.counts.hidden += 1;
        let least = self.wait_behind(self.line.len(), now);
        self.returns.book(is_returned, least, self.shared_interval(), hold, now)
    }

    fn hide_who_waits_in_vain(&mut self) {
        if self.chunks.is_empty() {
            let (first, interval) = (self.usable_at, self.shared_interval());
            self.line.hide_after(|before| {
                let before = u32::try_from(before).unwrap_or(u32::MAX);
                first.checked_add(interval.saturating_mul(before)).unwrap_or(first)
            });
        }
    }

    /// Slots whose time was too long ago are lost.
    fn drop_late(&mut self, now: Instant) {
        while let Some(chunk) = self.chunks.front_mut() {
            let late = now.saturating_duration_since(chunk.next + GRACE);
            if late.is_zero() {
                return;
            }
            let interval_ns = self.pace.interval.as_nanos().max(1);
            let lost = late.as_nanos().div_ceil(interval_ns).min(u128::from(chunk.left)) as u32;
            chunk.next += self.pace.interval * lost;
            chunk.left -= lost;
            self.counts.lost += u64::from(lost);
            if chunk.left == 0 {
                self.chunks.pop_front();
            }
        }
    }

    /// Whether nothing of it would be missed.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && !self.is_asking
    }
}

impl Uses {
    fn note(&mut self, now: Instant) {
        self.turn(now);
        self.current = self.current.saturating_add(1);
    }

    fn turn(&mut self, now: Instant) {
        let past = now.saturating_duration_since(self.began);
        if past >= WINDOW {
            self.before = if past < WINDOW * 2 { self.current } else { 0 };
            (self.current, self.began) = (0, now);
        }
    }

    /// Uses in a window, as many as there were lately.
    fn expected(&self, now: Instant) -> u32 {
        match now.saturating_duration_since(self.began) {
            past if past < WINDOW => self.before.max(self.current),
            past if past < WINDOW * 2 => self.current,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests;
