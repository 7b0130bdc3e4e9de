//! Compiling the binary, so that the same commit gives the same bytes: without the paths, the time
//! and the settings of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::source::{Source, cargo, output};
use crate::target::Target;

/// Where it is compiled, in the repository: its flags are not those of other builds.
const DIRECTORY: &str = "target/release-build";

/// The targets for which all is here. Says what is missing for the others.
pub fn possible_targets() -> anyhow::Result<Vec<Target>> {
    let here = Target::here()?;
    let mut targets = vec![here];
    for other in Target::ALL.into_iter().filter(|target| *target != here) {
        match check(other) {
            Ok(()) => targets.push(other),
            Err(error) => eprintln!("note: nothing is made for {other}: {error:#}"),
        }
    }
    Ok(targets)
}

/// Whether all is here that compiles for a target.
///
/// # Errors
/// What is missing, and what installs it.
pub fn check(target: Target) -> anyhow::Result<()> {
    if target.runs_here() {
        return Ok(());
    }
    let (compiler, package) = target.cross_compiler();
    if output(compiler, &["--version"], None).is_err() {
        bail!("there is no {compiler}; Debian has it in {package}");
    }
    let sysroot = output("rustc", &["--print", "sysroot"], None)?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(target.triple());
    match library.is_dir() {
        true => Ok(()),
        false => bail!("Rust has no standard library for it; run `rustup target add {target}`"),
    }
}

/// Compiles the binary.
pub fn binary(source: &Source, target: Target, features: &str) -> anyhow::Result<PathBuf> {
    let directory = source.root.join(DIRECTORY);
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set: where does cargo keep sources?")?;
    let prefixes = [(source.root.as_path(), "/wasq"), (home.as_path(), "/cargo")];
    let mut rust_flags: Vec<_> =
        prefixes.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect();
    // A setting of the profile would not reach the packages that have settings of their own.
    rust_flags.push("-Cstrip=symbols".to_owned());
    let c_flags: Vec<_> =
        prefixes.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display())).collect();

    let mut build = Command::new(cargo());
    build.current_dir(&source.root).args(["build", "--locked", "--offline", "--profile", "dist", "--bin", "wasq"]);
    build.args(["--package", "wasq", "--features", features, "--target", target.triple(), "--target-dir"]);
    build.arg(&directory);
    // Whatever these are here, they are the same everywhere.
    for name in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CFLAGS", "CXXFLAGS"] {
        build.env_remove(name);
    }
    let triple = target.triple().replace('-', "_");
    build.env("CARGO_ENCODED_RUSTFLAGS", rust_flags.join("\u{1f}"));
    build.env(format!("CFLAGS_{triple}"), c_flags.join(" ")).env(format!("CXXFLAGS_{triple}"), c_flags.join(" "));
    build.env("SOURCE_DATE_EPOCH", source.epoch_s.to_string()).env("WASQ_DIST", "1");
    if !target.runs_here() {
        build.env(format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase()), target.cross_compiler().0);
    }
    let status = build.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("wasq does not compile for {target} ({status}); what cargo said stands above");
    }
    Ok(directory.join(target.triple()).join("dist/wasq"))
}
