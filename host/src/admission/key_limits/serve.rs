//! The task that gives permits that come free to the messages that wait, and keeps the leases of
//! the fleet's keys.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, Semaphore};
use wasq_core::clock;

use super::KeyLimits;
use super::keys::KeyId;
use crate::admission::fleet_pools::FleetPool;
use crate::quotas::QuotaStore;
use crate::quotas::pool_document::Observed;

/// For how long a host keeps the lease of a key that no message of it has wanted.
const IDLE: Duration = Duration::from_secs(1);
/// For how long it keeps one that more hosts want than there are permits.
const TURN: Duration = Duration::from_secs(2);
/// For how long it then leaves the key to others.
const YIELD: Duration = Duration::from_millis(300);

impl KeyLimits {
    /// Serves keys for as long as the host runs. Without a store, as if the ledger did not answer.
    pub async fn keep(&self, store: Option<&QuotaStore>) {
        let mut served = FuturesUnordered::new();
        loop {
            let begun = std::mem::take(&mut self.state.lock().begun);
            served.extend(begun.into_iter().map(|id| self.keep_key(id, store)));
            tokio::select! {
                biased;
                Some(()) = served.next() => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Gives back what is not in use, at the host's end.
    pub async fn give_back(&self, store: &QuotaStore) {
        let pools: Vec<_> = self.state.lock().all().filter_map(|(_, entry)| entry.pool.clone()).collect();
        let leased = pools.into_iter().filter(|pool| pool.leased().0 > 0);
        let each = futures::stream::iter(leased).for_each_concurrent(super::CALLS, |pool| async move {
            pool.give_back(store).await;
        });
        if tokio::time::timeout(Duration::from_secs(1), each).await.is_err() {
            tracing::warn!("permits of keys could not be given back; other hosts have them when their leases end");
        }
    }

    /// Serves a key until nothing waits for it; a fleet's also until its lease is given back.
    async fn keep_key(&self, id: KeyId, store: Option<&QuotaStore>) {
        let (permits, joined, pool) = match self.state.lock().get(&id) {
            Some(entry) => (entry.permits.clone(), entry.joined.clone(), entry.pool.clone()),
            None => return,
        };
        let Some(pool) = pool else { return self.serve(&id, permits).await };
        loop {
            tokio::select! {
                biased;
                () = self.keep_lease(&id, &pool, store) => {}
                () = self.serve_leased(&id, permits.clone(), &joined, &pool) => {}
            }
            self.end_lease(&pool, store).await;
            let state = &mut *self.state.lock();
            let Some(entry) = state.get(&id) else { return };
            if entry.line.is_empty() && pool.leased().0 == 0 {
                return entry.ends_to_be_served();
            }
        }
    }

    /// Gives the permits of a host's key to those who wait, until nobody does.
    async fn serve(&self, id: &KeyId, permits: Arc<Semaphore>) {
        loop {
            let permit = permits.clone().acquire_owned().await.expect("the semaphores are never closed");
            let state = &mut *self.state.lock();
            let Some(entry) = state.get(id) else { return };
            if let Err(_nobody_waits) = entry.serve(permit, clock::now()) {
                return entry.ends_to_be_served();
            }
        }
    }

    /// As [`KeyLimits::serve`], of a fleet's key, for ever.
    async fn serve_leased(&self, id: &KeyId, permits: Arc<Semaphore>, joined: &Notify, pool: &FleetPool) {
        loop {
            let permit = permits.clone().acquire_owned().await.expect("the semaphores are never closed");
            let mut taken = vec![permit];
            if !pool.holds(&mut taken) {
                continue;
            }
            let Some(permit) = taken.pop() else { continue };
            let is_served = match self.state.lock().get(id) {
                Some(entry) if entry.is_yielding => {
                    drop(permit);
                    pool.shrink(0);
                    continue;
                }
                Some(entry) => entry.serve(permit, clock::now()).is_ok(),
                None => return,
            };
            if !is_served {
                joined.notified().await;
            }
        }
    }

    /// Keeps the lease of a fleet's key, until no message of it is there for a while.
    async fn keep_lease(&self, id: &KeyId, pool: &FleetPool, store: Option<&QuotaStore>) {
        let mut observed = Observed::default();
        let mut since = clock::now();
        loop {
            let part = {
                let _call = self.calls.acquire().await.expect("it is never closed");
                pool.renew(store, &mut observed).await
            };
            let is_contended = part.is_some_and(|part| part.is_contended);
            let had_its_turn = clock::now().saturating_duration_since(since) >= TURN;
            if part.is_some_and(|part| part.hosts > id.max) && pool.leased().0 > 0 && had_its_turn {
                self.yields(id, true);
                self.end_lease(pool, store).await;
                tokio::time::sleep(YIELD).await;
                self.yields(id, false);
                since = clock::now();
                continue;
            }
            if pool.leased().0 == 0 {
                since = clock::now();
            }
            pool.pause(is_contended).await;
            let (now, state) = (clock::now(), &mut *self.state.lock());
            let is_idle = state.get(id).is_none_or(|entry| {
                entry.line.is_empty() && pool.leased().1 == 0 && now.saturating_duration_since(entry.granted_at) >= IDLE
            });
            if is_idle {
                return;
            }
        }
    }

    fn yields(&self, id: &KeyId, is_yielding: bool) {
        if let Some(entry) = self.state.lock().get(id) {
            entry.is_yielding = is_yielding;
        }
    }

    /// Gives back what of the lease is not in use.
    async fn end_lease(&self, pool: &FleetPool, store: Option<&QuotaStore>) {
        let _call = self.calls.acquire().await.expect("it is never closed");
        match store {
            Some(store) => pool.give_back(store).await,
            None => {
                pool.shrink(0);
            }
        }
    }
}
