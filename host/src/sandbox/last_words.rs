//! What a guest wrote to stderr before it failed: the line that says why, in the words of its
//! language. It becomes the reason of a trap, which has none of its own.

use super::text::sanitize;

/// Kept of a line.
const LAST_WORDS_MAX_BYTES: usize = 1024;

/// The line that says why, as far as lines have been read.
#[derive(Default)]
pub struct LastWords {
    reading: Reading,
    /// What a language's own report says.
    error: Option<String>,
    /// The last line that is not empty.
    line: Option<String>,
}

/// Which report the last line is in.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Lines,
    /// Rust's, whose message stands on the line behind the location.
    Panic,
    /// Python's, whose error stands behind the indented lines.
    Traceback,
}

impl LastWords {
    /// Reads the next line.
    pub fn read(&mut self, line: &str) {
        let text = sanitize(line.trim(), LAST_WORDS_MAX_BYTES);
        if text.is_empty() {
            return;
        }
        self.line = Some(text.clone());
        match self.reading {
            Reading::Panic => {
                if let Some(error) = &mut self.error {
                    error.push(' ');
                    error.push_str(&text);
                }
                self.reading = Reading::Lines;
            }
            // A line of the stack. The first that is not indented is the error.
            Reading::Traceback if line.starts_with([' ', '\t']) => {}
            Reading::Traceback => {
                self.error = Some(text);
                self.reading = Reading::Lines;
            }
            // An error may have another one as its cause: the last traceback is of what was raised
            // in the end.
            Reading::Lines if text.starts_with("Traceback (most recent call last)") => {
                self.reading = Reading::Traceback;
            }
            // Of several panics, the first is the cause.
            Reading::Lines if self.error.is_some() => {}
            Reading::Lines if text.contains("panicked at") => {
                self.reading = if text.ends_with(':') { Reading::Panic } else { Reading::Lines };
                self.error = Some(text);
            }
            Reading::Lines if is_error(&text) => self.error = Some(text),
            Reading::Lines => {}
        }
    }

    /// What was said last.
    pub fn text(&self) -> Option<&str> {
        self.error.as_deref().or(self.line.as_deref())
    }
}

/// Whether a line is an error of Go's runtime, or has an error's name before its text, as in
/// `TypeError: x is undefined`.
fn is_error(line: &str) -> bool {
    let line = line.strip_prefix("Uncaught ").unwrap_or(line);
    match line.split_once(": ") {
        Some(("panic" | "fatal error", _)) => true,
        Some((name, _)) => {
            let is_name = name.starts_with(char::is_uppercase) && name.chars().all(|c| c.is_alphanumeric() || c == '.');
            is_name && (name.ends_with("Error") || name.ends_with("Exception"))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_why_is_found_in_each_language() {
        let check = |text: &str, expect: Option<&str>| {
            let mut words = LastWords::default();
            text.lines().for_each(|line| words.read(line));
            assert_eq!(words.text(), expect, "{text}");
        };
        check("", None);
        check("\n\n", None);
        check("reading\n\ngiving up\n", Some("giving up"));
        check(
            "thread '<unnamed>' panicked at src/lib.rs:7:5:\nthe disk is on fire\nnote: run with RUST_BACKTRACE\n",
            Some("thread '<unnamed>' panicked at src/lib.rs:7:5: the disk is on fire"),
        );
        check(
            "loading\nTraceback (most recent call last):\n  File \"app.py\", line 3, in handle\n    pay()\n    ~~~^^\nKeyError: 'id'\n\n\
             During handling of the above exception, another exception occurred:\n\n\
             Traceback (most recent call last):\n  File \"app.py\", line 5, in handle\nshop.errors.Broken: no id\n",
            Some("shop.errors.Broken: no id"),
        );
        check(
            "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.handle(0x1)\n",
            Some("panic: runtime error: index out of range [5] with length 3"),
        );
        check(
            "fatal error: all goroutines are asleep - deadlock!\n\nstack",
            Some("fatal error: all goroutines are asleep - deadlock!"),
        );
        check(
            "TypeError: order.price is not a function\n    at handle (charge.js:3:9)\n",
            Some("TypeError: order.price is not a function"),
        );
        check("Uncaught RangeError: too deep\nStack:\n  f@charge.js:1\n", Some("Uncaught RangeError: too deep"));
        check("Errors: 3\nlast", Some("last"));
        check("the handler's Error: no\n\u{1b}[31mred", Some("\\u{1b}[31mred"));
    }
}
