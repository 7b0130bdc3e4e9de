//! What the host counts: every metric's definition, and the meters behind those that are counted on
//! a delivery's way.
//!
//! A meter is a few atomics. Whoever counts holds it, or finds it without a lock; only a scrape or
//! an export reads them all.

mod definitions;
mod ingress;
mod queue;

pub use definitions::*;
pub use ingress::IngressMeters;
pub use queue::QueueMeters;
pub use wasq_core::meters::{Counter, Gauge, Histogram, Snapshot};
