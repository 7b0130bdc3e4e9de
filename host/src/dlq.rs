//! Dead letters: how a message goes to the DLQ, and how one is read and replayed.

pub mod filter;
pub mod fingerprint;
mod hidden_letters;
mod letter;
pub mod letter_view;
pub mod listing;
mod oversized;
pub mod plan;
pub mod reader;
pub mod redrive;
mod redriven;
pub mod replay;
pub mod replayed_message;
mod send;
pub mod targets;
pub mod watch;

pub use letter::{
    AGAIN_ATTRIBUTE, Envelopes, InLedger, LETTER_ATTRIBUTE, Letter, LetterError, OWN_KEY_ATTRIBUTE, content_id,
};
pub use redriven::reopen;
pub use send::{read, send};
