//! Between the headers of AMQP, which have twenty types, and attributes, which have three. The label
//! behind an attribute's dot says which of AMQP's types it was, so that it goes back as the same.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use serde_json::Value;
use wasq_core::message::{AttributeData, AttributeValue};

/// A header as an attribute. A table or an array becomes JSON, whose numbers and texts go back as
/// 64 bits and strings.
pub fn attribute(value: AMQPValue) -> AttributeValue {
    match value {
        AMQPValue::LongString(text) => match String::from_utf8(text.as_bytes().to_vec()) {
            Ok(text) => texts("String", text),
            Err(bytes) => binary("Binary.string", bytes.into_bytes()),
        },
        AMQPValue::ShortString(text) => texts("String", text.to_string()),
        AMQPValue::Boolean(value) => texts("String.bool", value.to_string()),
        AMQPValue::Void => texts("String.void", String::new()),
        AMQPValue::ShortShortInt(value) => texts("Number.i8", value.to_string()),
        AMQPValue::ShortShortUInt(value) => texts("Number.u8", value.to_string()),
        AMQPValue::ShortInt(value) => texts("Number.i16", value.to_string()),
        AMQPValue::ShortUInt(value) => texts("Number.u16", value.to_string()),
        AMQPValue::LongInt(value) => texts("Number.i32", value.to_string()),
        AMQPValue::LongUInt(value) => texts("Number.u32", value.to_string()),
        AMQPValue::LongLongInt(value) => texts("Number.i64", value.to_string()),
        AMQPValue::Float(value) => texts("Number.f32", value.to_string()),
        AMQPValue::Double(value) => texts("Number.f64", value.to_string()),
        AMQPValue::DecimalValue(value) => texts("Number.decimal", decimal_text(value)),
        AMQPValue::Timestamp(value) => texts("Number.timestamp", value.to_string()),
        AMQPValue::ByteArray(bytes) => binary("Binary", bytes.as_slice().to_vec()),
        nested @ (AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_)) => {
            texts("String.json", json(&nested).to_string())
        }
    }
}

/// An attribute as a header. A text that its label does not fit goes as a string.
pub fn header(attribute: &AttributeValue) -> AMQPValue {
    match &attribute.value {
        AttributeData::Binary(bytes) if attribute.data_type == "Binary.string" => {
            AMQPValue::LongString(bytes.to_vec().into())
        }
        AttributeData::Binary(bytes) => AMQPValue::ByteArray(bytes.to_vec().into()),
        AttributeData::Text(text) => {
            typed(&attribute.data_type, text).unwrap_or_else(|| AMQPValue::LongString(text.as_str().into()))
        }
    }
}

fn texts(data_type: &str, text: String) -> AttributeValue {
    AttributeValue { data_type: data_type.into(), value: AttributeData::Text(text) }
}

fn binary(data_type: &str, bytes: Vec<u8>) -> AttributeValue {
    AttributeValue { data_type: data_type.into(), value: AttributeData::Binary(Bytes::from(bytes)) }
}

fn typed(data_type: &str, text: &str) -> Option<AMQPValue> {
    Some(match data_type {
        "String.bool" => AMQPValue::Boolean(text.parse().ok()?),
        "String.void" if text.is_empty() => AMQPValue::Void,
        "String.json" => match value(serde_json::from_str(text).ok()?)? {
            nested @ (AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_)) => nested,
            _ => return None,
        },
        "Number.i8" => AMQPValue::ShortShortInt(text.parse().ok()?),
        "Number.u8" => AMQPValue::ShortShortUInt(text.parse().ok()?),
        "Number.i16" => AMQPValue::ShortInt(text.parse().ok()?),
        "Number.u16" => AMQPValue::ShortUInt(text.parse().ok()?),
        "Number.i32" => AMQPValue::LongInt(text.parse().ok()?),
        "Number.u32" => AMQPValue::LongUInt(text.parse().ok()?),
        "Number.f32" => AMQPValue::Float(text.parse().ok()?),
        "Number.f64" => AMQPValue::Double(text.parse().ok()?),
        "Number.decimal" => AMQPValue::DecimalValue(decimal(text)?),
        "Number.timestamp" => AMQPValue::Timestamp(text.parse().ok()?),
        data_type if data_type == "Number" || data_type.starts_with("Number.") => number(text)?,
        _ => return None,
    })
}

/// A number of no label. One that would come back as another text, such as 38 digits, is none.
fn number(text: &str) -> Option<AMQPValue> {
    if let Ok(whole) = text.parse::<i64>() {
        return (whole.to_string() == text).then_some(AMQPValue::LongLongInt(whole));
    }
    let float = text.parse::<f64>().ok()?;
    (float.to_string() == text).then_some(AMQPValue::Double(float))
}

/// With exactly as many digits behind the point as the scale says.
fn decimal_text(DecimalValue { scale, value }: DecimalValue) -> String {
    let scale = usize::from(scale);
    let digits = format!("{value:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

fn decimal(text: &str) -> Option<DecimalValue> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Some(DecimalValue { scale: fraction.len().try_into().ok()?, value: format!("{whole}{fraction}").parse().ok()? })
}

fn json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => (*value).into(),
        AMQPValue::Timestamp(value) => (*value).into(),
        AMQPValue::Float(value) => (*value).into(),
        AMQPValue::Double(value) => (*value).into(),
        AMQPValue::DecimalValue(value) => decimal_text(*value).into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => text_or_base64(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => text_or_base64(bytes.as_slice()),
        AMQPValue::FieldArray(array) => array.as_slice().iter().map(json).collect(),
        AMQPValue::FieldTable(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name.to_string(), json(value))).collect())
        }
        AMQPValue::Void => Value::Null,
    }
}

fn text_or_base64(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| BASE64_STANDARD.encode(bytes).into(), Into::into)
}

/// None where a name is too long for a table.
fn value(json: Value) -> Option<AMQPValue> {
    Some(match json {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => AMQPValue::LongLongInt(whole),
            None => AMQPValue::Double(number.as_f64()?),
        },
        Value::String(text) => AMQPValue::LongString(text.into()),
        Value::Array(values) => {
            AMQPValue::FieldArray(FieldArray::from(values.into_iter().map(value).collect::<Option<Vec<_>>>()?))
        }
        Value::Object(values) => {
            let mut table = FieldTable::default();
            for (name, json) in values {
                table.insert(ShortString::try_new(name).ok()?, value(json)?);
            }
            AMQPValue::FieldTable(table)
        }
    })
}

/// The bytes of a table on the wire: its length, and each name, type and value.
pub fn table_bytes(table: &FieldTable) -> usize {
    4 + table.into_iter().map(|(name, value)| 1 + name.as_str().len() + value_bytes(value)).sum::<usize>()
}

fn value_bytes(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::LongString(text) => 4 + text.len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.len(),
        AMQPValue::FieldArray(array) => 4 + array.as_slice().iter().map(value_bytes).sum::<usize>(),
        AMQPValue::FieldTable(table) => table_bytes(table),
    }
}

#[cfg(test)]
mod tests;
