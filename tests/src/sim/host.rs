//! One simulated host: the real one's parts in a runtime of their own, stepped by hand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasq::flow::Services;
use wasq::flow::recent::RecentOutcome;
use wasq::timers::waits::Answered;

use wasq_core::clock::{self, Clock};
use wasq_core::message::UnixMs;

use super::answers::ANSWER;
use super::checks::Watch;
use super::kit::{HostTasks, Kit, begin};
use super::plan::{BARE, Plan};
use super::world::{EPOCH_MS, World};

/// How long what is due may still be sent after a drain.
const LAST_SENDS: Duration = Duration::from_secs(3);

/// A host's place in the world: who it is, and what time it has.
pub struct Seat {
    pub world: World,
    pub host: usize,
    boot_ms: u64,
    booted_at: Instant,
    dead: AtomicBool,
    died: Notify,
    /// The host that sits here.
    services: OnceLock<Weak<Services>>,
}

/// Past the end of every simulation.
pub const ALWAYS: UnixMs = UnixMs(u64::MAX / 2);

impl Seat {
    /// This host sits here from now on.
    pub fn take(&self, services: &Arc<Services>) {
        self.services.set(Arc::downgrade(services)).expect("a seat is taken once");
    }

    /// Tells the watch which runs the host has said to be done, of messages on which no ledger has
    /// a word.
    pub fn tell_runs(&self, watch: &mut Watch) {
        let Some(services) = self.services.get().and_then(Weak::upgrade).filter(|_| watch.waits_for_runs()) else {
            return;
        };
        let is_it = |outcome: &RecentOutcome| outcome.kind == BARE && outcome.class == "done";
        for outcome in services.recent.watch(ALWAYS).into_iter().filter(is_it) {
            watch.ran(outcome.message_id);
        }
    }

    /// The simulated time, as this host has it.
    pub fn now_ms(&self) -> u64 {
        self.boot_ms + (clock::now() - self.booted_at).as_millis() as u64
    }

    /// A moment at which the host may die; if it does, it is never left.
    pub async fn may_die(&self) {
        if self.world.lock().draw(|rates| rates.crash_at_call) {
            self.dead.store(true, Ordering::Relaxed);
            self.died.notify_one();
        }
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// The time that a call takes, one way.
    pub async fn travel(&self) {
        let wait_ms = {
            let state = &mut *self.world.lock();
            let (slow, latency_ms) = (state.visibility_ms * 2, state.rates.latency_ms);
            if state.draw(|rates| rates.slow) { state.rng.u64(0..=slow) } else { state.rng.u64(0..=latency_ms) }
        };
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }
}

impl Clock for Seat {
    fn now(&self) -> Instant {
        clock::now()
    }

    fn unix_ms(&self) -> UnixMs {
        UnixMs(EPOCH_MS + self.now_ms())
    }
}

/// A host, alive or not.
pub struct SimHost {
    id: usize,
    kit: Arc<Kit>,
    world: World,
    plan: Plan,
    life: Option<Life>,
    /// When it is started (again), or goes on.
    wakes_ms: u64,
}

struct Life {
    runtime: Runtime,
    seat: Arc<Seat>,
    tasks: Option<HostTasks>,
    drained: CancellationToken,
}

impl SimHost {
    pub fn new(id: usize, kit: &Arc<Kit>, world: &World, plan: &Plan) -> Self {
        Self { id, kit: kit.clone(), world: world.clone(), plan: plan.clone(), life: None, wakes_ms: 0 }
    }

    /// Lets something befall the host, as its plan has it.
    pub fn meddle(&mut self, now_ms: u64, rng: &mut Rng) {
        if now_ms < self.wakes_ms {
            return;
        }
        let Some(life) = &mut self.life else {
            return self.boot(now_ms);
        };
        let rates = self.plan.rates;
        if rng.f64() < rates.crash {
            self.die(now_ms, rng.u64(0..10_000));
        } else if rng.f64() < rates.stall {
            let longest_ms = 3 * self.plan.visibility.as_millis() as u64;
            self.wakes_ms = now_ms + rng.u64(100..=longest_ms);
            let state = &mut *self.world.lock();
            state.summary.stalls += 1;
            let (id, until) = (self.id, self.wakes_ms);
            state.trace(now_ms, || format!("host {id} stands still until {until}"));
        } else if rng.f64() < rates.term {
            life.drain(Duration::from_millis(rng.u64(0..=5_000)));
            let state = &mut *self.world.lock();
            state.summary.drains += 1;
            let id = self.id;
            state.trace(now_ms, || format!("host {id} is told to end"));
        } else if rng.f64() < rates.outage {
            let state = &mut *self.world.lock();
            state.outage_until_ms = now_ms + state.rng.u64(500..=15_000);
            let until = state.outage_until_ms;
            state.trace(now_ms, || format!("the ledger is down until {until}"));
        } else if rng.f64() < rates.cut {
            self.world.lock().cut(self.id, now_ms);
        } else if rng.f64() < rates.dlq_outage {
            let state = &mut *self.world.lock();
            state.dlq_gone_until_ms = now_ms + state.rng.u64(500..=60_000);
            let until = state.dlq_gone_until_ms;
            state.trace(now_ms, || format!("the DLQ is gone until {until}"));
        }
    }

    /// Somebody answers a wait, by this host, with a token that was given away.
    pub fn answer(&mut self, rng: &mut Rng) {
        let Some(life) = &self.life else { return };
        let Some(services) = life.seat.services.get().and_then(Weak::upgrade) else { return };
        let (key, token) = {
            let state = &mut *self.world.lock();
            if state.tokens.is_empty() {
                return;
            }
            let place = rng.usize(0..state.tokens.len());
            // Now and then it is used once more.
            if rng.f64() < 0.3 { state.tokens[place].clone() } else { state.tokens.swap_remove(place) }
        };
        let seat = life.seat.clone();
        life.runtime.spawn(async move {
            let Some(store) = &services.timers else { return };
            let answered = store.answer(&*services.ledger, &token, ANSWER.as_bytes()).await;
            let (now_ms, host) = (seat.now_ms(), seat.host);
            let state = &mut *seat.world.lock();
            state.trace(now_ms, || format!("host {host} is told the answer to {key:?}: {answered:?}"));
            if let Ok(Answered::Accepted) = answered
                && let Err(what) = state.watch.answers.accepted(key)
            {
                state.violated(now_ms, what);
            }
        });
    }

    /// Starts the host, or lets it go on, whatever its plan was.
    pub fn revive(&mut self, now_ms: u64) {
        self.wakes_ms = self.wakes_ms.min(now_ms);
        if self.life.is_none() {
            self.boot(now_ms);
        }
    }

    /// Lets the host live up to `to_ms`.
    pub fn step(&mut self, to_ms: u64) {
        if to_ms < self.wakes_ms {
            return;
        }
        let Some(life) = &self.life else { return };
        let seat = life.seat.clone();
        let now_ms = life.runtime.block_on(async { seat.now_ms() });
        // It stood still, and its clock has not.
        if now_ms < self.wakes_ms {
            self.world.lock().watch.resumed(self.id, self.wakes_ms);
            life.runtime.block_on(tokio::time::advance(Duration::from_millis(self.wakes_ms - now_ms)));
        }
        let target = seat.booted_at + Duration::from_millis(to_ms - seat.boot_ms);
        let ended = life.runtime.block_on(async {
            tokio::select! {
                biased;
                () = seat.died.notified() => Some("died"),
                () = life.drained.cancelled() => Some("has ended"),
                () = tokio::time::sleep_until(target) => None,
            }
        });
        self.world.lock().now_ms = to_ms;
        if ended == Some("died") {
            let pause_ms = self.world.lock().rng.u64(0..10_000);
            self.die(to_ms, pause_ms);
        } else if ended.is_some() {
            self.life = None;
            let state = &mut *self.world.lock();
            let (id, pause_ms) = (self.id, state.rng.u64(0..10_000));
            self.wakes_ms = to_ms + pause_ms;
            state.watch.quotas.gone(id);
            state.trace(to_ms, || format!("host {id} has ended"));
            state.check_released(id, to_ms);
            state.cut(id, to_ms);
        }
    }

    /// Ends the host in peace. The answer is the time when it has ended.
    pub fn drain_to_the_end(&mut self, mut now_ms: u64) -> u64 {
        const PATIENCE: Duration = Duration::from_secs(5);
        const LONGEST_MS: u64 = 60_000;
        let end_ms = now_ms + LONGEST_MS;
        if let Some(life) = &mut self.life {
            life.drain(PATIENCE);
        }
        while self.life.is_some() {
            now_ms += 100;
            self.step(now_ms);
            if now_ms > end_ms {
                let what = format!("host {} does not end {LONGEST_MS} ms after it was told to", self.id);
                self.world.lock().violated(now_ms, what);
                self.life = None;
            }
        }
        now_ms
    }

    fn die(&mut self, now_ms: u64, pause_ms: u64) {
        self.life = None;
        self.wakes_ms = now_ms + pause_ms;
        let state = &mut *self.world.lock();
        state.summary.crashes += 1;
        state.watch.quotas.gone(self.id);
        let id = self.id;
        state.trace(now_ms, || format!("host {id} dies"));
        state.cut(id, now_ms);
    }

    fn boot(&mut self, now_ms: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime can be made");
        let id = self.id;
        let (seat, tasks) = runtime.block_on(async {
            let seat = Arc::new(Seat {
                world: self.world.clone(),
                host: id,
                boot_ms: now_ms,
                booted_at: clock::now(),
                dead: AtomicBool::new(false),
                died: Notify::new(),
                services: OnceLock::new(),
            });
            let tasks = begin(&self.kit, &seat, &self.plan);
            (seat, tasks)
        });
        self.wakes_ms = now_ms;
        self.world.lock().trace(now_ms, || format!("host {id} starts"));
        self.life = Some(Life { runtime, seat, tasks: Some(tasks), drained: CancellationToken::new() });
    }
}

impl Life {
    /// As on SIGTERM.
    fn drain(&mut self, patience: Duration) {
        let Some(HostTasks { mut workers, timers: (timers, stop_timers), quotas }) = self.tasks.take() else { return };
        let drained = self.drained.clone();
        self.runtime.spawn(async move {
            stop_timers.cancel();
            workers.drain(patience, std::future::pending()).await;
            let _gives_up = tokio::time::timeout(LAST_SENDS, timers).await;
            if let Some(quotas) = quotas {
                quotas.give_back(workers.services()).await;
            }
            workers.flush().await;
            drained.cancel();
        });
    }
}
