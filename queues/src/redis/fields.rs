//! Between the fields of an entry, which are bytes, and a message's body and attributes.
//!
//! One field is the body, and every other one is an attribute: a `String` if it is UTF-8, else
//! `Binary`. Where that does not say what an attribute was, a reserved field has the data types. An
//! attribute whose name is taken goes under a reserved prefix, so that any attribute can be sent.
//!
//! Another producer's entry need not have the body's field. Then its fields as one JSON object are
//! the body, and they are attributes as well.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};
use wasq_core::message::{AttributeData, AttributeValue, Attributes};

use crate::queue::Outgoing;

/// The data types of attributes that their bytes do not tell: a JSON object, name to type.
const DATA_TYPES: &str = "wasq-data-types";
const GROUP: &str = "wasq-group";
const DEDUPLICATION_ID: &str = "wasq-deduplication-id";
/// Stands before the name of an attribute that is the name of another field.
const ESCAPE: &str = "wasq-attribute:";

/// A field's name and value.
pub type Field = (Vec<u8>, Vec<u8>);

/// What the fields of an entry say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub body: Bytes,
    pub attributes: Attributes,
    pub group: Option<String>,
    pub deduplication_id: Option<String>,
}

/// Whether the host keeps something else in a field of this name.
pub fn is_reserved(name: &str) -> bool {
    [DATA_TYPES, GROUP, DEDUPLICATION_ID].contains(&name) || name.starts_with(ESCAPE)
}

/// Of two fields with one name the last one counts.
pub fn read(fields: Vec<Field>, body_field: &str) -> Content {
    let mut content = Content::default();
    let (mut body, mut types) = (None, BTreeMap::<String, String>::new());
    let mut values = BTreeMap::new();
    for (name, value) in fields {
        // A name that is not UTF-8 is still a name.
        let name = String::from_utf8_lossy(&name).into_owned();
        match name.as_str() {
            name if name == body_field => body = Some(value),
            GROUP => content.group = String::from_utf8(value).ok(),
            DEDUPLICATION_ID => content.deduplication_id = String::from_utf8(value).ok(),
            DATA_TYPES => types = serde_json::from_slice(&value).unwrap_or_default(),
            _ => drop(values.insert(name, value)),
        }
    }
    content.body = Bytes::from(body.unwrap_or_else(|| as_json(&values)));
    content.attributes = values
        .into_iter()
        .map(|(name, value)| {
            let name = name.strip_prefix(ESCAPE).map_or(name.clone(), str::to_owned);
            let attribute = attribute(types.get(&name), value);
            (name, attribute)
        })
        .collect();
    content
}

/// The fields of a message.
pub fn write(message: &Outgoing, body_field: &str) -> Vec<Field> {
    let mut fields = vec![(body_field.into(), message.body.to_vec())];
    let mut types = Map::new();
    for (name, attribute) in &message.attributes {
        let value = match &attribute.value {
            AttributeData::Text(text) => text.clone().into_bytes(),
            AttributeData::Binary(bytes) => bytes.to_vec(),
        };
        if self::attribute(None, value.clone()) != *attribute {
            types.insert(name.clone(), attribute.data_type.clone().into());
        }
        let is_taken = name == body_field || is_reserved(name);
        fields.push((if is_taken { format!("{ESCAPE}{name}") } else { name.clone() }.into(), value));
    }
    for (name, value) in [(GROUP, &message.group), (DEDUPLICATION_ID, &message.deduplication_id)] {
        if let Some(value) = value {
            fields.push((name.into(), value.clone().into_bytes()));
        }
    }
    if !types.is_empty() {
        fields.push((DATA_TYPES.into(), Value::Object(types).to_string().into_bytes()));
    }
    fields
}

fn attribute(data_type: Option<&String>, value: Vec<u8>) -> AttributeValue {
    let is_binary = data_type.is_some_and(|data_type| data_type == "Binary" || data_type.starts_with("Binary."));
    match String::from_utf8(value) {
        Ok(text) if !is_binary => {
            let data_type = data_type.map_or("String", String::as_str).to_owned();
            AttributeValue { data_type, value: AttributeData::Text(text) }
        }
        Ok(text) => binary(data_type, text.into_bytes()),
        Err(bytes) => binary(data_type.filter(|_| is_binary), bytes.into_bytes()),
    }
}

fn binary(data_type: Option<&String>, bytes: Vec<u8>) -> AttributeValue {
    let data_type = data_type.map_or("Binary", String::as_str).to_owned();
    AttributeValue { data_type, value: AttributeData::Binary(bytes.into()) }
}

/// Bytes that are not UTF-8 are base64 there.
fn as_json(fields: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let value = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => BASE64_STANDARD.encode(bytes).into(),
    };
    let object: Map<_, _> = fields.iter().map(|(name, bytes)| (name.clone(), value(bytes))).collect();
    Value::Object(object).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data_type: &str, text: &str) -> AttributeValue {
        AttributeValue { data_type: data_type.into(), value: AttributeData::Text(text.into()) }
    }

    fn bytes(data_type: &str, bytes: &'static [u8]) -> AttributeValue {
        AttributeValue { data_type: data_type.into(), value: AttributeData::Binary(bytes.into()) }
    }

    fn outgoing(attributes: &[(&str, AttributeValue)]) -> Outgoing {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Outgoing {
            body: "{}".into(),
            attributes: attributes.collect(),
            delay_s: 0,
            group: None,
            deduplication_id: None,
        }
    }

    fn fields(fields: &[(&str, &[u8])]) -> Vec<Field> {
        fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let message = Outgoing {
            body: Bytes::from_static(&[0, 0xff]),
            group: Some("g".into()),
            deduplication_id: Some("d".into()),
            ..outgoing(&[
                ("type", text("String", "greeting")),
                ("empty", text("String", "")),
                ("count", text("Number.i32", "7")),
                ("flag", text("String.bool", "true")),
                ("raw", bytes("Binary", &[0xff])),
                ("looks like text", bytes("Binary", b"text")),
                ("labelled", bytes("Binary.png", &[0x89, 0xff])),
                ("labelled text", bytes("Binary.png", b"png")),
                ("body", text("String", "not the body")),
                ("wasq-group", text("Number", "1")),
                ("wasq-attribute:x", text("String", "y")),
            ])
        };
        for body_field in ["body", "payload"] {
            let content = read(write(&message, body_field), body_field);
            assert_eq!((content.body, content.attributes), (message.body.clone(), message.attributes.clone()));
            assert_eq!((&content.group, &content.deduplication_id), (&message.group, &message.deduplication_id));
        }
    }

    #[test]
    fn a_plain_message_has_plain_fields() {
        let message = outgoing(&[("type", text("String", "greeting")), ("raw", bytes("Binary", &[0xff]))]);
        assert_eq!(write(&message, "body"), fields(&[("body", b"{}"), ("raw", &[0xff]), ("type", b"greeting")]));
    }

    #[test]
    fn an_entry_without_the_bodys_field_is_its_own_body() {
        let foreign = fields(&[("type", b"order"), ("id", b"7"), ("raw", &[0xff]), ("id", b"8"), ("wasq-group", b"g")]);
        let content = read(foreign, "body");
        assert_eq!(content.body, r#"{"id":"8","raw":"/w==","type":"order"}"#);
        assert_eq!(content.attributes["type"], text("String", "order"));
        assert_eq!(content.attributes["raw"], bytes("Binary", &[0xff]));
        assert_eq!((content.attributes.len(), content.group.as_deref()), (3, Some("g")));
        assert_eq!(read(fields(&[("payload", b"x"), ("body", b"")]), "body").body, "");
    }

    #[test]
    fn data_types_that_fit_nothing_change_nothing() {
        for types in ["", "[]", "{", r#"{"a":1}"#] {
            let content = read(fields(&[("body", b""), ("a", b"x"), ("wasq-data-types", types.as_bytes())]), "body");
            assert_eq!(content.attributes, [("a".to_owned(), text("String", "x"))].into(), "{types}");
        }
        let content = read(fields(&[("a", &[0xff]), ("wasq-data-types", br#"{"a":"Number"}"#)]), "body");
        assert_eq!(content.attributes["a"], bytes("Binary", &[0xff]));
    }
}
