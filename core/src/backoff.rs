//! The wait before something that has failed is tried again.

use std::time::Duration;

use crate::clock;

/// Waits that double with each failure in a row, from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// # Panics
    /// When the first wait is none, or longer than the longest. Of a constant the compiler says so.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        assert!(!first.is_zero(), "a backoff begins with a wait");
        assert!(first.as_nanos() <= longest.as_nanos(), "a backoff's first wait is at most its longest");
        Self { first, longest }
    }

    pub const fn first(self) -> Duration {
        self.first
    }

    pub const fn longest(self) -> Duration {
        self.longest
    }

    /// The wait after so many failures in a row, counted from 1.
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// A uniform draw from [d, 1.5 d], where d is the wait after so many failures: what failed
    /// together is not tried again together.
    pub fn jittered(self, failures: u32) -> Duration {
        clock::jittered(self.after(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_the_first_to_the_longest() {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
        let waits: Vec<_> = [0, 1, 2, 3, 4, 5, 6, 1_000, u32::MAX].map(|n| backoff.after(n).as_millis()).into();
        assert_eq!(waits, [200, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000]);
        let long = Backoff::new(Duration::from_secs(1), Duration::MAX);
        assert_eq!(long.after(40), Duration::from_secs(1 << 31));
    }

    #[test]
    fn jitter_makes_a_wait_at_most_half_longer() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        for _ in 0..100 {
            let wait = backoff.jittered(3);
            assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_millis(1_500), "{wait:?}");
        }
    }

    #[test]
    #[should_panic(expected = "at most its longest")]
    fn a_first_wait_over_the_longest_is_refused() {
        let _ = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
    }
}
