//! Backoff: how long a failed message stays hidden.

use std::time::Duration;

use crate::plugins::manifest::Retry;

/// The delay after the `attempt`-th failure: exponential up to the maximum, with half jitter, a
/// uniform draw from [d/2, d]. `draw` is that draw, in [0, 1).
pub fn backoff(retry: &Retry, attempt: u32, draw: f64) -> Duration {
    let exponent = attempt.saturating_sub(1).min(64);
    let full_s = retry.initial_interval.as_secs_f64() * retry.backoff_coefficient.powi(exponent as i32);
    let capped_s = full_s.min(retry.maximum_interval.as_secs_f64());
    Duration::from_secs_f64(capped_s * (0.5 + draw.clamp(0.0, 1.0) / 2.0))
}

/// A visibility for SQS: whole seconds, rounded up so that a short delay is not none, and never
/// past `room`, what is left of the 12 hours since receipt.
pub fn visibility_s(delay: Duration, room: Duration) -> u32 {
    let whole = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
    // A second of `room` is kept for the call's own way: asking for more than is left is an error,
    // not a clamp.
    whole.min(room.as_secs().saturating_sub(1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_maximum_and_stays_within_half_jitter() {
        let retry = Retry::default();
        let check = |attempt, draw, expect_ms: u128| {
            assert_eq!(backoff(&retry, attempt, draw).as_millis(), expect_ms, "attempt {attempt}, draw {draw}");
        };
        check(1, 1.0, 1_000);
        check(1, 0.0, 500);
        check(2, 1.0, 2_000);
        check(4, 0.5, 6_000);
        check(11, 1.0, 900_000);
        check(u32::MAX, 0.0, 450_000);
        check(0, 1.0, 1_000);
        check(1, 7.0, 1_000);
        check(1, -7.0, 500);
    }

    #[test]
    fn grows_by_its_coefficient_from_its_first_interval() {
        let retry =
            Retry { initial_interval: Duration::from_millis(100), backoff_coefficient: 3.0, ..Retry::default() };
        let check = |attempt, expect_ms: u128| {
            assert_eq!(backoff(&retry, attempt, 1.0).as_millis(), expect_ms, "attempt {attempt}");
        };
        check(1, 100);
        check(2, 300);
        check(5, 8_100);
        let at_once = Retry { initial_interval: Duration::ZERO, ..retry };
        assert_eq!(backoff(&at_once, 9, 1.0), Duration::ZERO);
    }

    #[test]
    fn visibility_is_whole_seconds_within_the_room() {
        let room = Duration::from_secs(12 * 3600);
        let check = |delay, expect| assert_eq!(visibility_s(delay, room), expect, "{delay:?}");
        check(Duration::ZERO, 0);
        check(Duration::from_millis(1), 1);
        check(Duration::from_millis(1500), 2);
        check(Duration::from_secs(12 * 3600 - 1), 12 * 3600 - 1);
        check(Duration::from_secs(12 * 3600), 12 * 3600 - 1);
        check(Duration::MAX, 12 * 3600 - 1);
        assert_eq!(visibility_s(Duration::from_secs(20), Duration::from_millis(10_900)), 9);
        assert_eq!(visibility_s(Duration::from_secs(20), Duration::ZERO), 0);
    }
}
