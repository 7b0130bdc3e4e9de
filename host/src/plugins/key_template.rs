//! The template that makes a message's key out of its body: `receipt:{/order_id}`.

mod pointer;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Text with JSON pointers (RFC 6901) in braces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyTemplate {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Pointer(String),
}

impl KeyTemplate {
    /// The key for this body; none if it is no JSON, or a pointer leads nowhere, or to something
    /// that is no string, number or boolean.
    ///
    /// A number is taken as it is written: through floating point, different ones would become the
    /// same. Each value is preceded by its length, so that `{/a}|{/b}` of `x|y` and `z` differs
    /// from that of `x` and `y|z`; and what is no string by a mark before that, so that `1` differs
    /// from `"1"`.
    pub fn render(&self, body: &[u8]) -> Option<String> {
        let body: &RawValue = serde_json::from_slice(body).ok()?;
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Pointer(pointer) => {
                    let json = pointer::find(body, pointer)?.get();
                    match json.as_bytes().first()? {
                        b'"' => {
                            let text: String = serde_json::from_str(json).ok()?;
                            key.push_str(&format!("{}:{text}", text.len()));
                        }
                        b't' | b'f' | b'-' | b'0'..=b'9' => key.push_str(&format!("={}:{json}", json.len())),
                        _ => return None,
                    }
                }
            }
        }
        Some(key)
    }
}

impl TryFrom<String> for KeyTemplate {
    type Error = String;

    fn try_from(source: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = source.as_str();
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let inner = &rest[open + 1..];
            let close = inner.find('}').ok_or("idempotency.key has a `{` without its `}`")?;
            let pointer = &inner[..close];
            if !pointer.starts_with('/') {
                return Err(format!(
                    "idempotency.key: `{{{pointer}}}` is no JSON pointer; write `{{/{pointer}}}` for a field of the body"
                ));
            }
            parts.push(Part::Pointer(pointer.to_owned()));
            rest = &inner[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if !parts.iter().any(|part| matches!(part, Part::Pointer(_))) {
            return Err("idempotency.key has no `{/pointer}`: every message would have the same key".into());
        }
        Ok(Self { source, parts })
    }
}

impl From<KeyTemplate> for String {
    fn from(template: KeyTemplate) -> String {
        template.source
    }
}

#[cfg(test)]
mod tests;
