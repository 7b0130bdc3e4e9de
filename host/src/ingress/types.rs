//! The shapes that bodies of a type must have.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::Validator;
use serde_json::Value;

use crate::config::Ingress;

/// What is wrong with a body is said of so many places at most.
const ERRORS_MAX: usize = 5;

/// The schemas of the types that have one.
pub struct IngressTypes(BTreeMap<String, Schema>);

struct Schema {
    validator: Validator,
    document: Value,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("ingress.types.{kind}.schema {path}: {reason}")]
pub struct SchemaError {
    kind: String,
    path: PathBuf,
    reason: String,
}

impl IngressTypes {
    /// Reads the files.
    ///
    /// # Errors
    /// [`SchemaError`] names the first that cannot be read or is no schema.
    pub fn load(config: &Ingress) -> Result<Self, SchemaError> {
        let mut all = BTreeMap::new();
        for (kind, path) in config.types.iter().filter_map(|(kind, of)| Some((kind, of.schema.as_ref()?))) {
            let fault = |reason: String| SchemaError { kind: kind.clone(), path: path.clone(), reason };
            let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
            let document: Value = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
            let validator = jsonschema::validator_for(&document).map_err(|error| fault(error.to_string()))?;
            all.insert(kind.clone(), Schema { validator, document });
        }
        Ok(Self(all))
    }

    /// Whether the type's bodies must be JSON of a shape.
    pub fn has_schema(&self, kind: &str) -> bool {
        self.0.contains_key(kind)
    }

    /// A type's schema.
    pub fn schema(&self, kind: &str) -> Option<&Value> {
        self.0.get(kind).map(|schema| &schema.document)
    }

    /// # Errors
    /// Where the body is not as the type's schema has it.
    pub fn check(&self, kind: &str, body: &[u8]) -> Result<(), String> {
        let Some(schema) = self.0.get(kind) else { return Ok(()) };
        let value: Value = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
        let errors: Vec<_> = schema
            .validator
            .iter_errors(&value)
            .take(ERRORS_MAX)
            .map(|error| {
                let place = error.instance_path().to_string();
                // Without the value, which may be a secret.
                let what = error.masked().to_string();
                if place.is_empty() { what } else { format!("{place}: {what}") }
            })
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(format!("the body is not as its schema has it: {}", errors.join("; ")))
        }
    }
}
