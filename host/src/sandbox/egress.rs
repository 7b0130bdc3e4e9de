//! Outbound HTTP of guests: what they may reach, and the sending.
//!
//! A request's URL is canonicalised, matched against the plugin's allow-list, its host resolved,
//! every address checked, and the connection made to the very addresses that were checked. The
//! operator's headers are set last, outside of the guest's sight, and then the signature for AWS,
//! if there is to be one. Redirects are the guest's to follow.

mod body;
mod checked;
mod client;
mod connect;
mod destination;
mod dialer;
mod errors;
mod exceeded;
mod headers;
mod hooks;
mod proxied;
mod resolve;
mod secrets;
mod sign;
mod traffic;
mod unavailable;

#[cfg(test)]
mod tests;

pub use client::Egress;
pub use destination::{Destination, DestinationError};
pub use dialer::{Dialer, EgressError};
pub use errors::DialError;
pub use headers::secrets_in;
pub use hooks::{Hooks, Seen, Trace};
pub use secrets::{Fetcher, Secrets};
pub use unavailable::retry_after;
