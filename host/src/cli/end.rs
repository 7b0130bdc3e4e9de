//! When something that an operator sets is over, as a command line says it.

use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};
use wasq_core::message::UnixMs;

use super::dlq::duration;

/// An end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    After(Duration),
    At(UnixMs),
}

impl End {
    pub fn from(self, now: UnixMs) -> UnixMs {
        match self {
            Self::After(wait) => wasq_ledgers::entry::after(now, wait),
            Self::At(at) => at,
        }
    }
}

/// A duration, a time of day, or a time: with a zone, or in this machine's.
pub fn end(text: &str) -> Result<End, String> {
    end_at(text, &ZonedDateTime::now())
}

fn end_at(text: &str, now: &ZonedDateTime) -> Result<End, String> {
    if let Ok(wait) = duration(text) {
        return Ok(End::After(wait));
    }
    let zoned = || text.parse::<Timestamp>().ok();
    let in_zone = |time: DateTime, zone: TimeZone| time.to_zoned_datetime(zone).ok().map(|time| time.timestamp());
    let local = || in_zone(text.parse().ok()?, now.time_zone().clone());
    let time = time_of_day(text, now).or_else(zoned).or_else(local);
    let time = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    let hint = "write a duration, as 90s or 2h, or a time, as 18:00 or 2026-11-27T18:00Z";
    time.map(|ms| End::At(UnixMs(ms))).ok_or_else(|| hint.to_owned())
}

/// The next time that a clock on the wall shows this.
fn time_of_day(text: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    let time = Time::strptime("%H:%M", text).or_else(|_| Time::strptime("%H:%M:%S", text)).ok()?;
    let today = now.with().time(time).build().ok()?;
    let next = if today > *now { today } else { today.checked_add(Span::new().days(1)).ok()? };
    Some(next.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<End, ()>) {
        let now: ZonedDateTime = "2026-11-27T12:00[Europe/Berlin]".parse().unwrap();
        assert_eq!(end_at(text, &now).map_err(drop), expect, "{text}");
    }

    fn at(text: &str) -> Result<End, ()> {
        Ok(End::At(UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond() as u64)))
    }

    #[test]
    fn an_end_is_a_duration_or_a_time() {
        check("2h 30m", Ok(End::After(Duration::from_secs(9_000))));
        check("1970-01-01T00:01Z", at("1970-01-01T00:01Z"));
        check("1970-01-01T02:01:00+02:00", at("1970-01-01T00:01Z"));
        check("2026-11-28 18:00", at("2026-11-28T17:00Z"));
        for wrong in ["", "soon", "18", "2026-13-01T00:00Z", "24:00", "18:60"] {
            check(wrong, Err(()));
        }
        assert_eq!(End::After(Duration::from_secs(1)).from(UnixMs(5)), UnixMs(1_005));
    }

    #[test]
    fn a_time_of_day_is_the_next_one() {
        check("18:00", at("2026-11-27T17:00Z"));
        check("18:00:30", at("2026-11-27T17:00:30Z"));
        check("12:00", at("2026-11-28T11:00Z"));
        check("09:30", at("2026-11-28T08:30Z"));
    }
}
