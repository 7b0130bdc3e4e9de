//! Handler projects: where they are, and in which language.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::plugins::manifest::{Build, Manifest};

/// How deep handler projects are looked for.
const DEPTH_MAX: usize = 4;
/// Directories that are nobody's source.
const NOT_SOURCE: [&str; 4] = ["target", "node_modules", "dist", "__pycache__"];

/// A directory with a plugin.toml.
pub struct Project {
    pub dir: PathBuf,
    pub kind: Kind,
}

/// What makes its component.
pub enum Kind {
    /// A crate without a command of its own.
    Cargo,
    /// A command that leaves a component at `output`.
    Command(CommandProject),
}

pub struct CommandProject {
    /// The manifest's text, which becomes part of the plugin.
    pub manifest: String,
    /// The plugin's name.
    pub name: String,
    /// None where the language has a tool of its own.
    pub command: Option<String>,
    pub language: Language,
    pub output: PathBuf,
    pub watch: Vec<PathBuf>,
}

/// Told by the file that each has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    TypeScript,
    Python,
    Other,
}

impl Language {
    fn of(dir: &Path) -> Self {
        let has = |name: &str| dir.join(name).is_file();
        match () {
            () if has("Cargo.toml") => Self::Rust,
            () if has("package.json") => Self::TypeScript,
            () if has("pyproject.toml") => Self::Python,
            () => Self::Other,
        }
    }
}

/// The handler projects in a directory. One without a Cargo.toml, package.json or pyproject.toml
/// needs a command in its manifest.
pub fn find(dir: &Path) -> anyhow::Result<Vec<Project>> {
    let mut projects = Vec::new();
    find_in(dir, 0, &mut projects)?;
    Ok(projects)
}

fn find_in(dir: &Path, depth: usize, projects: &mut Vec<Project>) -> anyhow::Result<()> {
    if let Some(project) = project(dir)? {
        projects.push(project);
        return Ok(());
    }
    if depth == DEPTH_MAX {
        return Ok(());
    }
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot look for handlers in {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot look for handlers in {}", dir.display()))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_source(&entry.file_name().to_string_lossy()) {
            find_in(&entry.path(), depth + 1, projects)?;
        }
    }
    Ok(())
}

fn project(dir: &Path) -> anyhow::Result<Option<Project>> {
    let path = dir.join("plugin.toml");
    let language = Language::of(dir);
    if !path.is_file() {
        return Ok(None);
    }
    let canonical = |dir: &Path| dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()));
    let manifest = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // What is wrong in a crate's manifest, its compiler says.
    let parsed = match Manifest::parse(&manifest) {
        Ok(parsed) => parsed,
        Err(_) if language == Language::Rust => return Ok(Some(Project { dir: canonical(dir)?, kind: Kind::Cargo })),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let Build { command, output, watch } = parsed.build.unwrap_or_default();
    let kind = match (language, &command) {
        (Language::Rust, None) => Kind::Cargo,
        // A manifest beside a component that somebody else builds.
        (Language::Other, None) => return Ok(None),
        (Language::Rust | Language::TypeScript | Language::Python | Language::Other, _) => {
            let dir = canonical(dir)?;
            let output = dir.join(output.unwrap_or_else(|| format!("dist/{}.wasm", parsed.name)));
            let watch = watch.iter().map(|path| dir.join(path)).collect();
            Kind::Command(CommandProject { manifest, name: parsed.name, command, language, output, watch })
        }
    };
    Ok(Some(Project { dir: canonical(dir)?, kind }))
}

/// Whether a file or directory of this name can be a source: not what a build, an editor or a
/// package manager leaves behind.
pub fn is_source(name: &str) -> bool {
    !name.starts_with('.') && !NOT_SOURCE.contains(&name) && !name.ends_with(".pyc")
}
