//! What an operator sees: meters and their definitions, the stats by type and plugin, spans,
//! health, and the ways on which all of it leaves the host.
//!
//! Whoever does the work counts here. [`export`] reads what was counted; it is the only part that
//! knows the flow.

pub mod export;
pub mod health;
pub mod metrics;
pub mod spans;
pub mod stats;
pub mod top_keys;
pub mod usage;
