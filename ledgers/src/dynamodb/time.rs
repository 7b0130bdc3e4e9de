//! The time of the server, since hosts that share a table share no clock.
//!
//! DynamoDB cannot be asked for the time, but each of its answers says it, to the second, in the
//! header `Date`. An answer is tied to the host's monotonic clock, so that no jump of a wall clock
//! matters: the server's clock stood at `Date` or up to a second later when it answered, and that
//! was after the request was sent and before the answer was there.

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

/// Bounds on what the server's clock shows, as time since 1970. It shows neither less than
/// `earliest` nor more than `latest`.
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

    /// The best guess.
    pub fn middle(self) -> UnixMs {
        to_ms(self.earliest + self.latest.saturating_sub(self.earliest) / 2)
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

    /// Learns from an answer that is here now, to a request that was sent then.
    pub fn learn_from(&self, sent: Instant, is_server_error: bool, date: Option<&str>) {
        let arrived = clock::now();
        // A server error may come from something on the way, with a clock of its own.
        if is_server_error {
            return;
        }
        if let Some(date) = date.and_then(read_date) {
            self.learn(Answer { date, sent, arrived });
        }
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
        let response = context.response();
        if let Some(sent) = self.sent.lock().take() {
            self.time.learn_from(sent, response.status().is_server_error(), response.headers().get("date"));
        }
        Ok(())
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7), as time since 1970.
fn read_date(text: &str) -> Option<Duration> {
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests;
