//! `${VARIABLE}` and `${VARIABLE:-default}` in the strings of a config; `$${` is a `${` as it
//! stands.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The value of a variable that is set; none within it if that is not UTF-8.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<Option<&'a str>>;

/// What cannot be expanded, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{key}`: {reason}")]
pub struct Unexpanded {
    pub line: usize,
    pub key: String,
    pub reason: String,
}

/// Expands all strings of a table, at any depth.
pub fn table(table: &mut DeTable<'_>, variable: Lookup<'_>, text: &str) -> Result<(), Unexpanded> {
    below(table, &mut Vec::new(), &|string| expand(string, variable), text)
}

type Expand<'a> = &'a dyn Fn(&str) -> Result<String, String>;

fn below(table: &mut DeTable<'_>, path: &mut Vec<String>, expand: Expand<'_>, text: &str) -> Result<(), Unexpanded> {
    for (key, value) in table.iter_mut() {
        path.push(key.get_ref().to_string());
        at(value, path, expand, text)?;
        path.pop();
    }
    Ok(())
}

fn at(
    value: &mut Spanned<DeValue<'_>>,
    path: &mut Vec<String>,
    expand: Expand<'_>,
    text: &str,
) -> Result<(), Unexpanded> {
    let start = value.span().start;
    match value.get_mut() {
        DeValue::String(string) if string.contains("${") => {
            let line = 1 + text.as_bytes()[..start.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
            let expanded = expand(string).map_err(|reason| Unexpanded { line, key: path.join("."), reason })?;
            *string = Cow::Owned(expanded);
            Ok(())
        }
        DeValue::Array(array) => array.iter_mut().try_for_each(|value| at(value, path, expand, text)),
        DeValue::Table(table) => below(table, path, expand, text),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            Ok(())
        }
    }
}

/// A variable's value is not expanded again.
fn expand(string: &str, variable: Lookup<'_>) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), string);
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        expanded.push_str(&rest[..at]);
        let (inside, after) = rest[at + 2..]
            .split_once('}')
            .ok_or("a `${` has no `}` behind it; write `$${` for one that stands for itself")?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("a variable's name has letters, digits and underscores; write `$${` for a `${` that stands \
                        for itself"
                .to_owned());
        }
        // As in a shell, an empty one is none where there is a default.
        let value = match variable(name) {
            Some(None) => return Err(format!("the variable {name} is not UTF-8")),
            Some(value) => value.filter(|value| !(value.is_empty() && default.is_some())),
            None => None,
        };
        let value = value.or(default).ok_or_else(|| {
            format!("the variable {name} is not set; set it, or give a default, as ${{{name}:-default}}")
        })?;
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
