//! What operators look at: the metrics of the whole host, gathered from where they are counted, and
//! the ways on which they leave.

mod emf;
mod gather;
pub mod otlp;
mod prometheus;
mod sample;
mod scale;

use std::sync::Arc;

use arc_swap::ArcSwapOption;

pub use emf::{Before, emf, write_emf};
pub use gather::{Family, Series, Value, gather};
pub use prometheus::{CONTENT_TYPE, text};
pub use sample::sample;
pub use scale::{Depth, QueueScale, Scale, follow_scale};

use crate::admission::fair_queue::FairStatus;
use crate::admission::queue_limit::AutoStatus;
use crate::growing_list::GrowingList;

use crate::flow::{QueueRuntime, Services};

/// What metrics are gathered from.
#[derive(Clone)]
pub struct Source {
    pub services: Arc<Services>,
    pub open: GrowingList<Arc<QueueRuntime>>,
    /// How many hosts the work needs, as was found last.
    pub scale: Arc<ArcSwapOption<Scale>>,
}

impl Source {
    /// The queues that are open, in the order in which they were opened.
    pub fn runtimes(&self) -> Arc<Vec<Arc<QueueRuntime>>> {
        self.open.items()
    }

    /// What there is of each queue with `fair_by`.
    pub fn fair(&self) -> Vec<FairStatus> {
        let runtimes = self.runtimes();
        runtimes.iter().filter_map(|runtime| Some(runtime.fair.as_ref()?.status(&runtime.name))).collect()
    }

    /// What there is of each queue with `concurrency = "auto"`.
    pub fn concurrency(&self) -> Vec<AutoStatus> {
        let status = |runtime: &Arc<QueueRuntime>| runtime.limit.status(&runtime.name, runtime.keeper.in_progress());
        self.runtimes().iter().filter_map(status).collect()
    }
}
