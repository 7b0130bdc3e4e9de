//! Runs a handler: a fresh instance of its component for every message, inside every limit, then
//! gone.

mod address;
mod bindings;
mod compile_error;
mod contract;
pub mod egress;
mod engine;
mod grants;
mod groups;
mod http_handler;
mod imports;
mod imports_0_1;
mod job;
mod last_words;
mod logging;
mod offload;
mod outbox;
pub mod processor;
mod profiler;
mod send_options;
mod state;
mod steps;
pub mod text;

use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasq_core::clock;

pub use compile_error::CompileError;
pub use grants::{Grants, OWN_QUEUE};
pub use job::{Job, Parking, Policy, RunReport};
pub use outbox::{Destinations, OutboxMessage};
pub use profiler::{Call, Profile, ProfileError, Profiler, Profiling, Sample, Stacks};

use bindings::wasq::worker::messages::{Failure, Outcome};
use contract::Export;
use state::State;

use crate::config::Limits;
use crate::exit::Exit;
use crate::telemetry::usage::RunUsage;

/// The engine and what every run shares. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    linker: Arc<Linker<State>>,
    limits: Arc<Limits>,
    /// Held as long as guests may run.
    ticker: Option<Arc<engine::Ticker>>,
    /// Runs in place of every handler.
    native: Option<Native>,
}

/// A handler that is no component.
pub type Native = fn(&Job) -> Exit;

/// A component, compiled, checked against the contract and ready to be instantiated.
#[derive(Clone)]
pub struct Handler {
    export: Export,
    cpu_class: offload::CpuClass,
    /// Whether it imports what waits for answers.
    may_wait: bool,
}

/// The interface by which a handler waits for answers.
const WAITS: &str = "wasq:worker/waits@";

impl Handler {
    /// Whether it may wait for answers.
    pub fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// Where its last run computed until its timeout, the next ones go one by one: what a run needs
    /// one permit of, until one of them has ended otherwise.
    pub fn alone(&self) -> Option<&Arc<Semaphore>> {
        self.cpu_class.alone()
    }
}

impl Sandbox {
    /// Makes the engine, its linker and the thread that ticks its epochs.
    pub fn new(limits: &Limits) -> wasmtime::Result<Self> {
        Self::with_tick(limits, engine::EPOCH_TICK)
    }

    /// As [`Sandbox::new`], with another time from one tick to the next: shorter ones cost every
    /// guest more, and show more of a short run in a profile.
    pub fn with_tick(limits: &Limits, tick: Duration) -> wasmtime::Result<Self> {
        engine::check_maps(limits).map_err(wasmtime::Error::msg)?;
        let sandbox = Self::without_ticks(limits)?;
        Ok(Self { ticker: Some(Arc::new(engine::Ticker::start(&sandbox.engine, tick))), ..sandbox })
    }

    /// A sandbox whose guests yield only when they wait: what they do is the same every time. An
    /// endless loop ends never.
    pub fn without_ticks(limits: &Limits) -> wasmtime::Result<Self> {
        let engine = engine::engine(limits)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        bindings::Contract::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        bindings::v0_1::Worker::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        Ok(Self { engine, linker: Arc::new(linker), limits: Arc::new(limits.clone()), ticker: None, native: None })
    }

    /// The same, with this function in place of every handler: what a sandbox costs is the
    /// difference.
    pub fn natively(self, native: Native) -> Self {
        Self { native: Some(native), ..self }
    }

    /// Compiles a component. Takes 0.1 s to seconds of CPU, and no bound holds it: call it off the
    /// serving threads.
    pub fn compile(&self, bytes: &[u8]) -> Result<Handler, CompileError> {
        let component =
            Component::new(&self.engine, bytes).map_err(|error| CompileError::of_engine(text::root_cause(&error)))?;
        self.handler(&component)
    }

    /// Machine code of a component, for [`Sandbox::load_code`] of an engine with the same settings.
    ///
    /// # Errors
    /// What is wrong with the component, in words.
    pub fn precompile(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.engine.precompile_component(bytes).map_err(|error| text::root_cause(&error))
    }

    /// Tells engines apart whose code does not fit the other.
    pub fn compatibility(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    /// A handler from machine code that [`Sandbox::precompile`] made, in this process or in one
    /// that this host started.
    #[allow(unsafe_code, reason = "machine code is run as it is; this is the one place that takes it")]
    pub fn load_code(&self, code: &[u8]) -> Result<Handler, CompileError> {
        // SAFETY: The code comes from `precompile`: over a pipe from our own binary, or out of the
        // cache, where its keyed digest says that this host put it there. The engine refuses code
        // of another version or other settings.
        let component = unsafe { Component::deserialize(&self.engine, code) };
        self.handler(&component.map_err(|error| CompileError::of_engine(text::root_cause(&error)))?)
    }

    /// A component that is checked against the contract.
    fn handler(&self, component: &Component) -> Result<Handler, CompileError> {
        let export = Export::of(component, &self.engine, &self.linker)?;
        let may_wait = component.component_type().imports(&self.engine).any(|(name, _)| name.starts_with(WAITS));
        Ok(Handler { export, cpu_class: offload::CpuClass::default(), may_wait })
    }

    /// Records from now on what a plugin's runs compute in, those that run already too.
    /// `profilers` are those of the policies of all its versions.
    ///
    /// # Errors
    /// When that is being recorded already.
    pub fn profile(&self, plugin: &str, profilers: Vec<Arc<Profiler>>) -> Result<Profiling, ProfileError> {
        let ticker = self.ticker.as_ref().ok_or(ProfileError::NoTicks)?;
        Profiling::start(plugin, profilers, ticker.running(), ticker.tick())
    }

    /// Runs one attempt to its end or its timeout. Dropping the future stops the guest, at the
    /// latest with the next tick. No more than `max_instances` run at once: `permits` are what the
    /// caller has for the run, and are given back when its instance is gone.
    pub async fn run(&self, handler: &Handler, job: Job, permits: impl Send + 'static) -> RunReport {
        if let Some(native) = self.native {
            let started_at = clock::now();
            let exit = native(&job);
            let usage = RunUsage { elapsed: clock::now() - started_at, ..RunUsage::default() };
            return RunReport { exit, outbox: Vec::new(), usage };
        }
        let started_at = clock::now();
        let (limit, line) = (job.policy.timeout, job.line.clone());
        let (message, state) = State::new(job, self.limits.clone(), started_at + limit);
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(self.limits.hostcall_bytes);
        store.set_max_component_handles(self.limits.open_handles);
        // Yields to the runtime at every tick, so that the timeout below is polled while the guest
        // computes.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|guest| {
            guest.data().policy.profiler.sample(&guest);
            Ok(UpdateDeadline::Yield(1))
        });

        let export = handler.export.clone();
        let ticks = self.ticker.as_ref().map(|ticker| ticker.running());
        let run = async move {
            let mark = || {
                if let Some(ticks) = &ticks {
                    ticks.mark();
                }
            };
            let returned = {
                // The time that an instance takes is no function's of the guest.
                let mut call = pin!(export.call(&mut store, message, mark));
                let polled = poll_fn(|context| {
                    mark();
                    call.as_mut().poll(context)
                });
                tokio::time::timeout(limit, polled).await
            };
            let state = store.into_data();
            state.log.end();
            drop((permits, ticks));
            (returned, state)
        };
        // Without ticks no guest yields, and what it does is the same every time.
        let ((returned, state), cpu) = match &self.ticker {
            Some(_) => offload::drive(run, &handler.cpu_class, line, |(returned, _)| returned.is_err()).await,
            None => (run.await, Duration::ZERO),
        };
        let exit = match returned {
            Err(_) => Exit::Timeout { limit },
            Ok(Ok(said)) => self.exit_said(said, state.retry_after),
            Ok(Err(error)) => state.exit_of(&error),
        };
        state.policy.profiler.ended(cpu);
        let exit = state.with_what_the_host_saw(exit);
        let usage = RunUsage { elapsed: clock::now() - started_at, cpu, ..state.usage() };
        let outbox = if matches!(exit, Exit::Done { .. }) { state.into_outbox() } else { Vec::new() };
        RunReport { exit, outbox, usage }
    }

    /// From the guest's words to an exit, with every text capped.
    fn exit_said(&self, said: Result<Outcome, Failure>, after: Option<Duration>) -> Exit {
        let reason = |text: String| text::sanitize(&text, self.limits.reason_bytes);
        match said {
            Ok(Outcome::Done(result)) => match result {
                Some(bytes) if bytes.len() > self.limits.result_bytes => Exit::BadResult {
                    reason: format!(
                        "the result has {} bytes; the limit is {} (limits.result_bytes)",
                        bytes.len(),
                        self.limits.result_bytes
                    ),
                },
                result => Exit::Done { result },
            },
            Ok(Outcome::Discard(text)) => Exit::Discard { reason: reason(text) },
            Ok(Outcome::Snooze(ms)) => Exit::Snooze { delay: Duration::from_millis(ms) },
            Err(Failure::Retry(text)) => Exit::Retry { reason: reason(text), after },
            Err(Failure::Unavailable(down)) => Exit::Unavailable {
                dependency: text::sanitize(&down.dependency, DEPENDENCY_MAX_BYTES),
                reason: reason(down.reason),
                // Its breaker waits as long.
                after: after.map(|after| after.min(UNAVAILABLE_MAX)),
            },
            Err(Failure::Reject(text)) => Exit::Reject { reason: reason(text) },
        }
    }
}

/// The longest time for which a guest may say that a dependency is down.
const UNAVAILABLE_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// The longest name of a dependency that a guest may report. No setting: it is a host's name, which
/// has 253 bytes.
const DEPENDENCY_MAX_BYTES: usize = 256;
