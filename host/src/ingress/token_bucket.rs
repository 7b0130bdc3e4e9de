//! How often something may happen: a bucket that fills with time, and from which each message takes
//! a token.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::Rate;

/// A bucket of as many tokens as one second of the rate has, at least one.
pub struct TokenBucket {
    rate: Rate,
    state: Mutex<(f64, Instant)>,
}

impl TokenBucket {
    pub fn new(rate: Rate, now: Instant) -> Self {
        let bucket = Self { rate, state: Mutex::new((0.0, now)) };
        bucket.state.lock().0 = bucket.burst();
        bucket
    }

    /// Takes so many tokens; or says how long until there are as many. What is more than the bucket
    /// holds is let in when it is full, and paid back before the next.
    pub fn take(&self, count: usize, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let (tokens, filled_at) = *state;
        let filled = (tokens + (now - filled_at).as_secs_f64() * self.per_s()).min(self.burst());
        let needed = (count as f64).min(self.burst());
        if filled < needed {
            *state = (filled, now);
            return Err(Duration::from_secs_f64((needed - filled) / self.per_s()));
        }
        *state = (filled - count as f64, now);
        Ok(())
    }

    fn per_s(&self) -> f64 {
        self.rate.per_second()
    }

    fn burst(&self) -> f64 {
        self.per_s().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lets_through_what_the_rate_says_and_says_when_there_is_more() {
        let now = wasq_core::clock::now();
        let at = |ms| now + Duration::from_millis(ms);
        let bucket = TokenBucket::new("10/s".parse().expect("a rate"), now);
        assert_eq!(bucket.take(10, at(0)), Ok(()));
        assert_eq!(bucket.take(1, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(1, at(100)), Ok(()));
        assert_eq!(bucket.take(25, at(1_200)), Ok(()), "more than it holds goes when it is full");
        assert_eq!(bucket.take(1, at(1_200)), Err(Duration::from_millis(1_600)), "and is paid back");
        let seldom = TokenBucket::new("30/m".parse().expect("a rate"), now);
        assert_eq!(seldom.take(1, at(0)), Ok(()));
        assert_eq!(seldom.take(1, at(0)), Err(Duration::from_secs(2)));
    }
}
