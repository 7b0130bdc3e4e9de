//! The engine's settings, and the thread that ticks its epochs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::config::Limits;

/// How often a computing guest yields to the host. A timeout is seen at most one tick late. No setting: shorter costs every guest
/// time, longer makes none faster.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);

/// What the host itself keeps for one instance beside its memories and tables: its functions, globals, and handles' types. They
/// follow from the component, which `max_component` bounds; no operator would want them.
const CORE_INSTANCE_MAX_BYTES: usize = 1024 * 1024;
const COMPONENT_INSTANCE_MAX_BYTES: usize = 1024 * 1024;

/// Memory that stays with a slot when its instance is gone, so that the next one need not fault it in again.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 1024 * 1024;
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 * 1024;

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
        // With the scan, keeping pages resident costs only what the guest touched; without it, it is slower than neither.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        .epoch_interruption(true)
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_gc(false)
        .wasm_function_references(false);
    Engine::new(&config)
}

/// Ticks an engine's epoch until it is dropped.
pub struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub fn start(engine: &Engine) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let engine = engine.weak();
        let thread = std::thread::Builder::new()
            .name("wasq-epoch".into())
            .spawn({
                let stop = stop.clone();
                move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::park_timeout(EPOCH_TICK);
                        match engine.upgrade() {
                            Some(engine) => engine.increment_epoch(),
                            None => return,
                        }
                    }
                }
            })
            .expect("a thread can be started when the host starts");
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread runs nothing that can panic; a failed join changes nothing here.
            let _ = thread.join();
        }
    }
}
