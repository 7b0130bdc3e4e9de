//! The template that makes a message's key out of its body and attributes:
//! `receipt:{/order_id}`, `{attribute:tenant}:{/order_id}`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wasq_core::message::{AttributeData, Attributes};

use crate::json::{find, pointer_fault};

/// Text with JSON pointers (RFC 6901) and names of attributes in braces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"\{.+\}", "examples" = ["receipt:{/order_id}", "{attribute:tenant}"]))]
pub struct KeyTemplate {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Pointer(String),
    /// `{attribute:NAME}`: a message attribute, or what the envelope said.
    Attribute(String),
}

const ATTRIBUTE: &str = "attribute:";

impl KeyTemplate {
    /// The key for this body and these attributes; none if the body is no JSON where a pointer
    /// leads into it, or a pointer leads nowhere, or to something that is no string, number or
    /// boolean, or an attribute is not there.
    ///
    /// A number is taken as it is written: through floating point, different ones would become the
    /// same. Each value is preceded by its length, so that `{/a}|{/b}` of `x|y` and `z` differs
    /// from that of `x` and `y|z`; and what is no string by a mark before that, so that `1` differs
    /// from `"1"`.
    pub fn render(&self, body: &[u8], attributes: &Attributes) -> Option<String> {
        self.fill(body, attributes, |key, mark, bytes, value| key.push_str(&format!("{mark}{bytes}:{value}")))
    }

    /// The same values as people read them, without lengths and marks: for what is shown, and
    /// decides nothing.
    pub fn render_plain(&self, body: &[u8], attributes: &Attributes) -> Option<String> {
        self.fill(body, attributes, |key, _, _, value| key.push_str(value))
    }

    /// The template with each value put in by `put`, which is given its mark, its length and its
    /// text.
    fn fill(
        &self,
        body: &[u8],
        attributes: &Attributes,
        put: impl Fn(&mut String, &str, usize, &str),
    ) -> Option<String> {
        let mut json: Option<&RawValue> = None;
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Pointer(pointer) => {
                    let body = match json {
                        Some(body) => body,
                        None => json.insert(serde_json::from_slice(body).ok()?),
                    };
                    let json = find(body, pointer)?.get();
                    match json.as_bytes().first()? {
                        b'"' => {
                            let text: String = serde_json::from_str(json).ok()?;
                            put(&mut key, "", text.len(), &text);
                        }
                        b't' | b'f' | b'-' | b'0'..=b'9' => put(&mut key, "=", json.len(), json),
                        _ => return None,
                    }
                }
                Part::Attribute(name) => {
                    let attribute = attributes.get(name)?;
                    let is_number = attribute.data_type.split('.').next() == Some("Number");
                    match &attribute.value {
                        AttributeData::Text(text) if is_number => put(&mut key, "=", text.len(), text),
                        AttributeData::Text(text) => put(&mut key, "", text.len(), text),
                        AttributeData::Binary(bytes) => {
                            put(&mut key, "#", bytes.len(), &BASE64_STANDARD.encode(bytes));
                        }
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
            let close = inner.find('}').ok_or("the template has a `{` without its `}`")?;
            parts.push(match (inner[..close].strip_prefix(ATTRIBUTE), &inner[..close]) {
                (Some(""), _) => return Err("`{attribute:}` names no attribute".into()),
                (Some(name), _) => Part::Attribute(name.to_owned()),
                (None, pointer) if !pointer.starts_with('/') => {
                    return Err(format!(
                        "`{{{pointer}}}` is no JSON pointer; write `{{/{pointer}}}` for a field of the body, \
                         or `{{attribute:{pointer}}}` for a message attribute"
                    ));
                }
                (None, pointer) => match pointer_fault(pointer) {
                    None => Part::Pointer(pointer.to_owned()),
                    Some(rule) => return Err(format!("`{{{pointer}}}`: {rule}")),
                },
            });
            rest = &inner[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err(
                "the template has no `{/pointer}` and no `{attribute:NAME}`: every message would have the same key"
                    .into(),
            );
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
