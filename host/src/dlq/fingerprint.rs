//! Reasons that are alike: the names in them say the cause and are kept, the values are taken out,
//! and what is left is named by a hash.
//!
//! `wasq dlq groups`, the filter `--fingerprint` and the dashboard use it.
//! docs/operate/dead-letters.md has the rules as a table for operators, and `fingerprint/tests.rs`
//! as examples.

mod quotation;
mod token;
mod words;

use quotation::{Quotation, Role};
use token::Token;

/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 8;

/// Names a reason: the first 8 hexadecimal digits of blake3 over its [`normalised`] text. Reasons
/// that differ in their values only have the same name, on every machine and in every version that
/// normalises alike.
pub fn fingerprint(reason: &str) -> String {
    let hash = blake3::hash(normalised(reason).as_bytes()).to_hex();
    hash[..DIGITS].to_owned()
}

/// A reason without its values: each becomes a word in angle brackets, and a list of the same words
/// becomes one of them.
///
/// What counts as a value: [`quotation`] says it of quoted text, [`token`] of the rest.
pub fn normalised(reason: &str) -> String {
    let mut text = Normalised::default();
    let mut rest = reason;
    let mut quoted_before: Option<(usize, Role)> = None;
    while let Some(c) = rest.chars().next() {
        let at = reason.len() - rest.len();
        let before = &reason[..at];
        let len = if let Some(quotation) = Quotation::at(before, rest, quoted_before) {
            match quotation.name(normalised) {
                Some(name) => text.keep(&name),
                None => text.value(quotation::VALUE),
            }
            quoted_before = Some((at + quotation.len, quotation.role));
            quotation.len
        } else {
            let Token { word, len } = token::at(before, rest, normalised);
            match word {
                Some(word) if word.starts_with('<') && word.ends_with('>') => text.value(&word),
                Some(word) => text.keep(&word),
                None if c.is_whitespace() => text.space(),
                None => text.keep(&rest[..len]),
            }
            len
        };
        rest = &rest[len..];
    }
    text.0.trim().to_owned()
}

/// The text so far.
#[derive(Default)]
struct Normalised(String);

impl Normalised {
    fn keep(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn space(&mut self) {
        if !self.0.ends_with(' ') {
            self.0.push(' ');
        }
    }

    /// A value's word; none more where the same one stands before a comma, an `or` or an `and`.
    fn value(&mut self, word: &str) {
        let is_listed = |separator: &str| self.0.strip_suffix(separator).is_some_and(|list| list.ends_with(word));
        match [", ", ",", " and ", " or ", ", and ", ", or "].into_iter().find(|separator| is_listed(separator)) {
            Some(separator) => self.0.truncate(self.0.len() - separator.len()),
            None => self.0.push_str(word),
        }
    }
}

#[cfg(test)]
mod tests;
