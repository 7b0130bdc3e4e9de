//! What a profile measured.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::Profile;

/// What was measured, in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileSummary {
    /// How long it was recorded.
    pub elapsed_ms: f64,
    /// The time from one sample of a computing guest to the next.
    pub interval_ms: f64,
    pub samples: usize,
    /// The time that they stand for.
    pub sampled_ms: f64,
    /// Runs that ended meanwhile.
    pub runs: u64,
    /// Their processor time.
    pub cpu_ms: f64,
    /// It was full before its end.
    pub is_full: bool,
}

impl ProfileSummary {
    pub fn of(profile: &Profile) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (samples, sampled) = (profile.stacks.samples.len(), profile.stacks.weight());
        // A busy machine makes ticks late.
        let interval = if samples > 0 { sampled.div_f64(samples as f64) } else { profile.interval };
        Self {
            elapsed_ms: ms(profile.elapsed),
            interval_ms: ms(interval),
            samples,
            sampled_ms: ms(sampled),
            runs: profile.runs,
            cpu_ms: ms(profile.cpu),
            is_full: profile.stacks.is_full,
        }
    }
}

impl fmt::Display for ProfileSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { elapsed_ms, interval_ms, samples, sampled_ms, runs, cpu_ms, is_full } = self;
        let [elapsed, interval, sampled, cpu] = [elapsed_ms, interval_ms, sampled_ms, cpu_ms].map(|ms| time(*ms));
        match (samples, runs) {
            (0, 0) => write!(f, "nothing ran in {elapsed}"),
            (0, _) => write!(
                f,
                "no sample in {elapsed}: one is taken every {interval} of computing, and the {runs} runs computed for {cpu}"
            ),
            (_, _) => write!(
                f,
                "{samples} samples in {elapsed}, one every {interval} of computing, for {sampled} of it; \
                 {runs} runs ended, with {cpu} of processor time"
            ),
        }?;
        if *is_full { write!(f, "; it was full before its end") } else { Ok(()) }
    }
}

/// A time with three digits or so.
pub(super) fn time(ms: f64) -> String {
    match ms {
        1_000.0.. => format!("{:.2} s", ms / 1e3),
        10.0.. => format!("{ms:.0} ms"),
        _ => format!("{ms:.1} ms"),
    }
}
