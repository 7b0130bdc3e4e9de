//! What the whole fleet may do at once and in a time: rates, and pools of which all hosts have a
//! part.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::rate::Rate;
use super::{Config, QueueConfig};

/// How often runs of the plugins that name it may start, on all hosts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateConfig {
    /// So many starts in a time, as `100/s`, `30/m` or `1000/h`.
    pub limit: Rate,
    /// Starts at once after a time without any: 1 to 100,000. Default 1, which spaces them evenly.
    #[serde(default = "one")]
    pub burst: u32,
    /// What becomes of it while the ledger does not answer. Default `hold`.
    #[serde(default)]
    pub on_outage: OnOutage,
}

/// What a fleet's limit is while its ledger does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnOutage {
    /// Nothing: messages wait.
    #[default]
    Hold,
    /// On each host the limit divided by the hosts that were seen last.
    LocalShare,
}

/// A pool of permits that plugins share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    pub size: usize,
    pub scope: PoolScope,
    /// What becomes of a fleet's pool while the ledger does not answer.
    pub on_outage: OnOutage,
}

/// Whose runs a pool, or a key's limit, bounds together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolScope {
    /// Those of one host.
    #[default]
    Host,
    /// Those of all hosts.
    Fleet,
}

/// A pool as a table of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoolTable {
    /// Permits: 1 to 10,000.
    size: usize,
    /// Whose runs it bounds together. Default `host`.
    #[serde(default)]
    scope: PoolScope,
    /// What becomes of a fleet's pool while the ledger does not answer. Default `hold`.
    #[serde(default)]
    on_outage: OnOutage,
}

fn one() -> u32 {
    1
}

impl fmt::Display for PoolScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Host => "host",
            Self::Fleet => "fleet",
        })
    }
}

impl From<usize> for PoolConfig {
    fn from(size: usize) -> Self {
        Self { size, scope: PoolScope::Host, on_outage: OnOutage::Hold }
    }
}

impl<'de> Deserialize<'de> for PoolConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeOrTable)
    }
}

impl JsonSchema for PoolConfig {
    fn schema_name() -> Cow<'static, str> {
        "PoolConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A pool of permits that plugins share: its size, or a table.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": POOL_SIZE_MAX },
                PoolTable::json_schema(generator),
            ],
        })
    }
}

struct SizeOrTable;

impl<'de> Visitor<'de> for SizeOrTable {
    type Value = PoolConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a pool's size, as 10, or a table, as { size = 40, scope = \"fleet\" }")
    }

    fn visit_i64<E: Error>(self, size: i64) -> Result<PoolConfig, E> {
        usize::try_from(size).map(PoolConfig::from).map_err(|_| E::custom(format!("a pool of {size} permits is none")))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<PoolConfig, M::Error> {
        let PoolTable { size, scope, on_outage } = PoolTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(PoolConfig { size, scope, on_outage })
    }
}

/// The most that a queue's priority may be, and what may be kept for all queues together.
const PRIORITY_MAX: u32 = 100;
const MIN_SHARES_MAX: f64 = 0.9;
/// Permits of a pool, and starts at once of a rate.
pub const POOL_SIZE_MAX: usize = 10_000;
const BURST_MAX: u32 = 100_000;

impl Config {
    /// What is wrong with a rate or a pool: key, value and rule.
    pub(super) fn pressure_fault(&self) -> Option<(String, String, String)> {
        let fault = |key: String, value: String, rule: &str| Some((key, value, rule.to_owned()));
        for (name, pool) in &self.pools {
            if !(1..=POOL_SIZE_MAX).contains(&pool.size) {
                return fault(format!("pools.{name}"), pool.size.to_string(), "use 1 to 10000");
            }
            if pool.scope == PoolScope::Host && pool.on_outage == OnOutage::LocalShare {
                let rule = "a pool of one host asks no ledger; set scope = \"fleet\", or take on_outage away";
                return fault(format!("pools.{name}.on_outage"), "local-share".into(), rule);
            }
            if pool.scope == PoolScope::Fleet && !is_name(name) {
                return fault(format!("pools.{name}"), format!("{name:?}"), NAME_RULE);
            }
        }
        for (name, queue) in &self.queues {
            if queue.priority > PRIORITY_MAX {
                return fault(format!("queues.{name}.priority"), queue.priority.to_string(), "use 0 to 100");
            }
            if queue.min_share.is_some_and(|share| !(0.0..=MIN_SHARES_MAX).contains(&share)) {
                let share = queue.min_share.unwrap_or_default().to_string();
                let rule = "use 0.0 to 0.9: the share of limits.max_instances that is kept for its runs";
                return fault(format!("queues.{name}.min_share"), share, rule);
            }
        }
        let ordered =
            |(name, queue): &(&String, &QueueConfig)| queue.fair_by.is_some() && queue.location(name).keeps_order();
        if let Some((name, queue)) = self.queues.iter().find(ordered) {
            let fair_by = queue.fair_by.clone().map(String::from).unwrap_or_default();
            let rule = "its queue keeps an order, and fairness would break it; take fair_by away. There a group has its own messages \
                        in their order, and holds up no other group";
            return fault(format!("queues.{name}.fair_by"), format!("{fair_by:?}"), rule);
        }
        let kept: f64 = self.queues.values().filter_map(|queue| queue.min_share).sum();
        if let Some((name, queue)) = self.queues.iter().rev().find(|(_, queue)| queue.min_share.is_some())
            && kept > MIN_SHARES_MAX + f64::EPSILON
        {
            let share = queue.min_share.unwrap_or_default().to_string();
            let rule = format!(
                "with those of the other queues it is {kept:.2}; use at most 0.9 in all, so that a part is left for whoever needs it"
            );
            return fault(format!("queues.{name}.min_share"), share, &rule);
        }
        for (name, rate) in &self.rates {
            if !is_name(name) {
                return fault(format!("rates.{name}"), format!("{name:?}"), NAME_RULE);
            }
            if !(1..=BURST_MAX).contains(&rate.burst) {
                let rule =
                    "use 1 to 100000: 1 spaces the starts evenly, 20 lets 20 start at once after a time without any";
                return fault(format!("rates.{name}.burst"), rate.burst.to_string(), rule);
            }
        }
        None
    }
}

const NAME_RULE: &str = "the ledger keeps it under its name: use 1 to 64 of a-z, A-Z, 0-9, `-` and `_`";

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let parsed = Config::parse(&format!("[queues.jobs]\n{text}"), std::path::Path::new("wasq.toml"));
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn a_pool_is_a_size_or_a_table() {
        let config = parse("[pools]\nsmtp = 3\ndb = { size = 40, scope = 'fleet', on_outage = 'local-share' }");
        let pools = config.expect("it is a config").pools;
        assert_eq!(pools["smtp"], PoolConfig::from(3));
        let fleet = PoolConfig { size: 40, scope: PoolScope::Fleet, on_outage: OnOutage::LocalShare };
        assert_eq!(pools["db"], fleet);
    }

    #[test]
    fn a_rate_has_a_limit_and_may_have_a_burst() {
        let config = parse("[rates.stripe]\nlimit = '100/s'\n[rates.partner]\nlimit = '20/s'\nburst = 5");
        let rates = config.expect("it is a config").rates;
        assert_eq!((rates["stripe"].burst, rates["stripe"].on_outage), (1, OnOutage::Hold));
        assert_eq!((rates["partner"].limit.count, rates["partner"].burst), (20, 5));
    }

    #[test]
    fn what_can_be_no_limit_is_refused_by_its_key() {
        let check = |text: &str, parts: &[&str]| {
            let error = parse(text).expect_err("it cannot be taken");
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        };
        check("priority = 101", &["line 2", "queues.jobs.priority", "0 to 100"]);
        check("priority = -1", &["priority"]);
        check("fair_by = 'tenant'", &["line 2", "fair_by", "no `{/pointer}`"]);
        check("url = 'jobs.fifo'\nfair_by = '{/tenant}'", &["line 3", "queues.jobs.fair_by", "keeps an order"]);
        check("min_share = 1.1", &["line 2", "queues.jobs.min_share", "0.0 to 0.9"]);
        check("min_share = -0.1", &["queues.jobs.min_share"]);
        let both = "min_share = 0.5\n[queues.mail]\nmin_share = 0.5";
        check(both, &["line 4", "queues.mail.min_share", "1.00", "at most 0.9"]);
        check("[rates.stripe]\nlimit = '0/s'", &["line 3", "limit", "\"0/s\" is no rate", "100/s"]);
        check("[rates.stripe]\nlimit = '5/fortnight'", &["limit", "5/fortnight", "30/m"]);
        check("[rates.stripe]\nburst = 5", &["limit"]);
        check("[rates.stripe]\nlimit = '1/s'\nburst = 0", &["line 4", "rates.stripe.burst", "1 to 100000"]);
        check("[rates.stripe]\nlimit = '1/s'\non_outage = 'run'", &["on_outage", "hold", "local-share"]);
        check("[rates.'a/b']\nlimit = '1/s'", &["rates.", "a-z"]);
        check("[pools]\ndb = 0", &["line 3", "pools.db", "1 to 10000"]);
        check("[pools]\ndb = -1", &["pool of -1"]);
        check("[pools]\ndb = 'many'", &["size = 40"]);
        check("[pools.db]\nsize = 4\nscope = 'world'", &["scope", "fleet"]);
        check("[pools.db]\nsize = 4\non_outage = 'local-share'", &["pools.db.on_outage", "fleet"]);
        check("[pools.db]\nscope = 'fleet'", &["size"]);
    }
}
