//! The calls on items as DynamoDB's JSON protocol has them, for those that are made without the
//! SDK. Attributes stay the SDK's own: who makes a call makes no difference to its caller.

use std::borrow::Cow;
use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::{DecodeError, Engine};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wasq_core::aws::direct::DirectAnswer;

use super::item::Item;

/// The operations, as `x-amz-target` names them.
pub const GET_ITEM: &str = "DynamoDB_20120810.GetItem";
pub const PUT_ITEM: &str = "DynamoDB_20120810.PutItem";
pub const UPDATE_ITEM: &str = "DynamoDB_20120810.UpdateItem";

const CONDITION_FAILED: &str = "ConditionalCheckFailedException";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetItem<'a> {
    pub table_name: &'a str,
    pub key: Attributes<'a>,
    pub consistent_read: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection_expression: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression_attribute_names: Option<&'a HashMap<&'static str, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutItem<'a> {
    pub table_name: &'a str,
    pub item: Attributes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition_expression: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression_attribute_names: Option<Placeholders<'a, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_values_on_condition_check_failure: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateItem<'a> {
    pub table_name: &'a str,
    pub key: Attributes<'a>,
    pub update_expression: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition_expression: Option<&'a str>,
    pub expression_attribute_names: Placeholders<'a, String>,
    /// DynamoDB takes no empty map.
    #[serde(skip_serializing_if = "Placeholders::is_empty")]
    pub expression_attribute_values: Placeholders<'a, AttributeValue>,
    pub return_values: &'a str,
    pub return_values_on_condition_check_failure: &'a str,
}

/// An answer that is one: the others are the SDK's to understand.
#[derive(Debug)]
pub enum Answer {
    /// It was done. The item, or those of its attributes that were asked for.
    Done(Option<Item>),
    /// The condition does not hold. The item as it stands, if the server says it; not all do.
    Refused(Option<Item>),
}

/// # Errors
/// What the answer is instead, in few words.
pub fn read(answer: &DirectAnswer) -> Result<Answer, String> {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "__type", default)]
        code: String,
        #[serde(rename = "Item", alias = "Attributes", default, deserialize_with = "item")]
        item: Option<Item>,
    }
    let status = answer.status;
    let said: Said = serde_json::from_slice(&answer.body).map_err(|error| format!("HTTP {status}: {error}"))?;
    // `com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException`
    match (status, said.code.rsplit('#').next()) {
        (200, _) => Ok(Answer::Done(said.item)),
        (400, Some(CONDITION_FAILED)) => Ok(Answer::Refused(said.item)),
        _ => Err(format!("HTTP {status}: {}", said.code)),
    }
}

/// Attributes by their names, written.
pub struct Attributes<'a>(pub &'a Item);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Attribute(value))))
    }
}

/// What an expression's placeholders stand for, written.
pub struct Placeholders<'a, T>(pub &'a [(String, T)]);

impl<T> Placeholders<'_, T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Placeholders<'_, String> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(placeholder, name)| (placeholder, name)))
    }
}

impl Serialize for Placeholders<'_, AttributeValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(placeholder, value)| (placeholder, Attribute(value))))
    }
}

/// An attribute is an object of one member, whose name is the type.
struct Attribute<'a>(&'a AttributeValue);

impl Serialize for Attribute<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn typed<S: Serializer>(
            serializer: S,
            name: &'static str,
            value: &(impl Serialize + ?Sized),
        ) -> Result<S::Ok, S::Error> {
            serializer.serialize_newtype_variant("AttributeValue", 0, name, value)
        }
        match self.0 {
            AttributeValue::S(text) => typed(serializer, "S", text),
            AttributeValue::N(digits) => typed(serializer, "N", digits),
            AttributeValue::B(bytes) => typed(serializer, "B", &Binary(Cow::Borrowed(bytes))),
            AttributeValue::Bool(value) => typed(serializer, "BOOL", value),
            AttributeValue::Null(value) => typed(serializer, "NULL", value),
            AttributeValue::L(values) => typed(serializer, "L", &values.iter().map(Attribute).collect::<Vec<_>>()),
            AttributeValue::M(values) => typed(serializer, "M", &Attributes(values)),
            AttributeValue::Ss(texts) => typed(serializer, "SS", texts),
            AttributeValue::Ns(numbers) => typed(serializer, "NS", numbers),
            AttributeValue::Bs(values) => {
                typed(serializer, "BS", &values.iter().map(|bytes| Binary(Cow::Borrowed(bytes))).collect::<Vec<_>>())
            }
            // Only a newer SDK knows how.
            _ => Err(S::Error::custom("an attribute of an unknown type")),
        }
    }
}

/// An attribute, read.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Value {
    S(String),
    N(String),
    B(Binary<'static>),
    Bool(bool),
    Null(bool),
    L(Vec<Value>),
    M(HashMap<String, Value>),
    Ss(Vec<String>),
    Ns(Vec<String>),
    Bs(Vec<Binary<'static>>),
}

impl From<Value> for AttributeValue {
    fn from(value: Value) -> Self {
        match value {
            Value::S(text) => Self::S(text),
            Value::N(digits) => Self::N(digits),
            Value::B(bytes) => Self::B(bytes.0.into_owned()),
            Value::Bool(value) => Self::Bool(value),
            Value::Null(value) => Self::Null(value),
            Value::L(values) => Self::L(values.into_iter().map(Self::from).collect()),
            Value::M(values) => Self::M(to_item(values)),
            Value::Ss(texts) => Self::Ss(texts),
            Value::Ns(numbers) => Self::Ns(numbers),
            Value::Bs(values) => Self::Bs(values.into_iter().map(|bytes| bytes.0.into_owned()).collect()),
        }
    }
}

fn item<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Item>, D::Error> {
    Ok(Option::<HashMap<String, Value>>::deserialize(deserializer)?.map(to_item))
}

fn to_item(values: HashMap<String, Value>) -> Item {
    values.into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// Bytes in base64.
struct Binary<'a>(Cow<'a, Blob>);

impl Serialize for Binary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0.as_ref().as_ref(), &BASE64))
    }
}

impl<'de> Deserialize<'de> for Binary<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_ref()).map_err(|error: DecodeError| D::Error::custom(error))?;
        Ok(Self(Cow::Owned(Blob::new(bytes))))
    }
}

#[cfg(test)]
mod tests;
