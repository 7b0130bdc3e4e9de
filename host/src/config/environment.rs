//! What the environment says in the config: `${VARIABLE}` in a string of the file, and
//! `WASQ_TABLE__KEY` in a key's place. [`Config::load`](super::Config::load) applies both between
//! the text and its types. What a variable says is not shown where no type takes it: it may be a
//! secret.

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

/// What variables of wasq's own tests begin with: they set no key.
const OF_TESTS: &str = "test";

/// Variables by their names. Of one that is not UTF-8 it is known that it is there.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, Option<String>>);

/// What was read of a text and its environment.
pub struct Read<T> {
    pub config: T,
    /// All that is said, in the same shape.
    pub said: toml::Table,
    /// The keys that variables set, and the variables.
    pub set: Vec<(String, String)>,
}

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
    /// The variables of this process.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// The text with the environment in it, as its types have it.
    pub fn read<T: DeserializeOwned>(&self, text: &str) -> Result<Read<T>, Fault> {
        let overrides: Result<Vec<_>, _> =
            self.0.iter().filter_map(|(name, value)| Override::of(name, value.as_deref())).collect();
        let mut overrides = overrides?;
        loop {
            let error = match self.parse(text, &overrides) {
                Ok(read) => return Ok(read),
                Err(Fault::Text(error)) => error,
                Err(other) => return Err(other),
            };
            let fails_so = |count: usize| matches!(self.parse::<T>(text, &overrides[..count]), Err(Fault::Text(other)) if other.message() == error.message());
            // The first one with which the text fails in this way, where it does not without.
            match (0..overrides.len()).find(|index| fails_so(index + 1) && !fails_so(*index)) {
                // A number may be meant as a name.
                Some(index) if !overrides[index].is_text => overrides[index].is_text = true,
                Some(index) => {
                    let Override { variable, value, .. } = &overrides[index];
                    let reason = without_value(error.message().trim_end(), value);
                    return Err(Fault::Variable { name: variable.clone(), reason });
                }
                None => return Err(self.of_text(text, error)),
            }
        }
    }

    /// An error of the text itself: without the value of a variable that a string of it names.
    fn of_text(&self, text: &str, error: toml::de::Error) -> Fault {
        let shown = |value: &&String| !value.is_empty() && error.message().contains(value.as_str());
        let (Some(value), Some(span)) = (self.0.values().flatten().find(shown), error.span()) else {
            return Fault::Text(error);
        };
        let start = span.start.min(text.len());
        let line = 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
        let line_text = text.lines().nth(line - 1).unwrap_or_default();
        // What stands there itself is no secret of the environment.
        if !line_text.contains("${") {
            return Fault::Text(error);
        }
        let key = line_text.split('=').next().unwrap_or_default().trim().to_owned();
        Fault::Unexpanded(Unexpanded { line, key, reason: without_value(error.message().trim_end(), value) })
    }

    fn parse<T: DeserializeOwned>(&self, text: &str, overrides: &[Override]) -> Result<Read<T>, Fault> {
        let mut table = DeTable::parse(text).map_err(Fault::Text)?;
        let variable = |name: &str| self.0.get(name).map(Option::as_deref);
        expand::table(table.get_mut(), &variable, text).map_err(Fault::Unexpanded)?;
        let mut set = Vec::new();
        for one in overrides {
            let variable = || one.variable.clone();
            let key = one.apply(table.get_mut()).map_err(|reason| Fault::Variable { name: variable(), reason })?;
            set.push((key, variable()));
        }
        let with_place = |mut error: toml::de::Error| {
            error.set_input(Some(text));
            Fault::Text(error)
        };
        let config = T::deserialize(toml::Deserializer::from(table.clone())).map_err(with_place)?;
        let said = toml::Table::deserialize(toml::Deserializer::from(table)).map_err(with_place)?;
        Ok(Read { config, said, set })
    }
}

/// An error's words, without the value that does not fit.
fn without_value(message: &str, value: &str) -> String {
    match message.split_once(", expected") {
        // `invalid type: string "VALUE", expected usize`
        Some((head, expected)) if head.contains(value) => {
            let head = head.split(['"', '`']).next().unwrap_or_default().trim_end();
            format!("{head}, expected{expected}")
        }
        Some(_) => message.to_owned(),
        None => message.replace(value, "…"),
    }
}

impl Override {
    /// None where a variable sets no key.
    fn of(variable: &str, value: Option<&str>) -> Option<Result<Self, Fault>> {
        let name = variable.strip_prefix(PREFIX)?.strip_prefix('_')?;
        let key: Vec<_> = name.split(LEVELS).map(str::to_ascii_lowercase).collect();
        let sets = match &key[..] {
            [only] => TOP_LEVEL.contains(&only.as_str()),
            levels => levels.iter().all(|level| !level.is_empty()) && levels[0] != OF_TESTS,
        };
        let not_text = || Fault::Variable { name: variable.to_owned(), reason: "its value is not UTF-8".to_owned() };
        let of_text =
            |value: &str| Self { variable: variable.to_owned(), key, value: value.to_owned(), is_text: false };
        sets.then(|| value.map(of_text).ok_or_else(not_text))
    }

    /// Puts its value in the key's place. The answer is the key as the table has it.
    fn apply<'i>(&'i self, root: &mut DeTable<'i>) -> Result<String, String> {
        let (last, tables) = self.key.split_last().expect("a name has a part");
        let (mut table, mut path) = (root, String::new());
        for (depth, level) in tables.iter().enumerate() {
            let name = known(table, level)?;
            path.push_str(&format!("{name}."));
            let below = table
                .entry(Spanned::new(0..0, name.clone().into()))
                .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
            table = match below.get_mut() {
                DeValue::Table(table) => table,
                _ => return Err(format!("`{}` is no table", self.key[..=depth].join("."))),
            };
        }
        let name = known(table, last)?;
        path.push_str(&name);
        table.insert(Spanned::new(0..0, name.into()), Spanned::new(0..0, self.value()));
        Ok(path)
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
///
/// # Errors
/// Several names of the table are meant.
fn known(table: &DeTable<'_>, level: &str) -> Result<String, String> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let meant = table.keys().map(|key| key.get_ref().as_ref()).filter(|key: &&str| plain(key) == plain(level));
    let meant: Vec<&str> = meant.collect();
    match meant[..] {
        [] => Ok(level.to_owned()),
        [one] => Ok(one.to_owned()),
        _ if meant.contains(&level) => Ok(level.to_owned()),
        _ => Err(format!("it stands for several names of the file: {}", meant.join(", "))),
    }
}

#[cfg(test)]
mod tests;
