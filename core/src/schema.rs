//! How the values of wasq.toml and plugin.toml are written that no JSON Schema knows by itself:
//! times and sizes. Fields of the config name these types for their schemas; no value has them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A time as humantime reads it: `10s`, `1h 30m`, `500ms`.
pub struct Time;

/// A number of bytes as bytesize reads it: `64MiB`, `1 GiB`, `65536`.
pub struct Size;

const TIME: &str = r"^\s*(0|(\d+(\.\d+)?\s*(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)\s*)+)$";
const SIZE: &str = r"^\d+(\.\d+)?\s*([bB]|[kKmMgGtTpPeE][iI]?[bB]?)?$";

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": TIME, "examples": ["500ms", "10s", "1h 30m"] })
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "pattern": SIZE, "examples": ["64KiB", "256MiB", "2GiB"] },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}
