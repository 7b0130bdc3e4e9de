//! Limits that operators set while the hosts run: kept in the ledger, so that they outlive restarts
//! and every host hears of them; and this host's view of them, read again every few seconds.

use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use wasq_core::clock::Clock;
use wasq_core::message::UnixMs;
use wasq_ledgers::LedgerError;

use super::fleet_pools::FleetPools;
use super::rates::Rates;
use crate::config::{POOL_SIZE_MAX, Rate};
use crate::quotas::QuotaStore;
use crate::quotas::limit_document::{LimitDocument, LimitName, SetLimit, TooMany};

/// Why no limit was set.
#[derive(Debug, thiserror::Error)]
pub enum SetLimitError {
    #[error("this host has no limit `{name}` of the fleet; it has {known}")]
    Unknown { name: String, known: String },
    #[error("`{name}` is a rate and a pool; write rate:{name} or pool:{name}")]
    Ambiguous { name: String },
    #[error("the limit of {name}: {fault}")]
    Value { name: LimitName, fault: String },
    #[error("the end of the limit is over already")]
    Over,
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error("the ledger keeps no documents, and so no limits; set it in the config")]
    NotKept,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What this host knows to be set.
#[derive(Default)]
pub struct SetLimits(Mutex<LimitDocument>);

impl SetLimits {
    /// Follows what is set for as long as the host runs.
    pub async fn keep(
        &self,
        store: Option<&QuotaStore>,
        rates: &Rates,
        pools: &FleetPools,
        clock: &dyn Clock,
        every: Duration,
    ) {
        let Some(store) = store else { return };
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.refresh(store, rates, pools, clock.unix_ms()).await {
                tracing::debug!(%error, "what limits are set cannot be read");
            }
        }
    }

    /// Takes over what the ledger holds now.
    ///
    /// # Errors
    /// The ledger does not answer. What was known stays, but for what is over.
    pub async fn refresh(
        &self,
        store: &QuotaStore,
        rates: &Rates,
        pools: &FleetPools,
        now: UnixMs,
    ) -> Result<(), LedgerError> {
        let found = store.limits().await;
        let mut known = self.0.lock();
        let current = found.as_ref().unwrap_or(&*known).clone().current(now);
        for (name, limit) in current.set.iter().filter(|(name, limit)| known.set.get(name) != Some(limit)) {
            tracing::info!(limit = %name, value = limit.value, by = limit.by, "a limit is set");
        }
        for name in known.set.keys().filter(|name| !current.set.contains_key(name)) {
            tracing::info!(limit = %name, "the config's limit holds again");
        }
        let value = |name: LimitName| current.set.get(&name).map(|limit| limit.value.as_str());
        rates.set_limits(|rate| value(LimitName::Rate(rate.to_owned()))?.parse().ok());
        pools.set_sizes(|pool| value(LimitName::Pool(pool.to_owned()))?.parse().ok());
        *known = current;
        found.map(drop)
    }

    /// What is set now.
    pub fn current(&self, now: UnixMs) -> LimitDocument {
        self.0.lock().clone().current(now)
    }
}

/// The limit that somebody means by a name: with `rate:` or `pool:` before it, or without.
pub fn find(name: &str, rates: &Rates, pools: &FleetPools) -> Result<LimitName, SetLimitError> {
    let all: Vec<_> = rates
        .names()
        .map(|rate| LimitName::Rate(rate.to_owned()))
        .chain(pools.names().map(|pool| LimitName::Pool(pool.to_owned())))
        .collect();
    let plain = |limit: &LimitName| match limit {
        LimitName::Rate(rate) => rate == name,
        LimitName::Pool(pool) => pool == name,
    };
    let mut meant = all.iter().filter(|limit| limit.to_string() == name || plain(limit));
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), Some(_)) => Err(SetLimitError::Ambiguous { name: name.to_owned() }),
        (None, _) => {
            let known = all.iter().map(LimitName::to_string).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            Err(SetLimitError::Unknown { name: name.to_owned(), known })
        }
    }
}

/// The value as the config would have it.
fn value_of(name: &LimitName, value: &str) -> Result<String, SetLimitError> {
    let value = match name {
        LimitName::Rate(_) => value.parse::<Rate>().map(|rate| rate.to_string()),
        LimitName::Pool(_) => match value.trim().parse::<usize>() {
            Ok(size) if (1..=POOL_SIZE_MAX).contains(&size) => Ok(size.to_string()),
            Ok(_) | Err(_) => Err(format!("{value:?} is no size of a pool; write a number from 1 to {POOL_SIZE_MAX}")),
        },
    };
    value.map_err(|fault| SetLimitError::Value { name: name.clone(), fault })
}

/// Who sets a limit, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a> {
    pub by: &'a str,
    pub from: SocketAddr,
}

/// Sets a limit for the whole fleet, and says so in the audit log. Hosts follow when they look.
///
/// # Errors
/// See [`SetLimitError`].
pub async fn set(
    store: &QuotaStore,
    name: &LimitName,
    value: &str,
    until: Option<UnixMs>,
    now: UnixMs,
    operator: Operator<'_>,
) -> Result<SetLimit, SetLimitError> {
    if until.is_some_and(|until| until <= now) {
        return Err(SetLimitError::Over);
    }
    let Operator { by, from } = operator;
    let limit = SetLimit { value: value_of(name, value)?, by: by.to_owned(), at: now, until };
    let before = store.set_limit(name, Some(&limit), now).await??;
    let (value, until_ms) = (limit.value.as_str(), until.map(|until| until.0));
    let before = before.map(|before| before.value);
    tracing::info!(target: "audit", action = "set-limit", what = %name, value, before, by, %from, until_ms, "a limit was set");
    Ok(limit)
}

/// Resets a limit to what the config says. The answer is what was set.
///
/// # Errors
/// The ledger does not answer.
pub async fn reset(
    store: &QuotaStore,
    name: &LimitName,
    now: UnixMs,
    operator: Operator<'_>,
) -> Result<Option<SetLimit>, SetLimitError> {
    let Operator { by, from } = operator;
    let before = store.set_limit(name, None, now).await??;
    if let Some(before) = &before {
        let before = before.value.as_str();
        tracing::info!(target: "audit", action = "reset-limit", what = %name, before, by, %from, "a limit was reset");
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_the_config_would_take() {
        let (rate, pool) = (LimitName::Rate("stripe".into()), LimitName::Pool("db".into()));
        assert_eq!(value_of(&rate, " 30 / m").unwrap(), "30/m");
        assert_eq!(value_of(&pool, "20").unwrap(), "20");
        for (name, value) in [(&rate, "20"), (&rate, "0/s"), (&pool, "0"), (&pool, "10001"), (&pool, "20/s")] {
            let error = value_of(name, value).unwrap_err().to_string();
            assert!(error.contains(&name.to_string()) && error.contains("write"), "{error}");
        }
    }
}
