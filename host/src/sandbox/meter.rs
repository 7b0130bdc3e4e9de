//! How much processor time the runs have, for whoever asks.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;

/// The processor time of all runs so far: instances made, called and taken down, the guest and its calls of the host.
#[derive(Debug, Default)]
pub struct Meter {
    cpu_ns: AtomicU64,
}

impl Meter {
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }
}

/// Drives a run, counting what its polls cost if there is a meter.
pub async fn metered<T>(run: impl Future<Output = T>, meter: Option<Arc<Meter>>) -> T {
    let Some(meter) = meter else { return run.await };
    let mut run = pin!(run);
    poll_fn(|context| {
        let began = clock::thread_cpu();
        let polled = run.as_mut().poll(context);
        let had = clock::thread_cpu().saturating_sub(began);
        meter.cpu_ns.fetch_add(had.as_nanos() as u64, Ordering::Relaxed);
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn computing_is_counted_and_waiting_is_not() {
        let meter = Arc::new(Meter::default());
        metered(tokio::time::sleep(Duration::from_millis(60)), Some(meter.clone())).await;
        let waited = meter.cpu();
        assert!(waited < Duration::from_millis(30), "{waited:?}");
        let compute = async {
            let began = clock::thread_cpu();
            while clock::thread_cpu() - began < Duration::from_millis(40) {}
        };
        metered(compute, Some(meter.clone())).await;
        assert!(meter.cpu() - waited >= Duration::from_millis(40), "{:?}", meter.cpu());
    }
}
