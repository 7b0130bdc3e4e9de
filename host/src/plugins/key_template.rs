//! The template that makes a message's key out of its body: `receipt:{/order_id}`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// The key for this body; none if a pointer leads nowhere, or to something that is no string, number or boolean.
    ///
    /// Each value is preceded by its length, so that `{/a}|{/b}` of `x|y` and `z` differs from that of `x` and `y|z`.
    pub fn render(&self, body: &Value) -> Option<String> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Pointer(pointer) => {
                    let value = match body.pointer(pointer)? {
                        Value::String(text) => text.clone(),
                        Value::Number(number) => number.to_string(),
                        Value::Bool(flag) => flag.to_string(),
                        Value::Null | Value::Array(_) | Value::Object(_) => return None,
                    };
                    key.push_str(&format!("{}:{value}", value.len()));
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
mod tests {
    use super::*;

    #[test]
    fn renders_pointers_and_refuses_what_is_not_there() {
        let template = KeyTemplate::try_from("r:{/a/b}-{/n}".to_owned()).unwrap();
        let check = |body: &str, expect: Option<&str>| {
            assert_eq!(template.render(&serde_json::from_str(body).unwrap()).as_deref(), expect, "{body}");
        };
        check(r#"{"a":{"b":"x"},"n":7}"#, Some("r:1:x-1:7"));
        check(r#"{"a":{"b":"x"}}"#, None);
        check(r#"{"a":{"b":[]},"n":7}"#, None);
        check("[]", None);
        for bad in ["", "fixed", "{a}", "{/a"] {
            assert!(KeyTemplate::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
