//! How a handler wants a message sent. The contract has it as a resource, which bindings and
//! imports share.

use wasq_core::message::Attributes;

/// How a message is sent.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    pub delay_s: u32,
    pub group: Option<String>,
    pub attributes: Attributes,
}
