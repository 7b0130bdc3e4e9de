//! Backpressure: a type whose queue is too full, or whose messages wait too long, is taken later.

use std::time::Duration;

use super::app::App;
use super::failure::Failure;

impl App {
    /// Why a message of the type is not taken now, by the last sample of its queue.
    pub(super) fn pressure(&self, kind: &str, queue: &str) -> Result<(), Failure> {
        let Some(config) = self.config.ingress.types.get(kind) else { return Ok(()) };
        if config.max_depth.is_none() && config.max_lag.is_none() {
            return Ok(());
        }
        let runtimes = self.runtimes.items();
        let Some(runtime) = runtimes.iter().find(|runtime| runtime.name == queue) else { return Ok(()) };
        // Nothing is known anew before the next sample.
        let next_sample_s = self.config.telemetry.sample_interval.as_secs();
        let depth = runtime.meters.visible.get();
        if let (Some(max), Some(depth)) = (config.max_depth, depth)
            && depth > max as f64
        {
            let reason = format!("{depth} messages wait in the queue, and {max} may (ingress.types.{kind}.max_depth)");
            return Err(Failure::later(reason, next_sample_s));
        }
        // What the lag was when there was something to receive says nothing of an empty queue.
        let is_empty = depth.is_some_and(|depth| depth == 0.0);
        if let (Some(max), Some(lag_s)) = (config.max_lag, runtime.meters.lag_s.get())
            && lag_s > max.as_secs_f64()
            && !is_empty
        {
            let lag = Duration::from_secs_f64(lag_s);
            let reason = format!("messages wait for {lag:?}, and may for {max:?} (ingress.types.{kind}.max_lag)");
            return Err(Failure::later(reason, next_sample_s));
        }
        Ok(())
    }
}
