//! JSON text, read without changing it: numbers keep their digits, objects their order. The
//! decoding of envelopes, the types of a queue and key templates use it.

mod object;
mod pointer;

pub use object::{Misfit, Object};
pub use pointer::{find, pointer_fault};
