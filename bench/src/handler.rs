//! The handler that hosts run: the bench's own, built from its source, or any component; and the
//! copies of it that make many plugins.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use wasq::cli::build;
use wasq::config::Limits;
use wasq::plugins::{TypePattern, read_manifest};

/// Puts the handler into `dir` so often, each with a type of its own. The answer is the types.
/// `given` is a component's file, or none for the bench's own.
pub fn install(given: Option<&Path>, plugins: usize, dir: &Path, scratch: &Path) -> anyhow::Result<Vec<String>> {
    let component = match given {
        Some(path) => path.to_owned(),
        None => build_own(&scratch.join("built"))?,
    };
    let manifest = read_manifest(&component, &Limits::default())?;
    std::fs::create_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let copy = |name: &str| {
        let path = dir.join(format!("{name}.wasm"));
        std::fs::copy(&component, &path).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    if plugins == 1 {
        let copied = copy(&manifest.name)?;
        let beside = component.with_extension("toml");
        if beside.exists() {
            std::fs::copy(&beside, copied.with_extension("toml"))?;
        }
        let Some(kind) = manifest.types.iter().find_map(TypePattern::exact) else {
            bail!("{} handles no single type", component.display())
        };
        return Ok(vec![kind.0.clone()]);
    }
    let mut types = Vec::with_capacity(plugins);
    for number in 0..plugins {
        let name = format!("{}-{number}", manifest.name);
        let path = copy(&name)?.with_extension("toml");
        std::fs::write(&path, format!("name = \"{name}\"\ntypes = [\"{name}\"]\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        types.push(name);
    }
    Ok(types)
}

fn build_own(out: &Path) -> anyhow::Result<PathBuf> {
    let here = PathBuf::from("bench/handler");
    let beside_our_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("handler");
    let source = match (here.join("plugin.toml").is_file(), beside_our_source.is_dir()) {
        (true, _) => here,
        (false, true) => beside_our_source.canonicalize()?,
        (false, false) => {
            bail!("the bench's handler is not here; run this in a clone of the repository, or give --handler FILE.wasm")
        }
    };
    eprintln!("building the handler in {}", source.display());
    let built = build::build(&source, out, false)?;
    built.into_iter().next().map(|built| built.path).context("one project makes one component")
}
