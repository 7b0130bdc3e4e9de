//! The time of the server, since hosts that share a table share no clock.
//!
//! DynamoDB cannot be asked for the time, but each of its answers says it, to the second, in the header `Date`. An answer
//! is tied to the host's monotonic clock, so that no jump of a wall clock matters: the server's clock stood at `Date` or up
//! to a second later when it answered, and that was after the request was sent and before the answer was there.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::UnixMs;

/// A `Date` is cut to its second (RFC 9110, 5.6.7).
const DATE_STEP: Duration = Duration::from_secs(1);

/// What is known of the server's clock, by its newest answer.
#[derive(Clone, Debug, Default)]
pub struct ServerTime(Arc<Mutex<Option<Answer>>>);

/// Bounds on what the server's clock shows, as time since 1970. It shows neither less than `earliest` nor more than `latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    earliest: Duration,
    latest: Duration,
}

impl Bounds {
    #[cfg(test)]
    pub fn new(earliest: Duration, latest: Duration) -> Self {
        Self { earliest, latest }
    }

    pub fn earliest(self) -> UnixMs {
        to_ms(self.earliest)
    }

    pub fn latest(self) -> UnixMs {
        to_ms(self.latest)
    }

    pub fn latest_us(self) -> u64 {
        u64::try_from(self.latest.as_micros()).unwrap_or(u64::MAX)
    }
}

fn to_ms(since_1970: Duration) -> UnixMs {
    UnixMs(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

/// An answer's `Date`, and when it was on its way by the host's monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Answer {
    date: Duration,
    sent: Instant,
    arrived: Instant,
}

impl ServerTime {
    /// The server's clock now. None before its first answer.
    pub fn now(&self) -> Option<Bounds> {
        self.at(clock::now())
    }

    fn at(&self, now: Instant) -> Option<Bounds> {
        self.newest().map(|Answer { date, sent, arrived }| Bounds {
            earliest: date.saturating_add(now.saturating_duration_since(arrived)),
            latest: date.saturating_add(DATE_STEP).saturating_add(now.saturating_duration_since(sent)),
        })
    }

    /// What a call carries so that its answers are learnt from.
    pub fn watch(&self) -> Watch {
        Watch { time: self.clone(), sent: Mutex::new(None) }
    }

    fn learn(&self, answer: Answer) {
        let mut newest = self.newest();
        if newest.is_none_or(|newest| newest.arrived <= answer.arrived) {
            *newest = Some(answer);
        }
    }

    fn newest(&self) -> MutexGuard<'_, Option<Answer>> {
        self.0.lock()
    }
}

/// Reads the time off the answers of one call, attempt by attempt.
#[derive(Debug)]
pub struct Watch {
    time: ServerTime,
    sent: Mutex<Option<Instant>>,
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "ServerTime"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.sent.lock() = Some(clock::now());
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let arrived = clock::now();
        let sent = self.sent.lock().take();
        let response = context.response();
        // A server error may come from something on the way, with a clock of its own.
        if response.status().is_server_error() {
            return Ok(());
        }
        if let (Some(sent), Some(date)) = (sent, response.headers().get("date").and_then(read_date)) {
            self.time.learn(Answer { date, sent, arrived });
        }
        Ok(())
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7), as time since 1970.
fn read_date(text: &str) -> Option<Duration> {
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_date_is_read() {
        let check = |text, expect: Option<u64>| assert_eq!(read_date(text), expect.map(Duration::from_secs), "{text}");
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Wed, 31 Dec 1969 23:59:59 GMT", None);
        check("yesterday", None);
        check("", None);
    }

    /// A request takes 30 ms there, and its answer 50 ms back. Whenever in its second the server answers, the true time
    /// lies within the bounds, and these are as wide as the second and the way.
    #[test]
    fn the_true_time_is_within_the_bounds() {
        let sent = clock::now();
        for true_ms in 100_000..101_000 {
            let date = Duration::from_secs(true_ms / 1000);
            let time = ServerTime::default();
            time.learn(Answer { date, sent, arrived: sent + ms(80) });
            for later in [80, 500, 100_000] {
                let bounds = time.at(sent + ms(later)).expect("there was an answer");
                let truth = UnixMs(true_ms + later - 30);
                assert!(bounds.earliest() <= truth && truth <= bounds.latest(), "{truth}: {bounds:?}");
                assert_eq!(bounds.latest().0 - bounds.earliest().0, 1080);
            }
        }
    }

    #[test]
    fn the_newest_answer_counts() {
        let start = clock::now();
        let time = ServerTime::default();
        assert_eq!(time.at(start), None);
        let answer = |date_s, arrived| Answer { date: Duration::from_secs(date_s), sent: start, arrived };
        time.learn(answer(100, start + ms(20)));
        time.learn(answer(50, start + ms(10)));
        assert_eq!(time.at(start + ms(20)).expect("there was an answer").earliest(), UnixMs(100_000));
    }
}
