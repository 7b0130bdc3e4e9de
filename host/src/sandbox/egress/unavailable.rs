//! What an answer says of its server: unavailable, and for how long.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;
use wasq_core::message::UnixMs;

/// A `Retry-After` that is longer is cut: one hour.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Whether the answer says that its server is unavailable; then its `Retry-After`, if it has one
/// that can be read.
pub fn unavailable<B>(response: &http::Response<B>, now: UnixMs) -> Option<Option<Duration>> {
    let status = response.status();
    if status != StatusCode::SERVICE_UNAVAILABLE && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let value = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Some(value.and_then(|value| retry_after(value.trim(), now)))
}

/// Seconds, or a date (RFC 9110, 10.2.3). A date that is past means now.
pub fn retry_after(value: &str, now: UnixMs) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number takes are a long time too.
        return Some(value.parse().map_or(RETRY_AFTER_MAX, |s| Duration::from_secs(s).min(RETRY_AFTER_MAX)));
    }
    let at_ms = u64::try_from(date_ms(value)?).unwrap_or_default();
    Some(Duration::from_millis(at_ms.saturating_sub(now.0)).min(RETRY_AFTER_MAX))
}

/// A date in one of the three forms that a recipient must read (RFC 9110, 5.6.7), in ms since 1970.
/// The crate `httpdate` refuses dates before 1970, and a date that is past means now.
fn date_ms(value: &str) -> Option<i64> {
    if let Ok(timestamp) = DateTimeParser::new().parse_timestamp(value) {
        return Some(timestamp.as_millisecond());
    }
    let obsolete = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let time = obsolete.iter().find_map(|form| DateTime::strptime(form, value).ok())?;
    Some(TimeZone::UTC.to_timestamp(time).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06 08:49:37 UTC, the date of RFC 9110's examples.
    const THEN: UnixMs = UnixMs(784_111_777_000);

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_an_hour() {
        let check = |value: &str, expect_s: Option<u64>| {
            assert_eq!(retry_after(value, THEN), expect_s.map(Duration::from_secs), "{value}");
        };
        check("0", Some(0));
        check("120", Some(120));
        check("3601", Some(3_600));
        check("18446744073709551616", Some(3_600));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sunday, 06-Nov-94 08:50:37 GMT", Some(60));
        check("Sun Nov  6 08:50:37 1994", Some(60));
        check("Sun, 06 Nov 1994 07:00:00 GMT", Some(0));
        check("Thu, 01 Jan 1880 00:00:00 GMT", Some(0));
        check("Fri, 31 Dec 2100 23:59:59 GMT", Some(3_600));
        for bad in ["", "-1", "1.5", "soon", "tomorrow, 10:00", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            check(bad, None);
        }
    }

    #[test]
    fn only_429_and_503_say_that_a_server_is_unavailable() {
        let check = |status: u16, expect: Option<Option<Duration>>| {
            let response = http::Response::builder().status(status).header("Retry-After", "7").body(()).unwrap();
            assert_eq!(unavailable(&response, THEN), expect, "{status}");
        };
        let seven = Some(Some(Duration::from_secs(7)));
        check(429, seven);
        check(503, seven);
        for status in [200, 301, 404, 500, 502, 504] {
            check(status, None);
        }
        let bare = http::Response::builder().status(503).body(()).unwrap();
        assert_eq!(unavailable(&bare, THEN), Some(None));
    }
}
