//! Profiles of guests: which functions they compute in, by samples of their stacks.
//!
//! A computing guest calls the host at every tick of the epoch, to yield. While somebody profiles
//! its plugin, that call takes a sample first. So a profile sees runs that began before it, and
//! when there is none, nothing is done for it but one look at a flag in a tick.
//!
//! A tick finds a guest as likely in a function as that function's share of the time, also guests
//! whose whole run is shorter than a tick: few of them are seen, and each sample stands for a whole
//! tick. A tick that comes while a guest waits, or while its instance is made, finds no function of
//! it. Such a tick gives no sample, although the guest calls the host for it later
//! (`Running::since_mark`).

mod name;
mod stacks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wasmtime::{AsContext, WasmBacktrace};
use wasq_core::clock;
use wasq_core::message::UnixMs;

use super::engine::Running;
use name::Frame;
use stacks::Recorder;

pub use stacks::{Call, Sample, Stacks};

/// The most ticks that one sample stands for. A guest that had more of them at once has mostly lost
/// its processor to others, and that says nothing of its functions. Two, since ticks may be late.
const TICKS_MAX: u32 = 2;

/// What of a plugin's runs is recorded now. It is a part of the plugin's policy, where the runs
/// find it.
#[derive(Debug, Default)]
pub struct Profiler {
    is_on: AtomicBool,
    recording: Mutex<Option<Arc<Recording>>>,
}

/// A profile that is being recorded. Its end, or its drop, ends the recording.
pub struct Profiling {
    plugin: String,
    /// One for each version of the plugin.
    profilers: Vec<Arc<Profiler>>,
    recording: Arc<Recording>,
}

/// A profile of a plugin.
#[derive(Debug)]
pub struct Profile {
    pub plugin: String,
    pub began_at: UnixMs,
    /// How long it was recorded.
    pub elapsed: Duration,
    /// The time from one sample of a computing guest to the next.
    pub interval: Duration,
    /// Runs that ended meanwhile.
    pub runs: u64,
    /// The processor time of those runs, from their beginning.
    pub cpu: Duration,
    pub stacks: Stacks,
}

/// Why a profile cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("a profile of this plugin is being recorded already; wait for its end")]
    Busy,
    #[error("this sandbox has no ticks to sample by")]
    NoTicks,
}

#[derive(Debug)]
struct Recording {
    /// Ticks go on between the runs: a ticker that slept would tick when a run begins, and every
    /// sample would be of its first function.
    running: Running,
    interval: Duration,
    began: Instant,
    began_at: UnixMs,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    recorder: Recorder,
    runs: u64,
    cpu: Duration,
}

impl Profiling {
    pub(super) fn start(
        plugin: &str,
        profilers: Vec<Arc<Profiler>>,
        running: Running,
        interval: Duration,
    ) -> Result<Self, ProfileError> {
        let (began, began_at) = (clock::now(), clock::unix_ms());
        let recording = Arc::new(Recording { running, interval, began, began_at, recorded: Mutex::default() });
        let mut profiling = Self { plugin: plugin.to_owned(), profilers: Vec::new(), recording };
        for profiler in profilers {
            let mut current = profiler.recording.lock();
            if current.is_some() {
                return Err(ProfileError::Busy);
            }
            *current = Some(profiling.recording.clone());
            profiler.is_on.store(true, Ordering::Relaxed);
            drop(current);
            profiling.profilers.push(profiler);
        }
        Ok(profiling)
    }

    /// Ends the recording.
    pub fn finish(self) -> Profile {
        let Recorded { recorder, runs, cpu } = std::mem::take(&mut *self.recording.recorded.lock());
        let Recording { began, began_at, interval, .. } = *self.recording;
        let (plugin, elapsed) = (self.plugin.clone(), clock::now() - began);
        Profile { plugin, began_at, elapsed, interval, runs, cpu, stacks: recorder.into_stacks() }
    }
}

impl Drop for Profiling {
    fn drop(&mut self) {
        for profiler in &self.profilers {
            profiler.is_on.store(false, Ordering::Relaxed);
            *profiler.recording.lock() = None;
        }
    }
}

impl Profiler {
    /// A tick interrupts a guest, which is on this thread's stack.
    pub(super) fn sample(&self, guest: impl AsContext) {
        let Some(recording) = self.current() else { return };
        let weight = recording.running.since_mark(recording.began).min(recording.interval * TICKS_MAX);
        if weight.is_zero() {
            return;
        }
        let at = clock::now() - recording.began;
        let trace = WasmBacktrace::force_capture(guest);
        let frames = trace.frames().iter().rev().map(|frame| Frame {
            symbol: frame.func_name(),
            module: frame.module().name(),
            index: frame.func_index(),
        });
        recording.recorded.lock().recorder.add(at, weight, frames);
    }

    /// A run has ended, which had this processor time.
    pub(super) fn ended(&self, cpu: Duration) {
        let Some(recording) = self.current() else { return };
        let mut recorded = recording.recorded.lock();
        recorded.runs += 1;
        recorded.cpu += cpu;
    }

    #[inline]
    fn current(&self) -> Option<Arc<Recording>> {
        if self.is_on.load(Ordering::Relaxed) { self.recording.lock().clone() } else { None }
    }
}
