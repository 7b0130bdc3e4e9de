//! Breakers of the fleet: what a host tells the others of its breakers, and what it hears of theirs
//! ([`crate::quotas::breaker_document`]).
//!
//! Decisions stay the host's own, and cost no call. One task ([`Breakers::keep`]) tells and hears.
//! While the ledger does not answer, each host has breakers of its own.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use wasq_core::clock;

use super::untold::Untold;
use super::{Breaker, Breakers, Open, PROBE_MAX, State};
use crate::quotas::QuotaStore;
use crate::quotas::breaker_document::{BreakerDocument, BreakerEvent, OpenBreaker};

/// How often a host looks, and how often while a breaker is open.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_OPEN: Duration = Duration::from_millis(500);
/// The least time between two looks.
const BETWEEN: Duration = Duration::from_millis(50);

impl Breakers {
    /// Tells and hears for as long as the host runs. Without a store, each host has its own.
    pub async fn keep(&self, store: Option<&QuotaStore>) {
        let Some(store) = store else { return };
        self.lock().untold = Some(Untold::default());
        loop {
            let (told, events) = self.take_events(clock::now());
            match store.breakers(&events).await {
                Ok((document, now_ms)) => self.hear(document, store.host(), now_ms, clock::now()),
                Err(error) => {
                    tracing::debug!(%error, "the fleet's breakers cannot be read; each host has its own");
                    self.alone(told);
                }
            }
            tokio::time::sleep(BETWEEN).await;
            let next = if self.any.load(Ordering::Acquire) { LOOK_OPEN } else { LOOK };
            let _earlier = tokio::time::timeout(next - BETWEEN, self.untold.notified()).await;
        }
    }

    fn take_events(&self, now: Instant) -> (Untold, Vec<BreakerEvent>) {
        let State { by_scope, untold, .. } = &mut *self.lock();
        let told = untold.as_mut().map(std::mem::take).unwrap_or_default();
        let mut events = Vec::new();
        for (scope, news) in &told.0 {
            if news.is_closed {
                events.push(BreakerEvent::Closed { scope: scope.clone() });
            }
            for dependency in &news.opened {
                let Some(breaker) = by_scope.get(scope).and_then(|breakers| breakers.get(dependency)) else { continue };
                let Some(open) = &breaker.open else { continue };
                events.push(BreakerEvent::Opened {
                    scope: scope.clone(),
                    dependency: dependency.clone(),
                    remaining: open.until.saturating_duration_since(now),
                    wait: open.wait,
                    failures: breaker.failures,
                });
            }
            if news.wants_probe {
                events.push(BreakerEvent::ProbeWanted { scope: scope.clone() });
            }
        }
        (told, events)
    }

    /// The ledger does not answer: what it was to be told is kept, and nobody's leave is waited
    /// for.
    fn alone(&self, told: Untold) {
        let State { by_scope, untold, .. } = &mut *self.lock();
        for open in by_scope.values_mut().flat_map(BTreeMap::values_mut).filter_map(|breaker| breaker.open.as_mut()) {
            open.is_shared = false;
        }
        let Some(untold) = untold else { return };
        for (scope, mut news) in told.0 {
            news.wants_probe = false;
            let newer = untold.0.entry(scope).or_default();
            if !newer.is_closed {
                newer.is_closed = news.is_closed;
                newer.opened.append(&mut news.opened);
            }
        }
    }

    /// Takes over what the others know. What this host has learned since it asked counts more.
    fn hear(&self, document: BreakerDocument, host: &str, now_ms: u64, now: Instant) {
        let State { by_scope, untold, .. } = &mut *self.lock();
        let has_news = |scope: &str| untold.as_ref().is_some_and(|untold| untold.0.contains_key(scope));
        let is_open = |scope: &str, dependency: &str| {
            document.open.get(scope).is_some_and(|breakers| breakers.contains_key(dependency))
        };
        for (scope, breakers) in by_scope.iter_mut().filter(|(scope, _)| !has_news(scope)) {
            breakers.retain(|dependency, breaker| {
                !breaker.open.as_ref().is_some_and(|open| open.is_shared) || is_open(scope, dependency)
            });
        }
        by_scope.retain(|_, breakers| !breakers.is_empty());
        for (scope, breakers) in document.open.iter().filter(|(scope, _)| !has_news(scope)) {
            let own = by_scope.entry(scope.clone()).or_default();
            for (dependency, open) in breakers {
                let breaker = own.entry(dependency.clone());
                breaker
                    .or_insert_with(|| Breaker { failures: 0, failed_at: now, open: None })
                    .hear(open, host, now_ms, now);
            }
        }
        self.any.store(!by_scope.is_empty(), Ordering::Release);
    }
}

impl Breaker {
    fn hear(&mut self, heard: &OpenBreaker, host: &str, now_ms: u64, now: Instant) {
        self.failures = self.failures.max(heard.failures);
        let wait = Duration::from_millis(heard.wait_ms);
        let open = self.open.get_or_insert_with(|| {
            let since = Duration::from_millis(now_ms.saturating_sub(heard.since_ms));
            Open { since: now.checked_sub(since).unwrap_or(now), ..Open::new(wait, now) }
        });
        let probe = heard.probe.as_ref().filter(|probe| probe.until_ms > now_ms);
        open.is_shared = true;
        open.has_leave = probe.is_some_and(|probe| probe.host == host);
        if open.probe.is_some() {
            return;
        }
        open.wait = wait;
        // Another host's clock may be far off.
        open.until = now + Duration::from_millis(heard.until_ms.saturating_sub(now_ms)).min(PROBE_MAX);
    }
}

#[cfg(test)]
mod tests;
