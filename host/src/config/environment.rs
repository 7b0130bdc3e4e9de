//! What the environment says in the config: `${VARIABLE}` in a string of the file, and
//! `WASQ_TABLE__KEY` in a key's place. [`Config::load`](super::Config::load) applies both between
//! the text and its types. Values are never shown: one may be a secret.

mod expand;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use expand::Unexpanded;

/// What all variables begin with that set a key.
const PREFIX: &str = "WASQ";
/// What stands between the levels of a key.
const LEVELS: &str = "__";
/// The keys without a table. Others without one are not ours to judge: orchestrators make variables
/// out of names, such as `WASQ_PORT`.
pub(super) const TOP_LEVEL: [&str; 7] =
    ["scope", "plugins_dir", "plugins_signed_by", "compile_cache", "grant_all", "drain_s", "strict_start"];

/// Variables by their names.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

/// A variable that sets a key.
#[derive(Clone)]
struct Override {
    variable: String,
    /// The key's levels in lower case, as the variable has them.
    key: Vec<String>,
    value: String,
    /// Whether it is a string whatever it looks like.
    is_text: bool,
}

/// Why a text and its environment are no config.
#[derive(Debug)]
pub enum Fault {
    Text(toml::de::Error),
    Unexpanded(Unexpanded),
    Variable { name: String, reason: String },
}

impl Environment {
    /// The variables of this process, but for those that are not UTF-8.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The text with the environment in it, as its types have it; and the names of all that is
    /// said, in the same shape.
    pub fn read<T: DeserializeOwned>(&self, text: &str) -> Result<(T, toml::Table), Fault> {
        let mut overrides: Vec<_> = self.0.iter().filter_map(|(name, value)| Override::of(name, value)).collect();
        loop {
            let error = match self.parse(text, &overrides) {
                Ok(read) => return Ok(read),
                Err(Fault::Text(error)) => error,
                Err(other) => return Err(other),
            };
            // The one without which it is another error, or none.
            let is_culprit = |index: &usize| {
                let mut others = overrides.clone();
                others.remove(*index);
                !matches!(self.parse::<T>(text, &others), Err(Fault::Text(other)) if other.message() == error.message())
            };
            match (0..overrides.len()).find(is_culprit) {
                // A number may be meant as a name.
                Some(index) if !overrides[index].is_text => overrides[index].is_text = true,
                Some(index) => {
                    let name = overrides.swap_remove(index).variable;
                    return Err(Fault::Variable { name, reason: error.message().trim_end().to_owned() });
                }
                None => return Err(Fault::Text(error)),
            }
        }
    }

    fn parse<T: DeserializeOwned>(&self, text: &str, overrides: &[Override]) -> Result<(T, toml::Table), Fault> {
        let mut table = DeTable::parse(text).map_err(Fault::Text)?;
        expand::table(table.get_mut(), &|name| self.get(name), text).map_err(Fault::Unexpanded)?;
        for set in overrides {
            set.apply(table.get_mut()).map_err(|reason| Fault::Variable { name: set.variable.clone(), reason })?;
        }
        let with_place = |mut error: toml::de::Error| {
            error.set_input(Some(text));
            Fault::Text(error)
        };
        let read = T::deserialize(toml::Deserializer::from(table.clone())).map_err(with_place)?;
        let said = toml::Table::deserialize(toml::Deserializer::from(table)).map_err(with_place)?;
        Ok((read, said))
    }
}

impl Override {
    /// None where a variable sets no key.
    fn of(variable: &str, value: &str) -> Option<Self> {
        let name = variable.strip_prefix(PREFIX)?.strip_prefix('_')?;
        let key: Vec<_> = name.split(LEVELS).map(str::to_ascii_lowercase).collect();
        let sets = match &key[..] {
            [only] => TOP_LEVEL.contains(&only.as_str()),
            levels => levels.iter().all(|level| !level.is_empty()) && levels[0] != "test",
        };
        sets.then(|| Self { variable: variable.to_owned(), key, value: value.to_owned(), is_text: false })
    }

    /// Puts its value in the key's place.
    fn apply<'i>(&'i self, root: &mut DeTable<'i>) -> Result<(), String> {
        let (last, tables) = self.key.split_last().expect("a name has a part");
        let mut table = root;
        for (depth, level) in tables.iter().enumerate() {
            let name = known(table, level);
            let below = table
                .entry(Spanned::new(0..0, name.clone().into()))
                .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
            table = match below.get_mut() {
                DeValue::Table(table) => table,
                _ => return Err(format!("`{}` is no table", self.key[..=depth].join("."))),
            };
        }
        let name = known(table, last);
        table.insert(Spanned::new(0..0, name.into()), Spanned::new(0..0, self.value()));
        Ok(())
    }

    /// As TOML has it, or else as it stands.
    fn value(&self) -> DeValue<'_> {
        let text = || DeValue::String(self.value.as_str().into());
        if self.is_text {
            return text();
        }
        DeValue::parse(&self.value).map_or_else(|_| text(), Spanned::into_inner)
    }
}

/// The name that a table has for a level: a hyphen and an underscore are one, and so are capitals
/// and small letters.
fn known(table: &DeTable<'_>, level: &str) -> String {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let found = table.keys().find(|key| plain(key.get_ref()) == plain(level));
    found.map_or_else(|| level.to_owned(), |key| key.get_ref().to_string())
}

#[cfg(test)]
mod tests;
