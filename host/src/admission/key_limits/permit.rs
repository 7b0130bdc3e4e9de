//! A permit of a key, from before the claim to the end of the run.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::admission::fleet_pools::FleetPool;

/// The right to run one message of a key.
pub struct KeyPermit {
    permit: OwnedSemaphorePermit,
    pool: Option<Arc<FleetPool>>,
}

impl KeyPermit {
    pub(super) fn new(permit: OwnedSemaphorePermit, pool: Option<Arc<FleetPool>>) -> Self {
        Self { permit, pool }
    }

    /// What the run is to hold. None where the lease that it is of has ended: a host that stood
    /// still has not heard that.
    pub fn into_held(self) -> Option<OwnedSemaphorePermit> {
        let mut permits = vec![self.permit];
        match self.pool {
            Some(pool) if !pool.holds(&mut permits) => None,
            Some(_) | None => permits.pop(),
        }
    }
}
