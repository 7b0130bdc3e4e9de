//! The ledger's contract: cases that every store passes, and what each promises beyond them.

mod again;
mod contract;
mod documents;
mod dynamodb;
mod keeper;
mod local;
mod outage;
mod postgres;
mod quotas;
mod redis;
mod timers;
mod two_hosts;
