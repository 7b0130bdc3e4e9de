//! The endpoint over its two protocols, as raw HTTP: what SQS answers to the same requests, in its
//! own codes, words and keys. Those were recorded against AWS by the authors of public test suites.

mod attributes;
mod batches;
mod browsers;
mod embedding;
mod fifo;
mod messages;
mod move_tasks;
mod permissions_and_tags;
mod query;
mod readme;
mod regions;
mod support;
