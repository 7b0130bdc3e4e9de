//! `cargo xtask`: what a developer runs in a clone. The alias stands in .cargo/config.toml.
//!
//! It is built in a moment, since it depends on next to nothing: a test needs programs and a
//! target that have to be there before the first crate of the host is compiled.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask COMMAND

  setup          installs what the tests need: the Wasm target, AWS clients, servers
  test [ARGS]    setup, then `cargo test --workspace ARGS`
  dist [ARGS]    makes the files of a release; `cargo xtask dist --help` has its options";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match arguments.split_first() {
        Some((command, [])) if command == "setup" => setup(),
        Some((command, more)) if command == "test" => setup().and_then(|()| {
            let mut cargo = cargo();
            cargo.current_dir(root()).args(["test", "--workspace"]).args(more);
            become_it(cargo)
        }),
        Some((command, more)) if command == "dist" => {
            let mut cargo = cargo();
            let manifest = root().join("Cargo.toml");
            cargo
                .args(["run", "--quiet", "--package", "wasq-dist", "--manifest-path"])
                .arg(manifest)
                .arg("--")
                .args(more);
            become_it(cargo)
        }
        Some((command, [])) if command == "help" || command == "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(_) | None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Installs what the tests need. What is there already takes no time.
fn setup() -> Result<(), String> {
    wasq_toolchain::ensure_wasm_target(root(), |line| eprintln!("{line}")).map_err(|error| error.to_string())?;
    let script = root().join("tests/clients/setup.sh");
    let status = Command::new("sh").arg(&script).status();
    let status = status.map_err(|error| format!("cannot run {}: {error}", script.display()))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{} failed ({status}); what it said stands above", script.display())),
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Goes on as cargo. Returns only when it cannot.
fn become_it(mut cargo: Command) -> Result<(), String> {
    Err(format!("cannot run cargo: {}", cargo.exec()))
}

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ stands in the repository")
}
