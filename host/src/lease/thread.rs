//! The keeper's thread: a runtime of its own, so that neither busy handlers nor other tasks' calls
//! stand before a renewal.

use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What ends the renewals: the token that stops them, and the thread that makes them, if there is
/// one. Dropped, it stops them and waits for the thread.
pub struct KeeperThread {
    stop: CancellationToken,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl KeeperThread {
    /// No thread: somebody else does the work until `stop`.
    pub fn elsewhere(stop: CancellationToken) -> Self {
        Self { stop, handle: Mutex::default() }
    }

    /// Starts the thread. The future is made on it, and so are the connections that it makes.
    pub fn start<F: Future<Output = ()>>(&self, work: impl FnOnce() -> F + Send + 'static) {
        let thread = std::thread::Builder::new().name("wasq-lease".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made when a queue is opened");
            runtime.block_on(work());
        });
        *self.handle.lock() = Some(thread.expect("a thread can be started when a queue is opened"));
    }

    /// Stops the work, and waits for the thread without blocking the caller's runtime: at most a
    /// tick.
    pub async fn stop(&self) {
        self.stop.cancel();
        let thread = self.handle.lock().take();
        if let Some(thread) = thread
            && let Err(error) = tokio::task::spawn_blocking(move || join(thread)).await
        {
            tracing::error!(%error, "the lease keeper could not be stopped");
        }
    }
}

impl Drop for KeeperThread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.handle.lock().take() {
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("the lease keeper's thread panicked");
    }
}
