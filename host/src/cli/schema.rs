//! `wasq schema`: the JSON Schemas of wasq.toml and plugin.toml. They are made from the types that
//! read the files, so that a schema knows the keys, defaults and descriptions of this very binary.
//!
//! `wasq new` and `wasq build` put the schema of plugin.toml beside it, for editors.

mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use schemars::generate::SchemaSettings;

use crate::config::Config;
use crate::plugins::manifest::Manifest;
use tidy::Tidy;

/// Print the JSON Schema of wasq.toml or of plugin.toml.
///
/// An editor completes and checks the file by it. Editors with taplo, such as VS Code with Even
/// Better TOML, Helix and Zed, take the schema that the file's first line names:
///
///   wasq schema config > wasq.schema.json
///   #:schema ./wasq.schema.json
///
/// In a project of `wasq new` that line is there, and `wasq build` renews the schema. What the
/// schema takes may still be out of bounds: `wasq check` says so.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct SchemaCommand {
    /// Whose schema.
    of: SchemaOf,
}

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// wasq.toml, the operator's config.
    Config,
    /// plugin.toml, a handler's manifest.
    Plugin,
}

/// Where a project has its manifest's schema. The directory is in no repository: the schema is that
/// of whichever wasq builds here.
const IN_PROJECT: &str = ".wasq/plugin.schema.json";

impl SchemaCommand {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        print!("{}", self.of.text());
        Ok(ExitCode::SUCCESS)
    }
}

impl SchemaOf {
    /// The schema, in draft 7: the newest that taplo knows.
    pub fn schema(self) -> serde_json::Value {
        let file = match self {
            Self::Config => "wasq.toml",
            Self::Plugin => "plugin.toml",
        };
        // A manifest is read as it stands, a config with the environment in it.
        let tidy = Tidy { with_variables: self == Self::Config };
        let generator = SchemaSettings::draft07().with_transform(tidy).into_generator();
        let mut schema = match self {
            Self::Config => generator.into_root_schema_for::<Config>(),
            Self::Plugin => generator.into_root_schema_for::<Manifest>(),
        };
        schema.insert("title".to_owned(), file.into());
        schema.to_value()
    }

    /// The same as text, for people too.
    pub fn text(self) -> String {
        // A value of JSON has no key that is no string.
        serde_json::to_string_pretty(&self.schema()).unwrap_or_default() + "\n"
    }
}

/// The first line of a manifest whose editor finds the schema in the project.
pub fn directive() -> String {
    format!("#:schema ./{IN_PROJECT}\n")
}

/// Writes the manifest's schema into a project whose manifest names it, unless it is there already.
///
/// # Errors
/// It cannot be written.
pub fn put_into(project: &Path) -> anyhow::Result<()> {
    let manifest = std::fs::read_to_string(project.join("plugin.toml")).unwrap_or_default();
    if !manifest.starts_with(&directive()) {
        return Ok(());
    }
    let (path, text) = (project.join(IN_PROJECT), SchemaOf::Plugin.text());
    if std::fs::read_to_string(&path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(project);
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
