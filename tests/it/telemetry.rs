//! What operators see of a host: metrics, health, logs.

mod collector;
mod emf;
mod health;
mod logs;
mod metrics;
mod traces;
