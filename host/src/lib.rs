//! wasq: a worker host that runs the handlers of an SQS queue's messages as WebAssembly components.

pub mod admin;
pub mod aws;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crew;
pub mod dlq;
pub mod exit;
pub mod flow;
pub mod health;
pub mod host;
pub mod lease;
pub mod ledger;
pub mod local_sqs;
pub mod message;
pub mod metrics;
pub mod permits;
pub mod plugins;
pub mod queue;
pub mod redrive;
pub mod sandbox;
pub mod stats;
pub mod telemetry;
pub mod trace;
pub mod worker;
