//! The integration tests.

mod cli;
mod clients;
mod crash;
mod docs;
mod egress;
mod faults_clock;
mod faults_crash;
mod faults_fifo;
mod faults_lease;
mod faults_ledger;
mod faults_message;
mod faults_plugin;
mod faults_process;
mod faults_queue;
mod faults_sqs;
mod flow;
mod fuzz;
mod hostile;
mod ledger;
mod local_sqs;
mod moto;
mod plugins;
mod process;
mod shop;
mod simulator;
mod support;
