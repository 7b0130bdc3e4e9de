//! Pools of the whole fleet: permits of which each host leases a part from the ledger
//! ([`crate::quotas::pool_document`]).
//!
//! What a host has leased is a semaphore, so a run takes a permit as it takes one of its host's own
//! pools, without a call. One task ([`FleetPools::keep`]) renews the leases, asks for more while
//! runs wait, and gives back what others wait for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wasq_core::clock;
use wasq_ledgers::LedgerError;

use crate::config::{OnOutage, PoolConfig, PoolScope};
use crate::quotas::QuotaStore;
use crate::quotas::pool_document::{LEASE, Need, Observed, Part, RENEW};

/// How often a host looks whether others wait for what it has.
const LOOK: Duration = Duration::from_secs(1);
/// How often it looks while somebody waits, and the least time between two looks.
const LOOK_CONTENDED: Duration = Duration::from_millis(100);
/// For how long a host keeps permits that no run of it has wanted.
const IDLE: Duration = Duration::from_secs(10);
/// How long giving everything back may take at the end.
const LAST_CALL: Duration = Duration::from_secs(1);

/// The fleet's pools of the config, by name.
#[derive(Default)]
pub struct FleetPools(BTreeMap<String, Arc<FleetPool>>);

/// One of them, as this host has it.
pub struct FleetPool {
    name: String,
    config: PoolConfig,
    /// What holds now: the config's size, or one that an operator has set.
    size: AtomicUsize,
    /// What is leased and not in use.
    permits: Arc<Semaphore>,
    /// Runs that wait for a permit.
    waiting: AtomicUsize,
    state: Mutex<LeaseState>,
    changed: Notify,
}

struct LeaseState {
    /// The permits that are in use, and those that a run can take.
    leased: usize,
    /// How many runs may have one. It is less than what is leased where others wait, or have had
    /// them since the lease was over: then the next permits that runs give back are not taken
    /// again.
    may_use: usize,
    /// When the lease is over, unless it is renewed.
    ends_at: Instant,
    /// When it was renewed, and when a run last had or wanted a permit.
    renewed_at: Option<Instant>,
    wanted_at: Instant,
    /// Hosts that share the pool, as far as this one knows.
    hosts: usize,
    is_down: bool,
}

/// A run that waits for a permit.
pub struct Wish(Arc<FleetPool>);

/// A pool, as this host has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetPoolStatus {
    pub name: String,
    /// Of the whole fleet, as it holds now.
    pub size: usize,
    /// The config's size, where an operator has set another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub configured: Option<usize>,
    /// What this host has leased, and how much of that is in use.
    pub leased: usize,
    pub busy: usize,
    pub waiting: usize,
    pub hosts: usize,
    /// For how much longer this host has its part, unless it renews it.
    pub lease_ms: u64,
    /// Its ledger does not answer.
    pub is_down: bool,
}

impl FleetPools {
    pub fn new(pools: &BTreeMap<String, PoolConfig>) -> Self {
        let fleet = pools.iter().filter(|(_, pool)| pool.scope == PoolScope::Fleet);
        Self(fleet.map(|(name, pool)| (name.clone(), Arc::new(FleetPool::new(name, *pool)))).collect())
    }

    /// Those of these names.
    pub fn of(&self, names: &[String]) -> Vec<Arc<FleetPool>> {
        let mut pools: Vec<_> = names.iter().filter_map(|name| self.0.get_key_value(name)).collect();
        // A run takes one permit of each, however often its manifest names it.
        pools.sort_by_key(|(name, _)| *name);
        pools.dedup_by_key(|(name, _)| *name);
        pools.into_iter().map(|(_, pool)| pool.clone()).collect()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Has the sizes hold that operators have set, and the config's for all other pools.
    pub fn set_sizes(&self, set: impl Fn(&str) -> Option<usize>) {
        for pool in self.0.values() {
            let size = set(&pool.name).unwrap_or(pool.config.size);
            if pool.size.swap(size, Ordering::AcqRel) != size {
                pool.changed.notify_one();
            }
        }
    }

    pub fn status(&self) -> Vec<FleetPoolStatus> {
        self.0.values().map(|pool| pool.status()).collect()
    }

    /// Keeps the leases for as long as the host runs. Without a store, as if the ledger did not
    /// answer.
    pub async fn keep(&self, store: Option<&QuotaStore>) {
        join_all(self.0.values().map(|pool| pool.keep(store))).await;
    }

    /// Gives back what is not in use, at the host's end.
    pub async fn give_back(&self, store: &QuotaStore) {
        let all = join_all(self.0.values().map(|pool| pool.give_back(store)));
        if tokio::time::timeout(LAST_CALL, all).await.is_err() {
            tracing::warn!(
                "permits of the fleet's pools could not be given back; others have them when their leases end"
            );
        }
    }
}

impl FleetPool {
    pub(super) fn new(name: &str, config: PoolConfig) -> Self {
        let now = clock::now();
        let state = LeaseState {
            leased: 0,
            may_use: 0,
            ends_at: now,
            renewed_at: None,
            wanted_at: now,
            hosts: 1,
            is_down: false,
        };
        Self {
            name: name.to_owned(),
            config,
            size: AtomicUsize::new(config.size),
            permits: Arc::new(Semaphore::new(0)),
            waiting: AtomicUsize::new(0),
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// What a run takes a permit of.
    pub fn permits(&self) -> &Arc<Semaphore> {
        &self.permits
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether runs wait for a permit, of which this host can have no more now.
    pub fn is_used_up(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0 && self.permits.available_permits() == 0
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Acquire)
    }

    /// A run waits for a permit from now on, until the wish is dropped.
    pub fn wish(self: &Arc<Self>) -> Wish {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if self.permits.available_permits() == 0 {
            self.changed.notify_one();
        }
        Wish(self.clone())
    }

    /// Whether a run may start with what it has just taken. A host that stood still has not heard
    /// that its lease is over, and what it has in use may be others' now. Then the permit is given
    /// up.
    pub fn holds(&self, taken: &mut Vec<OwnedSemaphorePermit>) -> bool {
        let state = &mut *self.state.lock();
        if clock::now() >= state.ends_at {
            self.shrink_in(state, 0);
        }
        if state.leased <= state.may_use {
            return true;
        }
        if let Some(own) = taken.iter().position(|permit| Arc::ptr_eq(permit.semaphore(), &self.permits)) {
            taken.swap_remove(own).forget();
            state.leased -= 1;
        }
        self.changed.notify_one();
        false
    }

    pub(super) fn status(&self) -> FleetPoolStatus {
        let state = self.state.lock();
        let busy = self.in_use(&state);
        FleetPoolStatus {
            name: self.name.clone(),
            size: self.size(),
            configured: (self.size() != self.config.size).then_some(self.config.size),
            leased: state.leased,
            busy,
            waiting: self.waiting.load(Ordering::Acquire),
            hosts: state.hosts,
            lease_ms: state.ends_at.saturating_duration_since(clock::now()).as_millis() as u64,
            is_down: state.is_down,
        }
    }

    async fn keep(&self, store: Option<&QuotaStore>) {
        let mut observed = Observed::default();
        loop {
            let part = self.renew(store, &mut observed).await;
            self.pause(part.is_some_and(|part| part.is_contended)).await;
        }
    }

    /// Looks at the lease, and renews it where it must be. None where nothing is needed, and where
    /// the ledger does not answer.
    pub(super) async fn renew(&self, store: Option<&QuotaStore>, observed: &mut Observed) -> Option<Part> {
        if !self.is_needed() {
            return None;
        }
        let part = match store {
            Some(store) => self.look(store, observed, clock::now()).await,
            None => Err(LedgerError::Unavailable("it keeps no documents".into())),
        };
        part.inspect_err(|error| self.failed(error)).ok()
    }

    /// Waits until it is time for the next look.
    pub(super) async fn pause(&self, is_contended: bool) {
        // At least so long, whoever calls.
        tokio::time::sleep(LOOK_CONTENDED).await;
        let rest = if is_contended { Duration::ZERO } else { LOOK - LOOK_CONTENDED };
        let _earlier = tokio::time::timeout(rest, self.changed.notified()).await;
    }

    /// Renews the lease, with as much as is needed and there is.
    async fn look(&self, store: &QuotaStore, observed: &mut Observed, looked_at: Instant) -> Result<Part, LedgerError> {
        let renewed_at = self.state.lock().renewed_at;
        let must_renew = renewed_at.is_none_or(|at| looked_at.saturating_duration_since(at) >= RENEW);
        let need = || self.need(clock::now());
        let shrink = |permits| self.shrink(permits);
        let (part, is_renewed) = store.lease(&self.name, self.size(), observed, must_renew, need, shrink).await?;
        let state = &mut *self.state.lock();
        self.grow_in(state, part.permits);
        if !is_renewed {
            return Ok(part);
        }
        // Counted from before the call: others count from after it.
        state.ends_at = looked_at + LEASE;
        state.renewed_at = Some(looked_at);
        state.hosts = part.hosts;
        state.is_down = false;
        Ok(part)
    }

    fn failed(&self, error: &LedgerError) {
        let state = &mut *self.state.lock();
        if !state.is_down {
            tracing::warn!(pool = self.name, %error, "the lease of a fleet's pool cannot be renewed");
        }
        state.is_down = true;
        let now = clock::now();
        if self.config.on_outage == OnOutage::LocalShare {
            let share = (self.size() / state.hosts.max(1)).max(1);
            state.ends_at = now + LEASE;
            self.shrink_in(state, share);
            self.grow_in(state, share);
        } else if now >= state.ends_at {
            self.shrink_in(state, 0);
        }
    }

    /// Whether there is anything to lease or to give back.
    fn is_needed(&self) -> bool {
        self.state.lock().leased > 0 || self.waiting.load(Ordering::Acquire) > 0
    }

    fn need(&self, now: Instant) -> Need {
        let waiting = self.waiting.load(Ordering::Acquire);
        let state = &mut *self.state.lock();
        if waiting + self.in_use(state) > 0 {
            state.wanted_at = now;
        } else if now.saturating_duration_since(state.wanted_at) > IDLE {
            self.shrink_in(state, 0);
        }
        let in_use = self.in_use(state);
        Need { leased: state.leased, wants: waiting + in_use }
    }

    /// What it has leased now, and how much of that is in use.
    pub(super) fn leased(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.leased, self.in_use(&state))
    }

    fn in_use(&self, state: &LeaseState) -> usize {
        state.leased.saturating_sub(self.permits.available_permits())
    }

    /// Gives up what it has beyond so many: what is in use, when runs give it back. The answer is
    /// what it has until then.
    pub(super) fn shrink(&self, permits: usize) -> usize {
        self.shrink_in(&mut self.state.lock(), permits)
    }

    fn shrink_in(&self, state: &mut LeaseState, permits: usize) -> usize {
        state.leased -= self.permits.forget_permits(state.leased.saturating_sub(permits));
        state.may_use = state.may_use.min(permits);
        state.leased
    }

    fn grow_in(&self, state: &mut LeaseState, permits: usize) {
        if permits > state.leased {
            self.permits.add_permits(permits - state.leased);
            state.leased = permits;
        }
        state.may_use = permits;
    }

    pub(super) async fn give_back(&self, store: &QuotaStore) {
        self.shrink(0);
        let need = || Need { wants: 0, ..self.need(clock::now()) };
        let mut observed = Observed::default();
        let given =
            store.lease(&self.name, self.size(), &mut observed, true, need, |permits| self.shrink(permits)).await;
        if let Err(error) = given {
            tracing::debug!(pool = self.name, %error, "its permits are free when its lease ends");
        }
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
