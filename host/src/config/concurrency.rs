//! How many deliveries of a queue a host has in hand at once: so many, or as many as do not slow
//! its handlers down.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What `concurrency = "auto"` is between.
const AUTO_MIN: usize = 4;
const AUTO_MAX: usize = 256;
/// The most that it may be.
const MOST: usize = 10_000;

/// Deliveries of one queue in hand at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    Fixed(usize),
    /// Found by how long runs take ([`crate::admission::auto_limit`]), between these.
    Auto {
        min: usize,
        max: usize,
    },
}

impl Concurrency {
    pub const DEFAULT: Self = Self::Fixed(64);

    /// The most that there ever are.
    pub fn max(self) -> usize {
        match self {
            Self::Fixed(limit) | Self::Auto { max: limit, .. } => limit,
        }
    }

    /// What is wrong with it: the value, and the rule.
    pub fn fault(self) -> Option<(String, &'static str)> {
        let is_within = |limit: usize| (1..=MOST).contains(&limit);
        match self {
            Self::Fixed(limit) if !is_within(limit) => Some((limit.to_string(), "use 1 to 10000, or \"auto\"")),
            Self::Auto { min, max } if !(is_within(min) && is_within(max) && min < max) => Some((
                format!("{{ min = {min}, max = {max} }}"),
                "use 1 to 10000, and a min below the max: \"auto\" finds the limit between them",
            )),
            Self::Fixed(_) | Self::Auto { .. } => None,
        }
    }
}

impl Default for Concurrency {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<usize> for Concurrency {
    fn from(limit: usize) -> Self {
        Self::Fixed(limit)
    }
}

impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrAuto)
    }
}

impl JsonSchema for Concurrency {
    fn schema_name() -> Cow<'static, str> {
        "Concurrency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Deliveries of one queue in hand at once: a number, `auto`, or the bounds of `auto`.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": MOST },
                { "type": "string", "const": "auto" },
                Bounds::json_schema(generator),
            ],
        })
    }
}

/// The bounds of `auto` as a table.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bounds {
    /// The fewest deliveries. Default 4.
    #[serde(default = "auto_min")]
    min: usize,
    /// The most deliveries: more than `min`, at most 10,000. Default 256.
    #[serde(default = "auto_max")]
    max: usize,
}

fn auto_min() -> usize {
    AUTO_MIN
}

fn auto_max() -> usize {
    AUTO_MAX
}

struct NumberOrAuto;

impl<'de> Visitor<'de> for NumberOrAuto {
    type Value = Concurrency;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, \"auto\", or a table, as { min = 4, max = 256 }")
    }

    fn visit_i64<E: Error>(self, limit: i64) -> Result<Concurrency, E> {
        let limit = usize::try_from(limit).map_err(|_| E::custom(format!("{limit} deliveries in hand are none")))?;
        Ok(Concurrency::Fixed(limit))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Concurrency, E> {
        match text {
            "auto" => Ok(Concurrency::Auto { min: AUTO_MIN, max: AUTO_MAX }),
            other => Err(E::invalid_type(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Concurrency, M::Error> {
        let Bounds { min, max } = Bounds::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Concurrency::Auto { min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(value: &str) -> Result<Concurrency, String> {
        let parsed = Config::parse(&format!("[queues.jobs]\nconcurrency = {value}"), std::path::Path::new("wasq.toml"));
        parsed.map(|config| config.queues["jobs"].concurrency).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_a_number_or_found_between_bounds() {
        assert_eq!(parse("9"), Ok(Concurrency::Fixed(9)));
        assert_eq!(parse("'auto'"), Ok(Concurrency::Auto { min: 4, max: 256 }));
        assert_eq!(parse("{ min = 2, max = 16 }"), Ok(Concurrency::Auto { min: 2, max: 16 }));
        assert_eq!(parse("{ max = 64 }"), Ok(Concurrency::Auto { min: 4, max: 64 }));
    }

    #[test]
    fn what_can_be_no_limit_is_refused_by_its_key() {
        let check = |value: &str, parts: &[&str]| {
            let error = parse(value).expect_err("it cannot be taken");
            assert!(parts.iter().all(|part| error.contains(part)), "{value}: {error}");
        };
        check("0", &["line 2", "queues.jobs.concurrency", "1 to 10000"]);
        check("-3", &["line 2", "-3 deliveries"]);
        check("'automatic'", &["line 2", "automatic", "\"auto\"", "min = 4"]);
        check("{ min = 0 }", &["queues.jobs.concurrency", "min = 0", "1 to 10000"]);
        check("{ min = 8, max = 8 }", &["queues.jobs.concurrency", "a min below the max"]);
        check("{ least = 8 }", &["line 2", "least", "`min`"]);
    }
}
