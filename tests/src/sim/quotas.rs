//! Quotas: beside its queue, each host starts work that keeps to a rate, and work that takes
//! permits of a pool and of a key of the fleet. What the hosts do together must never be more than
//! the limits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wasq::admission::in_hand::{Claimant, InHand};
use wasq::admission::key_limits::KeyId;
use wasq::admission::limit_key::LimitKey;
use wasq::admission::permits::{Needs, Priority};
use wasq::config::{OnOutage, PoolConfig, PoolScope, RateConfig};
use wasq::flow::Services;
use wasq::quotas::QuotaStore;
use wasq_core::clock::{self, Clock};

use super::checks::{SCOPE, Verdict};
use super::host::Seat;

const NAME: &str = "shared";
const LIMIT: &str = "20/s";
const INTERVAL_MS: u64 = 50;
const BURST: u32 = 3;
/// A start may be so late: `bucket.rs` loses later slots.
const LATE_MS: u64 = 300;
const POOL_SIZE: usize = 4;
const KEY_MAX: usize = 2;
/// Work of each kind that a host has at once.
const TASKS: usize = 3;
/// How often work says that it still has its permit.
const BEAT: Duration = Duration::from_millis(100);

/// What work takes a permit of, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    Pool,
    Key,
}

impl Shared {
    fn permits(self) -> usize {
        match self {
            Self::Pool => POOL_SIZE,
            Self::Key => KEY_MAX,
        }
    }
}

/// Work of a host, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Work {
    of: Shared,
    host: usize,
    number: u64,
}

/// What hosts have started, and what they run.
#[derive(Default)]
pub struct QuotaWatch {
    /// The starts that the rate allowed, by the hosts' clocks.
    starts_ms: Vec<u64>,
    /// What has a permit, and until when its host's lease lasts. What has once gone on for longer
    /// is the bound that is documented.
    running: BTreeMap<Work, u64>,
    runs: u64,
}

impl QuotaWatch {
    fn started(&mut self, now_ms: u64) {
        self.starts_ms.push(now_ms);
    }

    fn begins(&mut self, of: Shared, host: usize) -> Work {
        self.runs += 1;
        Work { of, host, number: self.runs }
    }

    /// Work has a permit now, of a lease that lasts so long.
    fn runs(&mut self, work: Work, until_ms: u64, now_ms: u64) -> Verdict {
        let known = self.running.entry(work).or_insert(until_ms);
        if *known > now_ms {
            *known = until_ms;
        }
        let (of, permits) = (work.of, work.of.permits());
        let running = self.running.iter().filter(|(work, until_ms)| work.of == of && **until_ms > now_ms);
        let count = running.count();
        match count <= permits {
            true => Ok(()),
            false => Err(format!("{count} permits of a {of:?} of {permits} are in use").to_lowercase()),
        }
    }

    fn ends(&mut self, work: Work) {
        self.running.remove(&work);
    }

    /// A host has died or ended, and what it ran with it.
    pub fn gone(&mut self, host: usize) {
        self.running.retain(|work, _| work.host != host);
    }

    /// Of all starts, none is earlier than the limit allows.
    pub fn at_the_end(&self) -> Verdict {
        let mut starts_ms = self.starts_ms.clone();
        starts_ms.sort_unstable();
        let tolerance_ms = INTERVAL_MS * u64::from(BURST) + LATE_MS;
        let mut next_ms = 0;
        for start_ms in starts_ms {
            if next_ms > start_ms + tolerance_ms {
                return Err(format!("more runs than {LIMIT} allows were started until {start_ms}"));
            }
            next_ms = next_ms.max(start_ms) + INTERVAL_MS;
        }
        Ok(())
    }
}

pub fn rates() -> [(String, RateConfig); 1] {
    let limit = LIMIT.parse().expect("it is a rate");
    [(NAME.to_owned(), RateConfig { limit, burst: BURST, on_outage: OnOutage::Hold })]
}

pub fn pools() -> BTreeMap<String, PoolConfig> {
    let pool = PoolConfig { size: POOL_SIZE, scope: PoolScope::Fleet, on_outage: OnOutage::Hold };
    [(NAME.to_owned(), pool)].into()
}

/// What a host keeps of the quotas for as long as it runs.
pub struct Kept {
    store: Arc<QuotaStore>,
    tasks: JoinSet<()>,
}

impl Kept {
    /// As at a host's end: nothing is renewed any more, and what it has is given back.
    pub async fn give_back(mut self, services: &Services) {
        self.tasks.shutdown().await;
        services.fleet_pools.give_back(&self.store).await;
        services.key_limits.give_back(&self.store).await;
    }
}

/// Begins a host's work.
pub fn begin(services: &Arc<Services>, seat: &Arc<Seat>) -> Option<Kept> {
    let mut tasks = JoinSet::new();
    let host = format!("host-{}-{}", seat.host, seat.now_ms());
    let store = Arc::new(QuotaStore::of(&*services.ledger, SCOPE, services.clock.clone(), host)?);
    let (kept, of_rates) = (services.clone(), store.clone());
    tasks.spawn(async move { kept.rates.keep(Some(&of_rates)).await });
    let (kept, of_pools) = (services.clone(), store.clone());
    tasks.spawn(async move { kept.fleet_pools.keep(Some(&of_pools)).await });
    let (kept, of_keys) = (services.clone(), store.clone());
    tasks.spawn(async move { kept.key_limits.keep(Some(&of_keys)).await });
    let (kept, of_breakers) = (services.clone(), store.clone());
    tasks.spawn(async move { kept.breakers.keep(Some(&of_breakers)).await });
    let room = Arc::new(Semaphore::new(TASKS));
    for _ in 0..TASKS {
        tokio::spawn(keep_to_the_rate(services.clone(), seat.clone(), room.clone()));
        tokio::spawn(use_the_pool(services.clone(), seat.clone()));
        tokio::spawn(use_the_key(services.clone(), seat.clone(), room.clone()));
    }
    Some(Kept { store, tasks })
}

async fn keep_to_the_rate(services: Arc<Services>, seat: Arc<Seat>, room: Arc<Semaphore>) {
    let ids = [services.rates.bucket(NAME, LimitKey::All).expect("it is in the config")];
    loop {
        pause(&seat, 150).await;
        let in_hand = InHand::default();
        let claimant = Claimant { sent_at: seat.unix_ms(), is_returned: false, in_hand: &in_hand, room: &room };
        match services.rates.acquire(&ids, claimant).await {
            Ok(slots) if slots.iter().all(|slot| slot.good_until > clock::now()) => {
                seat.world.lock().watch.quotas.started(seat.now_ms());
            }
            Ok(_late) => {}
            Err(limited) => tokio::time::sleep(limited.remaining.min(Duration::from_secs(2))).await,
        }
    }
}

async fn use_the_pool(services: Arc<Services>, seat: Arc<Seat>) {
    let own = Arc::new(Semaphore::new(1));
    let fleet = services.fleet_pools.of(&[NAME.to_owned()]);
    loop {
        pause(&seat, 4_000).await;
        let needs = Needs { own: &own, alone: None, pools: &[], fleet: &fleet, priority: Priority::High, queue: 0 };
        let permits = services.permits.acquire(needs).await;
        let work = seat.world.lock().watch.quotas.begins(Shared::Pool, seat.host);
        let beats = seat.world.lock().rng.u64(0..=20);
        for _ in 0..=beats {
            has_permit(services.fleet_pools.status()[0].lease_ms, &seat, work);
            tokio::time::sleep(BEAT).await;
        }
        drop(permits);
        seat.world.lock().watch.quotas.ends(work);
    }
}

async fn use_the_key(services: Arc<Services>, seat: Arc<Seat>, room: Arc<Semaphore>) {
    let id = KeyId { plugin: NAME.into(), max: KEY_MAX, scope: PoolScope::Fleet, key: LimitKey::Missing };
    loop {
        pause(&seat, 4_000).await;
        let in_hand = InHand::default();
        let claimant = Claimant { sent_at: seat.unix_ms(), is_returned: false, in_hand: &in_hand, room: &room };
        let permit = match services.key_limits.acquire(&id, claimant).await {
            Ok(permit) => permit,
            Err(hidden) => {
                tokio::time::sleep(hidden.min(Duration::from_secs(2))).await;
                continue;
            }
        };
        // As a message waits for its other permits.
        pause(&seat, 200).await;
        let Some(permit) = permit.into_held() else { continue };
        let work = seat.world.lock().watch.quotas.begins(Shared::Key, seat.host);
        let beats = seat.world.lock().rng.u64(0..=20);
        for _ in 0..=beats {
            has_permit(services.key_limits.lease_ms(&id), &seat, work);
            tokio::time::sleep(BEAT).await;
        }
        drop(permit);
        seat.world.lock().watch.quotas.ends(work);
    }
}

/// Work has a permit still, of a lease that lasts for so long.
fn has_permit(lease_ms: u64, seat: &Seat, work: Work) {
    let now_ms = seat.now_ms();
    let state = &mut *seat.world.lock();
    if let Err(what) = state.watch.quotas.runs(work, now_ms + lease_ms, now_ms) {
        state.violated(now_ms, what);
    }
}

async fn pause(seat: &Seat, longest_ms: u64) {
    let pause_ms = seat.world.lock().rng.u64(0..=longest_ms);
    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
}
