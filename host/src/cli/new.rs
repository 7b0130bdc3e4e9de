//! `wasq new`: a handler project that builds and passes its test as made.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::schema;
use super::version::{beside_our_source, is_given_away};

/// Make a handler project.
///
/// The project has a handler, its manifest (plugin.toml) and a native test. Its SDK is the one
/// beside the source that this binary was built from, or that of its release's tag; --sdk names
/// another.
///
///   wasq new hello && cd hello
///   cargo test                   or: npm install && npm test
///   wasq build
///   wasq invoke .wasq/plugins/hello.wasm --body '{"name":"Ada"}'
///
/// --template http makes one without an SDK: a component that answers HTTP requests.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct New {
    /// The project's name and directory: a-z, 0-9, `-` and `_`, beginning with a letter.
    name: String,
    /// The language of its handler.
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: Language,
    /// What it is made as: `message` has the SDK's handler, `http` answers HTTP requests by WASI
    /// alone, without the SDK.
    #[arg(long, value_name = "TEMPLATE", default_value = "message")]
    template: Template,
    /// Where the language's SDK is: a directory, or a git URL. `http` needs none.
    #[arg(long, env = "WASQ_SDK", value_name = "PATH|URL")]
    sdk: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    Rust,
    #[value(name = "ts", alias = "typescript")]
    TypeScript,
    Python,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    Message,
    Http,
}

/// A file of a project, with what stands for what is not known yet: `NAME` and `SDK`.
type ProjectFile = (&'static str, &'static str);

const RUST_TOOLCHAIN: &str = "[toolchain]\nchannel = \"stable\"\ntargets = [\"wasm32-wasip2\"]\n";
const RUST_IGNORED: &str = "/target\n/.wasq\n";
const TYPESCRIPT_IGNORED: &str = "/node_modules\n/dist\n/.wasq\n";
const PYTHON_IGNORED: &str = "/.venv\n/dist\n/.wasq\n__pycache__\n";

const RUST: &[ProjectFile] = &[
    ("Cargo.toml", include_str!("new/rust/Cargo.toml.txt")),
    ("plugin.toml", include_str!("new/rust/plugin.toml.txt")),
    ("src/lib.rs", include_str!("new/rust/lib.rs.txt")),
    ("rust-toolchain.toml", RUST_TOOLCHAIN),
    (".gitignore", RUST_IGNORED),
];
const TYPESCRIPT: &[ProjectFile] = &[
    ("package.json", include_str!("new/typescript/package.json.txt")),
    ("tsconfig.json", include_str!("new/typescript/tsconfig.json.txt")),
    ("plugin.toml", include_str!("new/typescript/plugin.toml.txt")),
    ("src/handler.ts", include_str!("new/typescript/handler.ts.txt")),
    ("test/handler.test.ts", include_str!("new/typescript/handler.test.ts.txt")),
    (".gitignore", TYPESCRIPT_IGNORED),
];
const PYTHON: &[ProjectFile] = &[
    ("pyproject.toml", include_str!("new/python/pyproject.toml.txt")),
    ("requirements.txt", include_str!("new/python/requirements.txt.txt")),
    ("plugin.toml", include_str!("new/python/plugin.toml.txt")),
    ("src/handler.py", include_str!("new/python/handler.py.txt")),
    ("tests/test_handler.py", include_str!("new/python/test_handler.py.txt")),
    (".gitignore", PYTHON_IGNORED),
];
const RUST_HTTP: &[ProjectFile] = &[
    ("Cargo.toml", include_str!("new/http/rust/Cargo.toml.txt")),
    ("plugin.toml", include_str!("new/http/plugin.toml.txt")),
    ("src/lib.rs", include_str!("new/http/rust/lib.rs.txt")),
    ("src/server.rs", include_str!("new/http/rust/server.rs.txt")),
    ("rust-toolchain.toml", RUST_TOOLCHAIN),
    (".gitignore", RUST_IGNORED),
];
const TYPESCRIPT_HTTP: &[ProjectFile] = &[
    ("package.json", include_str!("new/http/typescript/package.json.txt")),
    ("tsconfig.json", include_str!("new/typescript/tsconfig.json.txt")),
    ("plugin.toml", include_str!("new/http/typescript/plugin.toml.txt")),
    ("build.mjs", include_str!("new/http/typescript/build.mjs.txt")),
    ("src/main.ts", include_str!("new/http/typescript/main.ts.txt")),
    ("src/handler.ts", include_str!("new/http/typescript/handler.ts.txt")),
    ("test/handler.test.ts", include_str!("new/http/typescript/handler.test.ts.txt")),
    (".gitignore", TYPESCRIPT_IGNORED),
];
const PYTHON_HTTP: &[ProjectFile] = &[
    ("pyproject.toml", include_str!("new/http/python/pyproject.toml.txt")),
    ("requirements.txt", include_str!("new/http/python/requirements.txt.txt")),
    ("plugin.toml", include_str!("new/http/python/plugin.toml.txt")),
    ("wit/http.wit", include_str!("new/http/python/http.wit.txt")),
    ("src/app.py", include_str!("new/http/python/app.py.txt")),
    ("src/handler.py", include_str!("new/http/python/handler.py.txt")),
    ("tests/test_handler.py", include_str!("new/http/python/test_handler.py.txt")),
    (".gitignore", PYTHON_IGNORED),
];

impl Language {
    fn files(self, template: Template) -> &'static [ProjectFile] {
        match (self, template) {
            (Self::Rust, Template::Message) => RUST,
            (Self::Rust, Template::Http) => RUST_HTTP,
            (Self::TypeScript, Template::Message) => TYPESCRIPT,
            (Self::TypeScript, Template::Http) => TYPESCRIPT_HTTP,
            (Self::Python, Template::Message) => PYTHON,
            (Self::Python, Template::Http) => PYTHON_HTTP,
        }
    }

    /// Where its SDK is, in the repository.
    fn sdk(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::TypeScript => "js",
            Self::Python => "python",
        }
    }

    /// What to do in the new project.
    fn first_steps(self) -> &'static str {
        match self {
            Self::Rust => "cargo test && wasq build",
            Self::TypeScript => "npm install && npm test && wasq build",
            Self::Python => {
                "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/pytest && wasq build"
            }
        }
    }
}

impl New {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let begins_well = self.name.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins_well || !self.name.chars().all(allowed) || self.name.len() > 64 {
            bail!("`{}` is no name for a handler: use a-z, 0-9, `-` and `_`, beginning with a letter", self.name);
        }
        let dir = Path::new(&self.name);
        if dir.exists() {
            bail!("{} is there already", dir.display());
        }
        let sdk = match self.template {
            Template::Message => sdk_dependency(self.lang, self.sdk.as_deref())?,
            Template::Http => String::new(),
        };
        for (path, text) in self.lang.files(self.template) {
            let text = text.replace("SDK", &sdk).replace("NAME", &self.name);
            let first_line = if *path == "plugin.toml" { schema::directive() } else { String::new() };
            write(dir, path, &(first_line + &text))?;
        }
        schema::put_into(dir)?;
        println!("made {}: try `cd {} && {}`", dir.display(), self.name, self.lang.first_steps());
        Ok(ExitCode::SUCCESS)
    }
}

/// The dependency on the SDK, as the language's file has it.
fn sdk_dependency(lang: Language, sdk: Option<&str>) -> anyhow::Result<String> {
    let beside_our_source = beside_our_source(&format!("../sdk/{}", lang.sdk()));
    let by_path = |path: PathBuf| -> anyhow::Result<String> {
        let path = path.canonicalize().with_context(|| format!("no SDK at {}", path.display()))?;
        let path = path.to_string_lossy();
        Ok(match lang {
            Language::Rust => format!("{{ path = {} }}", toml::Value::String(path.into_owned())),
            Language::TypeScript => serde_json::Value::String(format!("file:{path}")).to_string(),
            Language::Python => format!("file://{path}"),
        })
    };
    match sdk {
        Some(url) if url.contains("://") || url.starts_with("git@") => Ok(match lang {
            Language::Rust => format!("{{ git = {} }}", toml::Value::String(url.to_owned())),
            Language::TypeScript => serde_json::Value::String(format!("git+{url}")).to_string(),
            Language::Python => format!("git+{url}#subdirectory=sdk/python"),
        }),
        Some(path) => by_path(path.into()),
        None => match beside_our_source {
            Some(directory) => by_path(directory),
            None if is_given_away() => of_our_tag(lang),
            None => bail!("where is the SDK? It is not published yet: give its directory or git URL with --sdk"),
        },
    }
}

/// The dependency of a binary that is given away: on the SDK of its own release, by the tag.
fn of_our_tag(lang: Language) -> anyhow::Result<String> {
    let (repository, tag) = (env!("CARGO_PKG_REPOSITORY"), concat!("v", env!("CARGO_PKG_VERSION")));
    match lang {
        Language::Rust => Ok(format!("{{ git = \"{repository}\", tag = \"{tag}\" }}")),
        Language::Python => Ok(format!("git+{repository}@{tag}#subdirectory=sdk/python")),
        // npm takes no directory of a repository.
        Language::TypeScript => bail!(
            "where is the SDK? npm takes none out of a repository's directory: clone {repository} at {tag}, and give its \
             sdk/js with --sdk"
        ),
    }
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(name);
    let parent = path.parent().unwrap_or(dir);
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_is_given_away_takes_the_sdk_of_its_own_release() {
        let rust = of_our_tag(Language::Rust).expect("cargo takes a tag");
        let table: toml::Table = format!("wasq-sdk = {rust}").parse().expect("it is a dependency");
        assert_eq!(table["wasq-sdk"]["tag"].as_str(), Some(concat!("v", env!("CARGO_PKG_VERSION"))));
        let python = of_our_tag(Language::Python).expect("pip takes a tag");
        assert!(python.starts_with("git+https://") && python.ends_with("#subdirectory=sdk/python"), "{python}");
        let typescript = of_our_tag(Language::TypeScript).expect_err("npm takes none").to_string();
        assert!(typescript.contains("--sdk") && typescript.contains("sdk/js"), "{typescript}");
    }
}
