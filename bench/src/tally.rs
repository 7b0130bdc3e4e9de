//! What a consumer's tasks have done between them, and when it is enough.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// After so long without progress the run has failed.
const STALLED: Duration = Duration::from_secs(60);

/// Counts up to a number of messages.
pub struct Tally {
    wanted: u64,
    handled: AtomicU64,
    enough: CancellationToken,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub fn new(wanted: u64) -> Self {
        let enough = CancellationToken::new();
        if wanted == 0 {
            enough.cancel();
        }
        Self { wanted, handled: AtomicU64::new(0), enough, calls: Mutex::default() }
    }

    /// So many more were handled and deleted.
    pub fn handle(&self, messages: u64) {
        if self.handled.fetch_add(messages, Ordering::Relaxed) + messages >= self.wanted {
            self.enough.cancel();
        }
    }

    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// A call of the queue is made.
    pub fn called(&self, operation: &'static str) {
        *self.calls.lock().entry(operation).or_default() += 1;
    }

    /// The calls so far, by operation.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let calls = self.calls.lock();
        calls.iter().map(|(operation, calls)| ((*operation).to_owned(), *calls)).collect()
    }

    /// Waits until all are handled, then ends the tasks where they stand.
    ///
    /// # Errors
    /// When one of them fails first, or nothing happens any more.
    pub async fn reached(&self, tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
        loop {
            let before = self.handled();
            tokio::select! {
                biased;
                () = self.enough.cancelled() => break,
                Some(ended) = tasks.join_next() => ended??,
                () = tokio::time::sleep(STALLED) => {
                    let handled = self.handled();
                    let wanted = self.wanted;
                    anyhow::ensure!(handled > before, "{handled} of {wanted} messages are done, and nothing has happened for {STALLED:?}");
                }
            }
        }
        tasks.abort_all();
        Ok(())
    }
}
