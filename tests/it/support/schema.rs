//! The JSON Schemas of wasq.toml and plugin.toml, asked about texts.

use std::sync::LazyLock;

use jsonschema::Validator;
use wasq::cli::schema::SchemaOf;

static CONFIG: LazyLock<Validator> = LazyLock::new(|| validator(SchemaOf::Config));
static PLUGIN: LazyLock<Validator> = LazyLock::new(|| validator(SchemaOf::Plugin));

fn validator(of: SchemaOf) -> Validator {
    jsonschema::validator_for(&of.schema()).expect("it is a schema")
}

/// What a schema has against a text: nothing, if it takes it.
pub fn faults(of: SchemaOf, text: &str) -> Vec<String> {
    let validator = match of {
        SchemaOf::Config => &*CONFIG,
        SchemaOf::Plugin => &*PLUGIN,
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("it is no TOML: {error}")],
    };
    let document = serde_json::to_value(table).expect("TOML without times is JSON");
    validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}
