//! What a message costs on this machine, where, and beside whom.
//!
//! `wasq-bench` ([`command`]) starts a queue and, one after the other, the consumers that are
//! compared: each is a process of its own ([`worker_process`]), so that its CPU time and memory are
//! its own. [`workload`] is what they are sent.

mod calibrate;
mod call_process;
pub mod command;
mod contestant;
mod environment;
mod handler;
mod host_process;
mod machine;
mod native_kafka;
mod native_process;
mod native_rabbitmq;
mod native_redis;
pub mod no_ledger;
mod peers;
mod pins;
mod print;
mod process;
mod produce_process;
pub mod protocol;
mod queue_process;
mod queue_servers;
mod queue_site;
mod report;
mod round;
mod tally;
mod trigger_process;
pub mod worker_process;
pub mod workload;
