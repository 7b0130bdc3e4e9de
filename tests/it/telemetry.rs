//! What operators see of a host: metrics, health, logs.

mod health;
mod metrics;
