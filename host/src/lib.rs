//! wasq: a worker host that runs the handlers of an SQS queue's messages as WebAssembly components.

pub mod admin;
pub mod admission;
pub mod cli;
pub mod config;
pub mod dlq;
pub mod exit;
pub mod flow;
pub mod groups;
mod growing_list;
pub mod host;
pub mod http_port;
pub mod ingress;
mod json;
pub mod lease;
pub mod oci;
pub mod plugins;
mod private_dir;
pub mod profile;
pub mod quotas;
pub mod sandbox;
pub mod telemetry;
pub mod timers;
pub mod workers;
