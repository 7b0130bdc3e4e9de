//! What is sent later: messages that wait in the ledger for their time.
//!
//! A message is *parked* when it must wait for longer than its queue can hide it or keeps it, or
//! until a time that its producer named: it is stored in the ledger, then deleted from its queue,
//! then sent again ([`parked`]). An outbox's message whose delay is longer than its queue has goes
//! the same way. [`send_due`] sends what is due.

pub mod deliver_at;
mod meters;
pub mod parked;
pub mod schedules;
mod send_due;
mod send_once;
mod send_ticks;
mod store;
mod stored_message;
mod wait;
pub mod waits;

pub use meters::TimerMeters;
pub use send_due::send_due;
pub use store::{Later, TimerStore, park_id};
pub use stored_message::{StoredMessage, decode, encode};
