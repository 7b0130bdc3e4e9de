//! Handlers in Rust, TypeScript and Python: one list of cases, run through the host's own sandbox,
//! and the same answers.

mod components;
mod conformance;
mod contract;
mod examples;
mod http_components;
mod other;
mod projects;
mod runner;
