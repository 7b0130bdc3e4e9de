//! What the host's parts share, and what belongs to one queue. The host makes both once; every
//! delivery of the flow reads them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasq_core::aws::s3::S3;
use wasq_core::aws::sns::Sns;
use wasq_core::clock::SharedClock;
use wasq_ledgers::Ledger;
use wasq_queues::{MaximumMessageSize, Outlets, Queue, Retention};

use super::recent::Recent;
use super::settle::Settler;
use crate::admission::breaker::{Breakers, Standing};
use crate::admission::fair_queue::FairQueue;
use crate::admission::fleet_pools::FleetPools;
use crate::admission::hidden::{HeldBy, HiddenMessages, Room};
use crate::admission::key_limits::{KeyLimits, KeyedStatus};
use crate::admission::pauses::Pauses;
use crate::admission::permits::Permits;
use crate::admission::queue_limit::QueueLimit;
use crate::admission::rates::Rates;
use crate::admission::set_limits::SetLimits;
use crate::config::{Limits, QueueConfig};
use crate::groups::GroupStore;
use crate::lease::Keeper;
use crate::plugins::Catalogs;
use crate::quotas::QuotaStore;
use crate::sandbox::Sandbox;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::{IngressMeters, QueueMeters};
use crate::telemetry::spans::Tracing;
use crate::telemetry::stats::Stats;
use crate::timers::TimerStore;
use crate::timers::schedules::Schedules;

/// What every delivery needs on its way.
pub struct Services {
    pub scope: String,
    pub limits: Limits,
    pub clock: SharedClock,
    pub catalogs: Arc<Catalogs>,
    pub sandbox: Sandbox,
    pub permits: Permits,
    /// What the whole fleet may do.
    pub rates: Rates,
    pub fleet_pools: FleetPools,
    /// What operators have set of it while the hosts run.
    pub set_limits: SetLimits,
    /// How many runs there are at once for each key.
    pub key_limits: KeyLimits,
    /// Where that is counted; none where the ledger keeps no documents.
    pub quotas: Option<Arc<QuotaStore>>,
    pub ledger: Arc<dyn Ledger>,
    /// What is sent later; none where the ledger keeps no timers.
    pub timers: Option<Arc<TimerStore>>,
    pub schedules: Schedules,
    /// Messages that belong together; none where the ledger keeps no documents.
    pub groups: Option<Arc<GroupStore>>,
    pub breakers: Breakers,
    /// Messages that are hidden because something holds them back.
    pub hidden: Arc<HiddenMessages>,
    pub stats: Stats,
    pub health: Health,
    pub pauses: Pauses,
    pub recent: Recent,
    pub tracing: Tracing,
    pub ingress: IngressMeters,
    /// The queues of the config, also those that are not open yet.
    pub queue_names: BTreeSet<String>,
    /// Where outboxes may send, by the names in the config.
    pub outlets: Arc<Outlets>,
    /// Cancelled when the drain has taken too long: what runs is stopped, uncounted.
    pub interrupt: CancellationToken,
}

impl Services {
    /// How many of the messages can go on that something has held back.
    pub fn room_for(&self, held_by: &HeldBy) -> Room {
        match held_by {
            HeldBy::Breaker(scope) => match self.breakers.standing(scope, self.clock.now()) {
                Standing::Closed => Room::All,
                Standing::ProbeIsDue => Room::Some(1),
                Standing::Open => Room::Some(0),
            },
            HeldBy::Rate(bucket) => Room::Some(self.rates.room(bucket)),
            HeldBy::Pause(target) => match self.pauses.has(target, self.clock.unix_ms()) {
                true => Room::Some(0),
                false => Room::All,
            },
        }
    }

    /// What there is of each plugin's keyed concurrency.
    pub fn keyed(&self) -> Vec<KeyedStatus> {
        let catalog = self.catalogs.current();
        self.key_limits.status(catalog.plugins().filter_map(|plugin| {
            let keyed = plugin.manifest.keyed_concurrency.as_ref()?;
            Some((plugin.manifest.name.as_str(), keyed.max, keyed.scope))
        }))
    }
}

/// One queue, and what settles its deliveries.
pub struct QueueRuntime {
    pub name: String,
    /// Which of the config's queues it is: permits are counted by that.
    pub number: usize,
    pub config: QueueConfig,
    /// Where bodies are that are too large for the queue.
    pub s3: Option<S3>,
    /// What confirms its subscriptions, where it may.
    pub sns: Option<Sns>,
    pub queue: Arc<dyn Queue>,
    /// How long the queue keeps a message: nothing may wait past its end.
    pub retention: Retention,
    /// The largest message that the queue takes, from an outbox too.
    pub max_bytes: MaximumMessageSize,
    pub dlq: Arc<dyn Queue>,
    /// The largest letter that the DLQ takes; its limit may be lower than the queue's.
    pub dlq_max_bytes: MaximumMessageSize,
    pub keeper: Keeper,
    pub settler: Settler,
    pub meters: Arc<QueueMeters>,
    /// How many of its deliveries are in hand at once (`concurrency`).
    pub limit: QueueLimit,
    /// The turns of its keys, where they take turns (`fair_by`).
    pub fair: Option<FairQueue>,
    /// The room for those of its messages that wait in hand, for a rate, their key or its turn
    /// (`limits.rate_waiting`).
    pub waiting_room: Arc<Semaphore>,
}
