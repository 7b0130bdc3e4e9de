//! The integration tests.

mod faults_message;
mod faults_plugin;
mod faults_process;
mod faults_queue;
mod flow;
mod ledger;
mod plugins;
mod shop;
mod support;
