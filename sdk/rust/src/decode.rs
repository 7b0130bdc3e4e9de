//! JSON into a type, with faults that name the place and never the value: reasons are logged and
//! travel with dead letters, and bodies must not.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// The value, or what is wrong with the text: the field by its path, what was expected, line and
/// column.
pub(crate) fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let fault = fault(error.inner());
        // The root has the path ".".
        if path == "." { fault } else { format!("field `{path}`: {fault}") }
    })?;
    deserializer.end().map_err(|error| fault(&error))?;
    Ok(value)
}

fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = match error.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    };
    let message = text.strip_suffix(&place).unwrap_or(&text);
    match error.classify() {
        // serde_json's own texts: they say what is wrong with the syntax and quote none of it.
        Category::Syntax | Category::Eof | Category::Io => format!("not JSON: {message}{place}"),
        Category::Data => format!("{}{place}", without_value(message)),
    }
}

/// The forms in which serde's errors quote a value, and the words that may stand before it.
const QUOTING: [(&str, &[&str]); 2] = [("invalid type: ", &KINDS), ("invalid value: ", &KINDS)];

/// The words of `serde::de::Unexpected` and of serde_json's `null`.
const KINDS: [&str; 17] = [
    "boolean",
    "integer",
    "floating point",
    "character",
    "string",
    "byte array",
    "unit value",
    "Option value",
    "newtype struct",
    "sequence",
    "map",
    "enum",
    "unit variant",
    "newtype variant",
    "tuple variant",
    "struct variant",
    "null",
];

/// A message of serde's without what it quotes from the body. A message that is not serde's own may
/// quote anything, so nothing of it is kept.
fn without_value(message: &str) -> String {
    for (start, kinds) in QUOTING {
        let Some(rest) = message.strip_prefix(start) else { continue };
        let kind = kinds.iter().find(|kind| rest.starts_with(**kind)).unwrap_or(&"a value");
        // The last one: a quoted string may hold these words too.
        let expected = rest.rfind(", expected ").map_or("", |at| &rest[at..]);
        return format!("{start}{kind}{expected}");
    }
    for start in ["unknown variant", "unknown field"] {
        if message.starts_with(start) {
            let expected = message.rfind("`, expected ").map_or("", |at| &message[at + 1..]);
            return format!("{start}{expected}");
        }
    }
    // These name what the type says, and count what the body has. A handler's own error may only
    // begin like them.
    let counts =
        message.strip_prefix("invalid length ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let names = ["missing field `", "duplicate field `"].iter().any(|start| message.starts_with(start));
    if counts || (names && message.matches('`').count() == 2 && message.ends_with('`')) {
        return message.to_owned();
    }
    "invalid value".to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::Error as _;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Body {
        #[serde(default)]
        items: Vec<Item>,
        #[serde(default)]
        state: Option<State>,
        #[serde(default)]
        even: Option<Even>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Item {
        sku: String,
        quantity: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum State {
        Open,
        Closed,
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "u8")]
    struct Even;

    impl TryFrom<u8> for Even {
        type Error = serde::de::value::Error;

        fn try_from(number: u8) -> Result<Self, Self::Error> {
            if number.is_multiple_of(2) { Ok(Self) } else { Err(Self::Error::custom(format!("{number} is odd"))) }
        }
    }

    #[test]
    fn a_fault_names_the_field_and_never_the_value() {
        #[track_caller]
        fn check(text: &str, expect: &str) {
            assert_eq!(json::<Body>(text.as_bytes()).unwrap_err(), expect);
        }
        check("", "not JSON: EOF while parsing a value at line 1 column 0");
        check(r#"{"items":["#, "field `items`: not JSON: EOF while parsing a list at line 1 column 10");
        check("{} x", "not JSON: trailing characters at line 1 column 4");
        check("\u{1f}", "not JSON: expected value at line 1 column 1");
        check(
            r#"{"items":[{"sku":"a","quantity":"7"}]}"#,
            "field `items[0].quantity`: invalid type: string, expected u8 at line 1 column 35",
        );
        check(
            r#"{"items":[{"sku":"a","quantity":", expected 77"}]}"#,
            "field `items[0].quantity`: invalid type: string, expected u8 at line 1 column 47",
        );
        check(
            r#"{"items":[{"sku":"a","quantity":777}]}"#,
            "field `items[0].quantity`: invalid value: integer, expected u8 at line 1 column 35",
        );
        check(
            r#"{"items":[{"sku":null,"quantity":7}]}"#,
            "field `items[0].sku`: invalid type: null, expected a string at line 1 column 21",
        );
        check(r#"{"items":[{"sku":"a"}]}"#, "field `items[0]`: missing field `quantity` at line 1 column 21");
        check(
            r#"{"state":"sec`, expected `ret"}"#,
            "field `state`: unknown variant, expected `open` or `closed` at line 1 column 30",
        );
        check(
            r#"{"extra":1}"#,
            "field `extra`: unknown field, expected one of `items`, `state`, `even` at line 1 column 8",
        );
        check(r#"{"even":3}"#, "field `even`: invalid value at line 1 column 10");
    }
}
