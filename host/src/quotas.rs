//! Quotas: what all hosts of a service may do together, kept in the ledger's documents.
//!
//! A host takes a part of a quota for a while, and spends it without asking again, so that a
//! message costs no call of its own. Every change of a document is decided by a pure function over
//! what stands there ([`rate_document`], [`pool_document`]) and written under the fence that was
//! read. [`crate::admission`] decides what a host asks for, and spends it.

pub mod breaker_document;
pub mod host_report;
pub mod limit_document;
pub mod pool_document;
pub mod rate_document;
mod store;

pub use store::{POOL_PREFIX, QuotaStore, RATE_PREFIX};
