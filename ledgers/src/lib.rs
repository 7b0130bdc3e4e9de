//! The durable record of claims, attempts, completed steps and completions, by idempotency key, in
//! one of four stores.
//!
//! [`Ledger`] is the seam; [`open`] picks its store by the config. What a claim and a finish make
//! of an entry is said once, by pure functions ([`entry`]); a store keeps what they say, each in
//! its own way.

pub mod config;
pub mod documents;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod entry;
mod error;
mod fence;
mod ledger;
#[cfg(feature = "local")]
pub mod local;
mod meters;
mod open;
#[cfg(any(feature = "dynamodb", feature = "local", feature = "postgres", feature = "redis"))]
mod pauses;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod remote;
pub mod timers;

pub use ledger::{Claim, ClaimRequest, Completion, Ended, Fence, Finish, Fresh, Ledger, LedgerError};
pub use meters::LedgerMeters;
pub use open::{OpenError, open};
