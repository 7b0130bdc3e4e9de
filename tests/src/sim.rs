//! A simulator: the host's own flow, lease keeper, settler and drain, on a clock that stands still
//! until it is told, over a queue and a ledger that fail as their seed says. The same seed gives
//! the same run, to the last call.
//!
//! Several hosts take turns. Each has a runtime of its own, so that it can be dropped at any await
//! (a crash) or left alone for a while (SIGSTOP). What must never happen is checked by the
//! [`World`] while it happens, and once more at the end.

mod answers;
mod checks;
mod documents;
mod groups;
mod host;
mod kit;
mod ledger;
mod plan;
mod queue;
mod quotas;
mod timers;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host::SimHost;
use kit::Kit;
use plan::Plan;
use world::World;

/// When all faults are over, everything must be settled within so much of the simulated time.
const SETTLED_WITHIN_MS: u64 = 20 * 60 * 1000;

/// Runs simulations. Cheap to clone.
#[derive(Clone)]
pub struct Simulator {
    kit: Arc<Kit>,
}

/// What one seed's run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub messages: u64,
    /// Handlers that were started.
    pub runs: u64,
    pub crashes: u64,
    pub stalls: u64,
    pub drains: u64,
    /// Calls that were made to fail, or whose answer was lost.
    pub faults: u64,
    /// Verdicts that were recorded before their letters were sent.
    pub verdicts: u64,
    /// Messages that followed groups.
    pub follow_ups: u64,
    /// Simulated time.
    pub ms: u64,
    /// A hash of all that happened; of several seeds, the sum.
    pub digest: u64,
}

/// What went wrong in a seed's run.
#[derive(Debug)]
pub struct Violation {
    pub seed: u64,
    pub what: String,
    /// The last things that happened, oldest first.
    pub trace: Vec<String>,
}

impl Simulator {
    /// Compiles the simulated handlers.
    ///
    /// # Panics
    /// When the guest was not built.
    pub fn new() -> Self {
        Self { kit: Arc::new(Kit::new()) }
    }

    /// Runs one seed.
    ///
    /// # Errors
    /// The first violation, with its trace.
    pub fn run(&self, seed: u64) -> Result<Summary, Violation> {
        // The flow's own draws come from the thread's generator.
        fastrand::seed(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let plan = Plan::draw(&mut rng);
        let world = World::new(&plan, rng.fork());
        let mut hosts: Vec<SimHost> = (0..plan.hosts).map(|id| SimHost::new(id, &self.kit, &world, &plan)).collect();
        let outcome = drive(&plan, &world, &mut hosts, &mut rng);
        drop(hosts);
        world.end(outcome).map_err(|(what, trace)| Violation { seed, what, trace })
    }

    /// Runs seeds from `first` on, `count` of them on so many threads, and tells `progress` after
    /// each. Ends early with the lowest violation of those that were found.
    ///
    /// # Errors
    /// A violation.
    pub fn run_many(
        &self,
        first: u64,
        count: u64,
        threads: usize,
        progress: &(dyn Fn(&Summary) + Sync),
    ) -> Result<Summary, Violation> {
        let next = AtomicU64::new(first);
        let work = || {
            let mut total = Summary::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return Ok(total);
                }
                match self.run(seed) {
                    Ok(summary) => {
                        progress(&summary);
                        total.add(&summary);
                    }
                    Err(violation) => {
                        next.store(first + count, Ordering::Relaxed);
                        return Err(violation);
                    }
                }
            }
        };
        let mut total = Summary::default();
        let mut found: Option<Violation> = None;
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                match worker.join().expect("a simulation panics only where the host does") {
                    Ok(summary) => total.add(&summary),
                    Err(violation) if found.as_ref().is_none_or(|found| violation.seed < found.seed) => {
                        found = Some(violation);
                    }
                    Err(_) => {}
                }
            }
        });
        found.map_or(Ok(total), Err)
    }
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Summary {
    fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.stalls += other.stalls;
        self.drains += other.drains;
        self.faults += other.faults;
        self.verdicts += other.verdicts;
        self.follow_ups += other.follow_ups;
        self.ms += other.ms;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// Lets the hosts take turns, first in trouble, then in peace until all is settled.
fn drive(plan: &Plan, world: &World, hosts: &mut [SimHost], rng: &mut fastrand::Rng) -> Result<(), String> {
    let mut now_ms = 0;
    while now_ms < plan.trouble_ms {
        now_ms += rng.u64(5..=100);
        world.send_due(now_ms);
        for at in shuffled(hosts.len(), rng) {
            let host = &mut hosts[at];
            host.meddle(now_ms, rng);
            if rng.f64() < 0.02 {
                host.answer(rng);
            }
            host.step(now_ms);
        }
        world.check()?;
    }
    world.calm(now_ms);
    let end_ms = now_ms + SETTLED_WITHIN_MS;
    while !world.is_settled() {
        if now_ms > end_ms {
            return Err(world.unsettled());
        }
        now_ms += rng.u64(20..=200);
        for host in &mut *hosts {
            host.revive(now_ms);
            host.step(now_ms);
        }
        world.check()?;
    }
    // Each ends as on SIGTERM; in peace, what it holds must be released.
    for host in hosts {
        now_ms = host.drain_to_the_end(now_ms);
    }
    world.check()
}

fn shuffled(count: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut order);
    order
}
