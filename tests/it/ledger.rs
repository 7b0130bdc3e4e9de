//! The ledger's contract: cases that every store passes, and what the local one promises beyond them.

mod contract;
mod dynamodb;
mod local;
