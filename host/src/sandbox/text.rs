//! Guest text on its way into logs, envelopes and terminals: capped, one line, no control
//! characters.

use std::fmt::Write;

/// At most `max_bytes` of `text`, with control characters escaped (`\n`, `\u{1b}`); what was cut is
/// marked by `…`.
pub fn sanitize(text: &str, max_bytes: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(max_bytes));
    for c in text.chars() {
        let before = clean.len();
        let unseen = matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        // SQS refuses these two, as it refuses control characters.
        if c.is_control() || unseen || matches!(c, '\u{fffe}' | '\u{ffff}') {
            write!(clean, "{}", c.escape_default()).expect("a String takes whatever is written");
        } else {
            clean.push(c);
        }
        if clean.len() > max_bytes {
            clean.truncate(before);
            clean.push('…');
            break;
        }
    }
    clean
}

/// The innermost message of an error, on one line.
pub fn root_cause(error: &wasmtime::Error) -> String {
    sanitize(&error.root_cause().to_string(), 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_and_escapes() {
        let check = |text: &str, max, expect: &str| assert_eq!(sanitize(text, max), expect, "{text:?}");
        check("plain", 10, "plain");
        check("a\nb\0c\u{1b}[31m", 100, "a\\nb\\u{0}c\\u{1b}[31m");
        check("übergroß", 4, "übe…");
        check("abc", 3, "abc");
        check("\u{202e}x", 100, "\\u{202e}x");
        check("\u{ffff}", 100, "\\u{ffff}");
    }
}
