//! The task that keeps what the whole fleet may do: slots of rates, leases of the fleet's pools and
//! keys, what operators have set of these, and breakers; that gives keys' permits to the messages
//! that wait for them, and shows messages again when nothing holds them back any more.

use std::sync::Arc;

use futures::future::{join, join5};
use wasq_core::clock::SharedClock;
use wasq_ledgers::Ledger;

use crate::admission::hidden::HeldBy;
use crate::flow::Services;
use crate::quotas::QuotaStore;

/// The scope's quotas in its ledger; none where that keeps no documents.
pub fn quotas(ledger: &dyn Ledger, scope: &str, clock: SharedClock) -> Option<Arc<QuotaStore>> {
    QuotaStore::of(ledger, scope, clock, host_name()).map(Arc::new)
}

/// Keeps them for as long as the host runs.
pub async fn keep(services: Arc<Services>) {
    let store = services.quotas.as_deref();
    let Services { rates, fleet_pools, key_limits, set_limits, breakers, hidden, clock, limits, .. } = &*services;
    let room = |held_by: &HeldBy| services.room_for(held_by);
    let operators = set_limits.keep(store, rates, fleet_pools, &**clock, limits.pause_refresh);
    let pools = join(fleet_pools.keep(store), key_limits.keep(store));
    join5(rates.keep(store), pools, operators, breakers.keep(store), hidden.keep(room)).await;
}

/// This process among all that share the ledger: no other one has this name, also not the one that
/// is started in its place.
fn host_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine: String = machine.trim().chars().take(MACHINE_MAX_CHARS).collect();
    format!("{machine}:{}:{:08x}", std::process::id(), fastrand::u32(..))
}

/// Of a machine's name, this much stands in the ledger.
const MACHINE_MAX_CHARS: usize = 64;
