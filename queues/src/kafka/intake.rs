//! The member of a group that a queue is once somebody receives: an inbox, and the thread that fills
//! it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::config::KafkaOrder;
use super::consumer::{Settings, run};
use super::inbox::Inbox;

/// How long whoever has the queue last may wait until the host has left the group: others have its
/// partitions at once then, and otherwise after `session_timeout`.
const LEAVE_MAX: Duration = Duration::from_secs(5);

pub struct Intake {
    pub inbox: Arc<Inbox>,
    /// It ends when it is told to stop, which is waited for.
    _thread: JoinHandle<()>,
}

impl Intake {
    /// Begins to read.
    ///
    /// # Errors
    /// The system's word where it has no thread for it.
    pub fn begin(settings: Settings, order: KafkaOrder) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::new(order));
        let own = inbox.clone();
        let name = "wasq-kafka".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || run(&own, &settings))?;
        Ok(Self { inbox, _thread: thread })
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.inbox.stop(LEAVE_MAX);
    }
}
