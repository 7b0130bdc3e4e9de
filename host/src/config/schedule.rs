//! Schedules: messages that are sent again and again, at times that the config names.

mod local_time;
mod rule;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_core::schema::Time;

pub use rule::Rule;

use super::Config;

/// A message that is sent at each tick of a rule: one message a tick, however many hosts there are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// When it ticks, as cron writes it: five fields, or six with seconds first; or `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`, `@yearly`. Either this or `every`.
    pub cron: Option<String>,
    /// The time zone of `cron`, by its IANA name. Default `UTC`.
    #[serde(default = "utc")]
    pub timezone: String,
    /// It ticks whenever so much time has passed, counted from 1970: 1 s to 366 days.
    #[serde(default, with = "humantime_serde")]
    #[schemars(with = "Option<Time>")]
    pub every: Option<Duration>,
    /// The queue that the messages are sent to: a name in `queues` or `outlets`.
    pub queue: String,
    /// Their type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Their body: text, or a table that becomes JSON. Default `{}`.
    #[serde(default = "default_body")]
    #[schemars(with = "TextOrTable")]
    pub body: toml::Value,
    /// Their message group, for a FIFO queue. Default: the schedule's name.
    pub group: Option<String>,
    /// What becomes of ticks at which no host was there. Default `last`.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Each message is sent up to so much later than its tick; which is the same on all hosts.
    /// Default 0 s, at most 24 h.
    #[serde(default, with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub jitter: Duration,
}

/// What a body is, for its schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the schema is made of it; no value has this type")]
enum TextOrTable {
    Text(String),
    Table(BTreeMap<String, serde_json::Value>),
}

fn utc() -> String {
    "UTC".into()
}

fn default_body() -> toml::Value {
    toml::Value::Table(toml::Table::new())
}

/// What becomes of ticks at which no host was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// One message, for the last of them.
    #[default]
    Last,
    /// A message for each.
    All,
    /// Nothing.
    None,
}

/// The longest jitter.
const JITTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a schedule's name.
const NAME_MAX_BYTES: usize = 128;

impl ScheduleConfig {
    /// When it ticks.
    ///
    /// # Errors
    /// The field that says nothing that can be, its value, and the rule.
    pub fn rule(&self) -> Result<Rule, (&'static str, String, String)> {
        match (&self.cron, self.every) {
            (Some(cron), None) => Rule::cron(cron, &self.timezone),
            (None, Some(_)) if self.timezone != utc() => {
                Err(("timezone", "set beside `every`".into(), "a time zone belongs to `cron`; take one away".into()))
            }
            (None, Some(every)) => Rule::every(every),
            (Some(_), Some(_)) => {
                Err(("every", "set beside `cron`".into(), "a schedule has one of them; take one away".into()))
            }
            (None, None) => Err(("cron", "not there".into(), "say when it ticks, with `cron` or with `every`".into())),
        }
    }

    /// When it ticks, for people.
    pub fn rule_in_words(&self) -> String {
        match (&self.cron, self.every) {
            (Some(cron), _) => format!("{cron} {}", self.timezone),
            (None, Some(every)) => format!("every {}", humantime_serde::re::humantime::format_duration(every)),
            (None, None) => String::new(),
        }
    }

    /// The body as it is sent.
    pub fn body(&self) -> String {
        match &self.body {
            toml::Value::String(text) => text.clone(),
            other => serde_json::to_string(other).unwrap_or_default(),
        }
    }
}

impl Config {
    /// Whether a queue or an outlet of this name is a FIFO queue.
    pub fn is_fifo(&self, name: &str) -> bool {
        self.location(name).is_some_and(|location| location.is_fifo())
    }

    /// What is wrong with a schedule: key, value and rule.
    pub(super) fn schedule_fault(&self) -> Option<(String, String, String)> {
        self.schedules.iter().find_map(|(name, schedule)| {
            let fault = |field: &str, value: &str, rule: &str| {
                Some((format!("schedules.{name}.{field}"), value.to_owned(), rule.to_owned()))
            };
            if name.is_empty() || name.len() > NAME_MAX_BYTES {
                let rule = format!("a schedule's name has 1 to {NAME_MAX_BYTES} bytes");
                return Some((format!("schedules.{name}"), format!("a name of {} bytes", name.len()), rule));
            }
            if let Err((field, value, rule)) = schedule.rule() {
                return fault(field, &value, &rule);
            }
            if !self.queues.contains_key(&schedule.queue) && !self.outlets.contains_key(&schedule.queue) {
                let rule = format!("add [queues.{0}], or [outlets.{0}] if it is only sent to", schedule.queue);
                return fault("queue", &format!("{:?}", schedule.queue), &rule);
            }
            if schedule.kind.is_empty() {
                return fault("type", "empty", "name the messages' type");
            }
            if !matches!(schedule.body, toml::Value::String(_) | toml::Value::Table(_)) {
                return fault("body", schedule.body.type_str(), "write text, or a table that becomes JSON");
            }
            if schedule.body().is_empty() {
                return fault("body", "empty", "no queue on SQS takes an empty body; leave it out for `{}`");
            }
            if schedule.jitter > JITTER_MAX {
                return fault("jitter", &format!("{:?}", schedule.jitter), "use at most 24 h");
            }
            let shortest = schedule.rule().ok().and_then(|rule| rule.shortest_interval());
            if let Some(shortest) = shortest.filter(|shortest| schedule.jitter >= *shortest) {
                let rule = format!("use less than the time between two ticks, which may be {shortest:?}");
                return fault("jitter", &format!("{:?}", schedule.jitter), &rule);
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(schedule: &str) -> String {
        let text = format!("[queues.jobs]\n[schedules.nightly]\n{schedule}");
        let parsed = Config::parse(&text, std::path::Path::new("wasq.toml"));
        parsed.expect_err("it cannot be taken").to_string()
    }

    #[test]
    fn what_says_nothing_that_can_be_is_refused_by_its_key_and_line() {
        let check = |schedule: &str, parts: &[&str]| {
            let error = refused(schedule);
            assert!(parts.iter().all(|part| error.contains(part)), "{schedule}: {error}");
        };
        let rest = "queue = 'jobs'\ntype = 't'";
        check(&format!("cron = '0 2 31 2 *'\n{rest}"), &["line 3", "schedules.nightly.cron", "never"]);
        check(&format!("cron = 'at two'\n{rest}"), &["schedules.nightly.cron", "at two"]);
        check(&format!("cron = '0 2 * *'\n{rest}"), &["schedules.nightly.cron", "five fields"]);
        check(&format!("cron = '0 2 * * *'\ntimezone = 'Europe/Berlyn'\n{rest}"), &["line 4", "timezone", "Berlyn"]);
        check(&format!("every = '10m'\ntimezone = 'Europe/Berlin'\n{rest}"), &["timezone"]);
        check(&format!("every = '10m'\ncron = '@daily'\n{rest}"), &["every", "one of them"]);
        check(rest, &["cron", "every"]);
        check(&format!("every = '10ms'\n{rest}"), &["every", "1 s"]);
        check(&format!("every = '500days'\n{rest}"), &["every", "366"]);
        check("every = '1h'\nqueue = 'mail'\ntype = 't'", &["line 4", "schedules.nightly.queue", "outlets.mail"]);
        check("every = '1h'\nqueue = 'jobs'\ntype = ''", &["type"]);
        check(&format!("every = '1h'\njitter = '2days'\n{rest}"), &["jitter", "24 h"]);
        check(&format!("every = '1h'\njitter = '1h'\n{rest}"), &["jitter", "3600s"]);
        check(&format!("cron = '0,5 2 * * *'\njitter = '10m'\n{rest}"), &["jitter", "300s"]);
        check(&format!("every = '1h'\nbody = ''\n{rest}"), &["body"]);
        check(&format!("every = '1h'\nbody = 1\n{rest}"), &["body", "integer", "table"]);
        check(&format!("every = '1h'\ncatchup = 'all'\n{rest}"), &["catch_up"]);
    }

    #[test]
    fn a_body_is_text_or_a_table() {
        let body = |line: &str| {
            let text = format!("[queues.jobs]\n[schedules.s]\nevery = '1h'\nqueue = 'jobs'\ntype = 't'\n{line}");
            let config = Config::parse(&text, std::path::Path::new("wasq.toml")).expect("it is a config");
            config.schedules["s"].body()
        };
        assert_eq!(body(""), "{}");
        assert_eq!(body("body = 'as it is'"), "as it is");
        assert_eq!(body("body = { kind = 'full', days = [1, 2] }"), r#"{"days":[1,2],"kind":"full"}"#);
    }
}
