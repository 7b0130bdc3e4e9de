//! What the scripts share.

/// What stands before every script.
pub const CLOCK: &str = include_str!("clock.lua");

/// An answer's words.
pub fn answer_words(answer: &[Vec<u8>]) -> Vec<&[u8]> {
    answer.iter().map(Vec::as_slice).collect()
}
