//! How quickly the messages of a line go: what one that joins has to expect.

use std::time::Duration;

use tokio::time::Instant;

/// Of how many departures the mean is.
const MEAN_OF: u32 = 8;
/// One that takes far longer than the mean counts as so many times the mean, and a moment: what has
/// stood still for once is not slow.
const OUTLIER: u32 = 4;
const MOMENT: Duration = Duration::from_millis(20);

/// The times at which messages that waited have gone.
pub struct Departures {
    since: Instant,
    mean: Option<Duration>,
}

impl Departures {
    pub fn new(now: Instant) -> Self {
        Self { since: now, mean: None }
    }

    /// Nobody was in line so far: the time until now says nothing.
    pub fn begin(&mut self, now: Instant) {
        self.since = now;
    }

    /// The first in line goes.
    pub fn note(&mut self, now: Instant) {
        let interval = now.saturating_duration_since(self.since);
        let mean =
            self.mean.map_or(interval, |mean| (mean * (MEAN_OF - 1) + interval.min(mean * OUTLIER + MOMENT)) / MEAN_OF);
        (self.mean, self.since) = (Some(mean), now);
    }

    /// From one to the next, on average.
    pub fn interval(&self) -> Duration {
        self.mean.unwrap_or_default()
    }

    /// How long a message waits with so many before it.
    pub fn behind(&self, before: usize) -> Duration {
        let turns = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        self.interval().saturating_mul(turns)
    }

    /// For how long it is to be hidden at least. What stands still for long may do so for as long
    /// again.
    pub fn hide(&self, before: usize, now: Instant) -> Duration {
        self.behind(before).max(now.saturating_duration_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use wasq_core::clock;

    use super::*;

    #[test]
    fn a_message_expects_what_those_before_it_have_taken() {
        let (began, ms) = (clock::now(), Duration::from_millis);
        let mut departures = Departures::new(began);
        assert_eq!((departures.behind(9), departures.hide(9, began + ms(70))), (ms(0), ms(70)));
        for n in 1..=20 {
            departures.note(began + ms(100) * n);
        }
        assert_eq!((departures.interval(), departures.behind(3)), (ms(100), ms(400)));
        // Once it takes long: that changes the mean a little.
        departures.note(began + ms(60_000));
        assert_eq!(departures.interval(), ms((7 * 100 + 420) / 8));
        // Whoever joins an empty line has not waited yet.
        departures.begin(began + ms(90_000));
        assert_eq!(departures.hide(0, began + ms(90_050)), ms(140));
    }
}
