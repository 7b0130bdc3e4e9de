//! What both sides of a seam speak: a queue and the host, a ledger and the host.
//!
//! Nothing here does any work. Each module holds a few types: messages and their keys, time,
//! pauses, the settings of AWS, a list that grows, and the numbers that are counted on a message's way.

pub mod aws;
pub mod backoff;
pub mod causes;
pub mod clock;
pub mod growing_list;
pub mod message;
pub mod meters;
pub mod pause;
pub mod proxy;
pub mod resolve;
pub mod secret;
