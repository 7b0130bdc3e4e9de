//! Whether quoted text in a reason is a name, which says the cause, or a value, which does not.
//!
//! The words around it decide first: `column "total"` and `'total' is required` are names, `string
//! "total"` is a value. Where they say nothing the mark decides: what stands in backticks is a
//! name, as Rust's libraries and this host write them; what stands in double or single quotes is a
//! value. A name looks like an identifier; whatever does not is a value.

use super::token;
use super::words::{AFTER_NAMES, BEFORE_NAMES, BEFORE_VALUES, TYPES};

/// What stands for a quoted value.
pub const VALUE: &str = "<text>";
/// Longer text is no name.
const NAME_MAX_CHARS: usize = 80;

/// What a quotation is, by what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The words around it say that it is a name.
    Name,
    /// Its mark does.
    NameByMark,
    Value,
}

/// A quotation at the beginning of some text.
#[derive(Debug)]
pub struct Quotation<'t> {
    inside: &'t str,
    marks: (char, char),
    pub role: Role,
    /// Its bytes, with its marks.
    pub len: usize,
}

impl<'t> Quotation<'t> {
    /// The quotation that `rest` begins with, if it does. `listed` is the end of the one before it,
    /// and what that was.
    pub fn at(before: &str, rest: &'t str, listed: Option<(usize, Role)>) -> Option<Self> {
        let open = rest.chars().next()?;
        let within_a_word = before.chars().next_back().is_some_and(char::is_alphanumeric);
        let close = match open {
            '"' | '`' => open,
            '\'' if !within_a_word => '\'',
            '“' => '”',
            '‘' => '’',
            '«' => '»',
            _ => return None,
        };
        let inside_len = end(&rest[open.len_utf8()..], close)?;
        let inside = &rest[open.len_utf8()..][..inside_len];
        let len = open.len_utf8() + inside_len + close.len_utf8();
        let marks = (open, close);
        let role = listed
            .filter(|(end, _)| is_between_listed(&before[*end..]))
            .map_or_else(|| role(before, inside, marks, &rest[len..]), |(_, role)| role);
        Some(Self { inside, marks, role, len })
    }

    /// The name in its marks, if it is one. A URL is one, as `normalise` has it.
    pub fn name(&self, normalise: fn(&str) -> String) -> Option<String> {
        let name = match self.role {
            Role::Name => token::name(self.inside, NAME_MAX_CHARS)?,
            // A number in it may be all that it is about: `order17`.
            Role::NameByMark => token::name(self.inside, NAME_MAX_CHARS).filter(|name| name == self.inside)?,
            Role::Value if token::is_url(self.inside) => normalise(self.inside),
            Role::Value => return None,
        };
        Some(format!("{}{name}{}", self.marks.0, self.marks.1))
    }
}

/// Where a quotation closes. An apostrophe within a word does not close it, and nothing after a
/// backslash.
fn end(inside: &str, close: char) -> Option<usize> {
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == close {
            let within_a_word =
                matches!(close, '\'' | '’') && chars.peek().is_some_and(|(_, next)| next.is_alphanumeric());
            if !within_a_word {
                return Some(at);
            }
        }
    }
    None
}

/// Whether two quotations are members of one list.
fn is_between_listed(text: &str) -> bool {
    matches!(text.trim(), "," | "or" | "and" | ", or" | ", and" | "/" | "|") && text.len() <= ", and ".len()
}

fn role(before: &str, inside: &str, marks: (char, char), after: &str) -> Role {
    let is_json_key = before.trim_end().ends_with(['{', ',']) && marks.0 == '"' && after.trim_start().starts_with(':');
    if is_json_key || TYPES.contains(&inside) {
        return Role::Name;
    }
    let (word, separator) = word_before(before);
    // `"key": "a value"`, where `key "total"` is a name.
    let labels_a_value = separator.contains([':', '=']) && matches!(word.as_str(), "key" | "host" | "topic" | "event");
    let follows = after.strip_prefix(' ').is_some_and(|after| {
        let starts =
            |phrase: &str| after.strip_prefix(phrase).is_some_and(|after| !after.starts_with(char::is_alphanumeric));
        AFTER_NAMES.iter().any(|phrase| starts(phrase))
    });
    if BEFORE_VALUES.contains(&word.as_str()) || word.ends_with("_id") || labels_a_value {
        Role::Value
    } else if BEFORE_NAMES.contains(&word.as_str()) || follows {
        Role::Name
    } else if marks.0 == '`' {
        Role::NameByMark
    } else {
        Role::Value
    }
}

/// The word before, in lower case, and what stands between.
fn word_before(before: &str) -> (String, &str) {
    let end = before.trim_end_matches([' ', ':', '=', '"', '\'', '(', '[', '<']).len();
    let word: String = before[..end].chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (word.chars().rev().flat_map(char::to_lowercase).collect(), &before[end..])
}
