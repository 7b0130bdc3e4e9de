//! The manifest beside the handler's Cargo.toml, looked at as far as is cheap. The host checks it
//! whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What stands in `plugin.toml`.
pub enum Manifest {
    Good,
    /// There is none; what to do about it.
    Missing(String),
    /// There is one, and it cannot be a manifest; why.
    Bad(String),
}

/// Reads the manifest of the crate that is being compiled.
pub fn read() -> Manifest {
    // Cargo sets it for each crate that it compiles.
    let Some(directory) = std::env::var_os("CARGO_MANIFEST_DIR") else {
        return Manifest::Missing("CARGO_MANIFEST_DIR is not set: build handlers with cargo".to_owned());
    };
    let path = PathBuf::from(directory).join("plugin.toml");
    match std::fs::read_to_string(&path) {
        Ok(text) => match fault(&text) {
            None => Manifest::Good,
            Some(fault) => Manifest::Bad(format!("{}: {fault}", path.display())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Manifest::Missing(missing(&path)),
        Err(error) => Manifest::Bad(format!("{}: {error}", path.display())),
    }
}

fn missing(path: &Path) -> String {
    format!(
        "{} is missing: a handler has its manifest beside its Cargo.toml. The least one:\n\n\
         name = \"send-receipt\"\n\
         types = [\"order_completed\"]\n",
        path.display()
    )
}

/// Why this text is no manifest, if it is none.
fn fault(text: &str) -> Option<String> {
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return Some(error.to_string()),
    };
    if !matches!(table.get("name"), Some(toml::Value::String(_))) {
        return Some("the plugin has no name; write for example: name = \"send-receipt\"".to_owned());
    }
    let types = table.get("types").and_then(toml::Value::as_array);
    if !types.is_some_and(|types| !types.is_empty() && types.iter().all(toml::Value::is_str)) {
        return Some(
            "the plugin names no message types to handle; write for example: types = [\"order_completed\"]".to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_needs_a_name_and_types() {
        assert_eq!(fault("name = \"a\"\ntypes = [\"b\"]\ntimeout = \"1s\""), None);
        for (text, expect) in [
            ("types = [\"b\"]", "no name"),
            ("name = 3\ntypes = [\"b\"]", "no name"),
            ("name = \"a\"", "no message types"),
            ("name = \"a\"\ntypes = []", "no message types"),
            ("name = \"a\"\ntypes = \"b\"", "no message types"),
            ("name = \"a\"\ntypes = [1]", "no message types"),
            ("name = ", "line 1"),
        ] {
            let fault = fault(text).unwrap_or_default();
            assert!(fault.contains(expect), "{text:?}: {fault:?} does not contain {expect:?}");
        }
    }

    #[test]
    fn a_missing_manifest_says_what_to_write() {
        let advice = missing(Path::new("/x/plugin.toml"));
        assert!(advice.starts_with("/x/plugin.toml is missing") && advice.contains("types = [\"order_completed\"]"));
    }
}
