//! `wasq new`: a handler project that builds and passes its test as made.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

/// Make a handler project.
///
/// The project has a handler, its manifest (plugin.toml) and a native test. Until wasq-sdk is published it depends on the SDK
/// by path, beside the source that this binary was built from, or by git; --sdk says where.
///
///   wasq new hello && cd hello
///   cargo test
///   wasq build
///   wasq invoke .wasq/plugins/hello.wasm --body '{"name":"Ada"}'
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct New {
    /// The project's name and directory: a-z, 0-9, `-` and `_`, beginning with a letter.
    name: String,
    /// Where wasq-sdk is: a directory, or a git URL.
    #[arg(long, env = "WASQ_SDK", value_name = "PATH|URL")]
    sdk: Option<String>,
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
        let sdk = sdk_dependency(self.sdk.as_deref())?;
        let cargo_toml = include_str!("new/Cargo.toml.txt").replace("SDK", &sdk).replace("NAME", &self.name);
        write(dir, "Cargo.toml", &cargo_toml)?;
        write(dir, "plugin.toml", &include_str!("new/plugin.toml.txt").replace("NAME", &self.name))?;
        write(dir, "src/lib.rs", include_str!("new/lib.rs.txt"))?;
        write(dir, "rust-toolchain.toml", "[toolchain]\nchannel = \"stable\"\ntargets = [\"wasm32-wasip2\"]\n")?;
        write(dir, ".gitignore", "/target\n/.wasq\n")?;
        println!("made {}: try `cd {} && cargo test && wasq build`", dir.display(), self.name);
        Ok(ExitCode::SUCCESS)
    }
}

/// The dependency on the SDK, as Cargo.toml writes it.
fn sdk_dependency(sdk: Option<&str>) -> anyhow::Result<String> {
    let beside_our_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/rust");
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let by_path = |path: PathBuf| -> anyhow::Result<String> {
        let path = path.canonicalize().with_context(|| format!("no SDK at {}", path.display()))?;
        Ok(format!("{{ path = {} }}", quoted(&path.to_string_lossy())))
    };
    match sdk {
        Some(url) if url.contains("://") || url.starts_with("git@") => Ok(format!("{{ git = {} }}", quoted(url))),
        Some(path) => by_path(path.into()),
        None if beside_our_source.is_dir() => by_path(beside_our_source),
        None => bail!("where is wasq-sdk? It is not published yet: give its directory or git URL with --sdk"),
    }
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(name);
    let parent = path.parent().unwrap_or(dir);
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
