//! What makes a schema of Rust's types one of a TOML file: without nulls, with defaults and
//! descriptions as people write them, and with `${VARIABLE}` where the config may have one.

use schemars::Schema;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

/// The changes, to a schema and all schemas in it.
#[derive(Clone, Debug)]
pub struct Tidy {
    /// Whether a string may name variables of the environment.
    pub with_variables: bool,
}

/// A string with a variable in it.
const VARIABLE: &str = r"\$\{";

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(object) = schema.as_object_mut() else { return };
        without_nulls(object);
        with_default_as_written(object);
        // Rust's width of a number is no format that JSON Schema knows.
        object.remove("format");
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = unwrapped(text);
        }
        if self.with_variables && with_variables(object) {
            return;
        }
        transform_subschemas(self, schema);
    }
}

/// TOML has no null: what Rust has as none is not there.
fn without_nulls(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if choices.len() == 1
        && let Some(only) = choices.pop()
    {
        object.remove("anyOf");
        match only {
            // Nothing counts beside a reference.
            Value::Object(only) if !only.contains_key("$ref") => {
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
            only => drop(object.insert("allOf".to_owned(), Value::Array(vec![only]))),
        }
    }
}

/// `64MiB`, where bytesize writes `64.0 MiB`.
fn with_default_as_written(object: &mut Map<String, Value>) {
    let Some(Value::String(default)) = object.get_mut("default") else { return };
    if let Some((number, unit)) = default.split_once(".0 ")
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && unit.ends_with('B')
    {
        *default = format!("{number}{unit}");
    }
}

/// A comment's paragraphs, each on one line, and without the brackets of rustdoc's links.
fn unwrapped(text: &str) -> String {
    let paragraphs: Vec<_> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    paragraphs.join("\n\n").replace("[`", "`").replace("`]", "`")
}

/// Lets a variable stand where a string has a form, or is one of a few. Whether the schemas inside
/// are done with that.
fn with_variables(object: &mut Map<String, Value>) -> bool {
    let variable = || json!({ "type": "string", "pattern": VARIABLE });
    if let Some(Value::String(pattern)) = object.get_mut("pattern") {
        *pattern = format!("(?:{pattern})|{VARIABLE}");
        return false;
    }
    if is_one_of_strings(object) {
        let names: Map<_, _> =
            ["type", "enum", "const"].into_iter().filter_map(|key| object.remove_entry(key)).collect();
        object.insert("anyOf".to_owned(), json!([names, variable()]));
        return true;
    }
    // Of several tables, too, more than one fits while a variable names which.
    let Some(Value::Array(mut choices)) = object.remove("oneOf") else { return false };
    let are_names = choices.iter().filter_map(Value::as_object).all(is_one_of_strings);
    if are_names {
        for choice in &mut choices {
            if let Some(Value::String(text)) = choice.get_mut("description") {
                *text = unwrapped(text);
            }
        }
        choices.push(variable());
    }
    object.insert("anyOf".to_owned(), Value::Array(choices));
    are_names
}

fn is_one_of_strings(object: &Map<String, Value>) -> bool {
    object.get("type").is_some_and(|name| name == "string")
        && (object.contains_key("enum") || object.contains_key("const"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(with_variables: bool, before: Value, after: Value) {
        let mut schema = Schema::try_from(before).expect("it is a schema");
        Tidy { with_variables }.transform(&mut schema);
        assert_eq!(schema.to_value(), after);
    }

    #[test]
    fn what_toml_does_not_have_is_taken_away() {
        check(
            false,
            json!({ "type": ["integer", "null"], "format": "uint", "default": null, "description": "One\nline, see [`X`].\n\nTwo." }),
            json!({ "type": "integer", "description": "One line, see `X`.\n\nTwo." }),
        );
        let reference = json!({ "$ref": "#/definitions/A" });
        check(
            false,
            json!({ "anyOf": [reference, { "type": "null" }], "description": "a" }),
            json!({ "allOf": [reference], "description": "a" }),
        );
        check(
            false,
            json!({ "anyOf": [{ "type": "string", "pattern": "x" }, { "type": "null" }] }),
            json!({ "type": "string", "pattern": "x" }),
        );
        check(
            false,
            json!({ "properties": { "a": { "type": "string", "default": "64.0 MiB" } } }),
            json!({ "properties": { "a": { "type": "string", "default": "64MiB" } } }),
        );
    }

    #[test]
    fn a_variable_may_stand_for_every_string() {
        let variable = json!({ "type": "string", "pattern": VARIABLE });
        check(
            true,
            json!({ "type": "string", "pattern": "^a$" }),
            json!({ "type": "string", "pattern": format!("(?:^a$)|{VARIABLE}") }),
        );
        check(
            true,
            json!({ "type": "string", "enum": ["a", "b"], "default": "a" }),
            json!({ "anyOf": [{ "type": "string", "enum": ["a", "b"] }, variable], "default": "a" }),
        );
        check(
            true,
            json!({ "oneOf": [{ "type": "string", "const": "a" }, { "type": "string", "enum": ["b"] }] }),
            json!({ "anyOf": [{ "type": "string", "const": "a" }, { "type": "string", "enum": ["b"] }, variable] }),
        );
        check(true, json!({ "oneOf": [{ "type": "object" }] }), json!({ "anyOf": [{ "type": "object" }] }));
    }
}
