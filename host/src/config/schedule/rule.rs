//! When a schedule ticks. Pure: from a moment to the next one.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use wasq_core::message::UnixMs;

use super::local_time::LocalTime;

/// When a schedule ticks.
#[derive(Clone, Debug)]
pub enum Rule {
    Cron { cron: Box<Cron>, zone: TimeZone },
    Every(Duration),
}

/// The field that is wrong, its value, and the rule.
type Fault = (&'static str, String, String);

const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Where a rule that never ticks is told from one that seldom does: the 29th of February may be
/// eight years away.
const SOME_TIME: UnixMs = UnixMs(1_767_225_600_000);

impl Rule {
    pub fn cron(text: &str, zone: &str) -> Result<Self, Fault> {
        let zone = TimeZone::get(zone).map_err(|error| {
            let rule = format!("use a name of the IANA database, such as Europe/Berlin ({error})");
            ("timezone", format!("{zone:?}"), rule)
        })?;
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            let rule = format!(
                "cron has five fields (minute, hour, day of the month, month, day of the week), six with the second before \
                 them, or a name such as @daily ({error})"
            );
            ("cron", format!("{text:?}"), rule)
        })?;
        let rule = Self::Cron { cron: Box::new(cron), zone };
        match rule.next_after(SOME_TIME) {
            Some(_) => Ok(rule),
            None => Err(("cron", format!("{text:?}"), "it never fires: there is no such date".into())),
        }
    }

    pub fn every(every: Duration) -> Result<Self, Fault> {
        match (EVERY_MIN..=EVERY_MAX).contains(&every) {
            true => Ok(Self::Every(every)),
            false => Err(("every", format!("{every:?}"), "use 1 s to 366 days".into())),
        }
    }

    /// The shortest time between two ticks, as far as some hundred of them show it.
    pub fn shortest_interval(&self) -> Option<Duration> {
        let mut last = self.next_after(SOME_TIME)?;
        let mut interval = || {
            let next = self.next_after(last)?;
            Some(Duration::from_millis(next.0 - std::mem::replace(&mut last, next).0))
        };
        std::iter::from_fn(&mut interval).take(100).min()
    }

    /// The last tick up to a moment, itself included; none where there was none.
    pub fn last_until(&self, until: UnixMs) -> Option<UnixMs> {
        match self {
            Self::Every(every) => {
                let every_ms = u64::try_from(every.as_millis()).ok()?;
                Some(UnixMs(until.0 / every_ms * every_ms))
            }
            Self::Cron { cron, zone } => {
                let last = cron.find_previous_occurrence(&local_time(until, zone)?, true).ok()?;
                u64::try_from(last.0.timestamp().as_millisecond()).ok().map(UnixMs)
            }
        }
    }

    /// The first tick after a moment; none where no more follow.
    pub fn next_after(&self, after: UnixMs) -> Option<UnixMs> {
        match self {
            Self::Every(every) => {
                let every_ms = u64::try_from(every.as_millis()).ok()?;
                Some(UnixMs((after.0 / every_ms).checked_add(1)?.checked_mul(every_ms)?))
            }
            Self::Cron { cron, zone } => {
                let next = cron.find_next_occurrence(&local_time(after, zone)?, false).ok()?;
                u64::try_from(next.0.timestamp().as_millisecond()).ok().map(UnixMs)
            }
        }
    }
}

/// A moment's second: cron counts in whole ones.
fn local_time(at: UnixMs, zone: &TimeZone) -> Option<LocalTime> {
    let second = i64::try_from(at.0 / 1_000).ok()?;
    Some(LocalTime(Timestamp::from_second(second).ok()?.to_zoned_datetime(zone.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().expect("a time").as_millisecond() as u64)
    }

    /// The ticks after a moment, as times in UTC.
    fn ticks(rule: &Rule, after: &str, count: usize) -> Vec<String> {
        let mut last = at(after);
        let next = || {
            last = rule.next_after(last)?;
            Some(Timestamp::from_millisecond(last.0 as i64).expect("a time").to_string())
        };
        std::iter::from_fn(next).take(count).collect()
    }

    fn berlin(cron: &str) -> Rule {
        Rule::cron(cron, "Europe/Berlin").expect("it is a rule")
    }

    #[test]
    fn cron_has_five_fields_or_six_or_a_name() {
        let check = |cron: &str, after, expect: &[&str]| {
            let rule = Rule::cron(cron, "UTC").expect("it is a rule");
            assert_eq!(ticks(&rule, after, expect.len()), expect, "{cron}");
        };
        check("0 2 * * *", "2026-12-30T02:00:00Z", &["2026-12-31T02:00:00Z", "2027-01-01T02:00:00Z"]);
        check("*/20 * * * * *", "2026-12-31T23:59:30.5Z", &["2026-12-31T23:59:40Z", "2027-01-01T00:00:00Z"]);
        check("30 6 * * MON-FRI", "2026-11-27T07:00:00Z", &["2026-11-30T06:30:00Z", "2026-12-01T06:30:00Z"]);
        check("0 0 1 jan,jul *", "2026-12-01T00:00:00Z", &["2027-01-01T00:00:00Z", "2027-07-01T00:00:00Z"]);
        check("0 0 29 2 *", "2096-02-29T00:00:00Z", &["2104-02-29T00:00:00Z"]);
        check("0 9 * * 7", "2026-11-30T00:00:00Z", &["2026-12-06T09:00:00Z"]);
        check("@daily", "2026-12-01T00:00:00Z", &["2026-12-02T00:00:00Z"]);
        check("@hourly", "2026-12-01T00:00:00.001Z", &["2026-12-01T01:00:00Z"]);
        check("@weekly", "2026-12-01T00:00:00Z", &["2026-12-06T00:00:00Z"]);
        check("@monthly", "2026-12-01T00:00:00Z", &["2027-01-01T00:00:00Z"]);
        check("@yearly", "2026-12-01T00:00:00Z", &["2027-01-01T00:00:00Z"]);
    }

    /// In Berlin the clock goes from 2:00 to 3:00 on 28 March 2027: there is no 2:30.
    #[test]
    fn an_hour_that_summer_time_skips() {
        let nightly = ticks(&berlin("30 2 * * *"), "2027-03-27T12:00:00Z", 2);
        assert_eq!(nightly, ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"], "right after the hour that is not there");
        let twice = ticks(&berlin("0,30 2 * * *"), "2027-03-27T12:00:00Z", 1);
        assert_eq!(twice, ["2027-03-29T00:00:00Z"], "of several minutes none, in the night that has no such hour");
        let often = ticks(&berlin("*/30 * * * *"), "2027-03-28T00:00:00Z", 3);
        assert_eq!(often, ["2027-03-28T00:30:00Z", "2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z"], "each half hour");
    }

    /// In Berlin the clock goes from 3:00 back to 2:00 on 25 October 2026: there are two 2:30.
    #[test]
    fn an_hour_that_summer_time_repeats() {
        let nightly = ticks(&berlin("30 2 * * *"), "2026-10-24T12:00:00Z", 2);
        assert_eq!(nightly, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"], "the first of the two");
        let often = ticks(&berlin("*/30 * * * *"), "2026-10-25T00:00:00Z", 4);
        let expect = ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"];
        assert_eq!(often, expect, "each half hour, in both of the hours");
    }

    #[test]
    fn every_counts_from_1970() {
        let rule = Rule::every(Duration::from_secs(600)).expect("it is a rule");
        assert_eq!(ticks(&rule, "2026-12-01T00:00:01Z", 2), ["2026-12-01T00:10:00Z", "2026-12-01T00:20:00Z"]);
        assert_eq!(ticks(&rule, "2026-12-01T00:10:00Z", 1), ["2026-12-01T00:20:00Z"]);
        assert_eq!(rule.next_after(UnixMs(u64::MAX)), None);
    }
}
