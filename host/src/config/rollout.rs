//! How a new version of a plugin is tried on a share of its messages.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use wasq_core::schema::Time;

use super::egress::Fault;

/// When a version on trial is taken for good, and when it is sent back. It holds for every plugin
/// with a `canary`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RolloutConfig {
    /// How long a version must do well before it takes all messages: 1 s to 7 days. Default 10 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub window: Duration,
    /// Runs on the new version below which nothing is decided: 1 to 1,000,000. Default 30.
    pub min_runs: u64,
    /// By how much more of its runs the new version may fail than the one before it: `0%` to
    /// `100%`. Default `10%`.
    #[schemars(extend("default" = "10%"))]
    pub failure_margin: Percent,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self { window: Duration::from_secs(10 * 60), min_runs: 30, failure_margin: Percent(10.0) }
    }
}

impl RolloutConfig {
    pub(super) fn fault(&self) -> Option<Fault> {
        let window = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 60 * 60);
        if !window.contains(&self.window) {
            return Some(("rollout.window".into(), format!("{:?}", self.window), "use 1 s to 7 days"));
        }
        let runs = !(1..=1_000_000).contains(&self.min_runs);
        runs.then(|| ("rollout.min_runs".into(), self.min_runs.to_string(), "use 1 to 1000000"))
    }
}

/// A share of a whole, written as `"10%"`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// From 0 to 1.
    pub fn ratio(self) -> f64 {
        self.0 / 100.0
    }

    fn parse(text: &str) -> Option<Self> {
        let number: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
        (0.0..=100.0).contains(&number).then_some(Self(number))
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(100(\.0*)?|\d{1,2}(\.\d*)?)\s*%$", "examples": ["10%"] })
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fault =
            || serde::de::Error::custom(format!("`{text}` is no percentage; write one as \"10%\", from 0% to 100%"));
        Self::parse(&text).ok_or_else(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_has_its_sign_and_its_bounds() {
        let check =
            |text: &str, expect: Option<f64>| assert_eq!(Percent::parse(text).map(Percent::ratio), expect, "{text}");
        check("10%", Some(0.1));
        check("0.5 %", Some(0.005));
        check("100%", Some(1.0));
        for wrong in ["10", "%", "101%", "-1%", "NaN%", "ten%", ""] {
            check(wrong, None);
        }
    }
}
