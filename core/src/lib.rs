//! What both sides of a seam speak: a queue and the host, a ledger and the host.
//!
//! Each module holds a few types: messages and their keys, time, pauses, the numbers that are
//! counted on a message's way, how the config writes times and sizes, the settings of AWS and of
//! the way there. The last
//! does work too: [`aws`] reads the SDK's settings and signs requests.

pub mod aws;
pub mod backoff;
pub mod causes;
pub mod clock;
pub mod message;
pub mod meters;
pub mod pause;
pub mod proxy;
pub mod resolve;
pub mod schema;
pub mod secret;
