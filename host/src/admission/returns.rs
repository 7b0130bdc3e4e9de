//! When hidden messages come back: spread over time as the slots or permits are that wait for them.
//!
//! Messages that come back once more have a line of their own, which is short: they come in as
//! slowly as they were let go. So they are hidden for less long than new ones, and are in hand, and
//! before those, when there are slots.

use std::time::Duration;

use tokio::time::Instant;

/// What is booked so far.
pub struct Returns {
    /// When the next message comes back that came for the first time.
    new: Instant,
    /// When the next one does that has come back before.
    again: Instant,
}

impl Returns {
    pub fn new(now: Instant) -> Self {
        Self { new: now, again: now }
    }

    /// For how long a message is hidden: `least` or longer, and never longer than `hold`.
    pub fn book(
        &mut self,
        is_returned: bool,
        least: Duration,
        interval: Duration,
        hold: Duration,
        now: Instant,
    ) -> Duration {
        let tail = if is_returned { &mut self.again } else { &mut self.new };
        let at = (*tail).max(now + least.min(hold)).min(now + hold);
        *tail = at + interval.min(hold);
        at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use wasq_core::clock;

    use super::*;

    #[test]
    fn hidden_messages_come_back_one_after_the_other_and_old_ones_before_new_ones() {
        let (now, ms) = (clock::now(), Duration::from_millis);
        let mut returns = Returns::new(now);
        let mut book = |is_returned| returns.book(is_returned, ms(100), ms(10), ms(150), now).as_millis();
        assert_eq!([book(false), book(false), book(false)], [100, 110, 120]);
        assert_eq!([book(true), book(true)], [100, 110]);
        assert_eq!([book(false), book(false), book(false), book(false)], [130, 140, 150, 150], "never longer");
    }

    #[test]
    fn what_nothing_was_booked_for_lately_begins_anew() {
        let (now, ms) = (clock::now(), Duration::from_millis);
        let mut returns = Returns::new(now);
        assert_eq!(returns.book(false, ms(0), ms(1_000), ms(5_000), now), ms(0));
        assert_eq!(returns.book(false, ms(0), ms(1_000), ms(5_000), now + ms(4_000)), ms(0));
        assert_eq!(returns.book(false, ms(9_000), ms(1_000), ms(5_000), now), ms(5_000), "never longer");
    }
}
