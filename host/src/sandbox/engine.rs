//! The engine's settings, and the thread that ticks its epochs.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasq_core::clock;

use crate::config::Limits;

/// How often a computing guest yields to the host. A timeout is seen at most one tick late. No
/// setting: shorter costs every guest time, longer makes none faster.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Frames that are kept of a stack, from the innermost. Profiles show them, and interpreters have
/// about a hundred. A trap keeps as many, for which nobody asks.
pub const FRAMES_MAX: usize = 256;

/// After so many ticks without a guest the thread sleeps until one begins: an idle host does
/// nothing, and a busy one wakes nobody.
const IDLE_TICKS: u32 = 100;

/// What the host itself keeps for one instance beside its memories and tables: its functions,
/// globals, and handles' types. They follow from the component, which `max_component` bounds; no
/// operator would want them.
const CORE_INSTANCE_MAX_BYTES: usize = 1024 * 1024;
const COMPONENT_INSTANCE_MAX_BYTES: usize = 1024 * 1024;

/// Memory that stays with a slot when its instance is gone, so that the next one need not fault it
/// in again.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 1024 * 1024;
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 * 1024;

/// Memory maps of the kernel's that a running instance takes: the image of its memory, and each
/// part of memory, table and stack with rights of its own. It was counted with 3,000 at once.
const MAPS_AN_INSTANCE: u64 = 9;
/// Those that the rest of a host may have: libraries, threads, hundreds of plugins' code.
const OTHER_MAPS: u64 = 4_000;

/// Whether the kernel lets a process have so many instances at once. One that runs out of maps
/// cannot even say so: it aborts.
pub fn check_maps(limits: &Limits) -> Result<(), String> {
    match std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok()) {
        Some(allowed) => fits(limits.max_instances, allowed),
        // Not Linux.
        None => Ok(()),
    }
}

fn fits(max_instances: u32, allowed: u64) -> Result<(), String> {
    let needed = OTHER_MAPS + MAPS_AN_INSTANCE * u64::from(max_instances);
    if needed <= allowed {
        return Ok(());
    }
    let fitting = allowed.saturating_sub(OTHER_MAPS) / MAPS_AN_INSTANCE;
    Err(format!(
        "limits.max_instances = {max_instances} may take {needed} memory maps, and the kernel lets a process have {allowed}; \
         allow more with `sysctl -w vm.max_map_count={needed}`, or set max_instances to {fitting}"
    ))
}

/// An engine for many short-lived instances: pooled slots, copy-on-write images, epochs.
pub fn engine(limits: &Limits) -> wasmtime::Result<Engine> {
    let instances = limits.max_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(limits.core_instances))
        .total_memories(instances.saturating_mul(limits.memories))
        .total_tables(instances.saturating_mul(limits.tables))
        .total_stacks(instances)
        .total_gc_heaps(0)
        .max_core_instances_per_component(limits.core_instances)
        .max_memories_per_component(limits.memories)
        .max_tables_per_component(limits.tables)
        .max_memories_per_module(limits.memories)
        .max_tables_per_module(limits.tables)
        .max_core_instance_size(CORE_INSTANCE_MAX_BYTES)
        .max_component_instance_size(COMPONENT_INSTANCE_MAX_BYTES)
        .max_memory_size(limits.max_memory.as_u64() as usize)
        .table_elements(limits.table_elements)
        // With the scan, keeping pages resident costs only what the guest touched; without it, it
        // is slower than neither.
        .pagemap_scan(Enabled::Auto)
        // As many slots stay with the component that had them: with few, hundreds of plugins would
        // each begin in another's.
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_gc(false)
        .wasm_function_references(false);
    Engine::new(&config)
}

/// Ticks an engine's epoch while guests run, until it is dropped.
pub struct Ticker {
    tick: Duration,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// Guests that run.
    running: AtomicUsize,
    /// The thread sleeps until it is woken.
    sleeps: AtomicBool,
    began: Instant,
    /// The time of the last tick, in nanoseconds since `began`.
    last_tick_ns: AtomicU64,
}

thread_local! {
    /// The last tick before the guest that this thread drives began to compute.
    static MARK_NS: Cell<u64> = const { Cell::new(0) };
}

/// A guest that runs: as long as one does, the epoch ticks.
#[derive(Debug)]
pub struct Running(Arc<Shared>);

impl Running {
    /// From now on a guest computes on this thread.
    pub fn mark(&self) {
        MARK_NS.set(self.0.last_tick_ns.load(Ordering::Relaxed));
    }

    /// The time of the ticks that came since the mark, and none from before `since`: zero where
    /// there was no tick.
    pub fn since_mark(&self, since: Instant) -> Duration {
        let since = since.saturating_duration_since(self.0.began);
        let mark_ns = MARK_NS.get().max(since.as_nanos() as u64);
        Duration::from_nanos(self.0.last_tick_ns.load(Ordering::SeqCst).saturating_sub(mark_ns))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    pub fn start(engine: &Engine, tick: Duration) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::default(),
            running: AtomicUsize::default(),
            sleeps: AtomicBool::default(),
            began: clock::now(),
            last_tick_ns: AtomicU64::default(),
        });
        let engine = engine.weak();
        let thread = std::thread::Builder::new()
            .name("wasq-epoch".into())
            .spawn({
                let shared = shared.clone();
                move || tick_on(&engine, &shared, tick)
            })
            .expect("a thread can be started when the host starts");
        Self { tick, shared, thread: Some(thread) }
    }

    /// The time from one tick to the next.
    pub fn tick(&self) -> Duration {
        self.tick
    }

    /// A guest begins. One that begins while the thread is about to sleep is seen by it, or wakes
    /// it: both sides write first and then read what the other wrote.
    pub fn running(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.sleeps.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(self.shared.clone())
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

fn tick_on(engine: &EngineWeak, shared: &Shared, tick: Duration) {
    let mut idle_ticks = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        idle_ticks = if shared.running.load(Ordering::SeqCst) == 0 { idle_ticks + 1 } else { 0 };
        shared.sleeps.store(idle_ticks > IDLE_TICKS, Ordering::SeqCst);
        if idle_ticks > IDLE_TICKS && shared.running.load(Ordering::SeqCst) == 0 {
            std::thread::park();
        } else {
            std::thread::park_timeout(tick);
        }
        let elapsed = clock::now() - shared.began;
        shared.last_tick_ns.store(elapsed.as_nanos() as u64, Ordering::SeqCst);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // The thread runs nothing that can panic; a failed join changes nothing here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
