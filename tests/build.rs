//! Compiles the guests, the shop's handlers and the bench's to components, with a cargo of its own
//! and in a target directory of its own: a nested cargo would wait for ever for the outer one's.

use std::env;
use std::path::Path;
use std::process::Command;

use wasq_toolchain::{WASM_TARGET, ensure_wasm_target};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the repository");
    for input in ["tests/guests", "plugins", "bench/handler", "sdk/rust", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    // Four floors up from target/debug/build/wasq-tests-0123/out.
    let out_dir = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let target_dir =
        Path::new(&out_dir).ancestors().nth(4).expect("OUT_DIR is deep in the target directory").join("guests");

    for dir in [root.to_owned(), root.join("tests/guests")] {
        let said = ensure_wasm_target(&dir, |line| println!("cargo::warning={line}"));
        said.unwrap_or_else(|error| panic!("{error}"));
    }
    build(&target_dir, &root.join("tests/guests"), &["--examples".to_owned()]);
    let plugins = plugins(root).into_iter().chain(["bench-handler".to_owned()]);
    let plugins: Vec<String> = plugins.flat_map(|name| ["-p".to_owned(), name]).collect();
    build(&target_dir, root, &plugins);

    let built = target_dir.join(WASM_TARGET).join("release");
    println!("cargo::rustc-env=WASQ_BUILT={}", built.display());
}

/// The packages in plugins/, by the names of their directories.
fn plugins(root: &Path) -> Vec<String> {
    let dir = root.join("plugins");
    let entries = dir.read_dir().unwrap_or_else(|error| panic!("cannot list {}: {error}", dir.display()));
    let paths = entries.map(|entry| entry.expect("a directory that was opened can be read").path());
    let crates = paths.filter(|path| path.join("Cargo.toml").exists());
    crates.map(|path| path.file_name().expect("an entry has a name").to_string_lossy().into_owned()).collect()
}

fn build(target_dir: &Path, dir: &Path, what: &[String]) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(dir)
        .args(["build", "--release", "--target", WASM_TARGET, "--target-dir"])
        .arg(target_dir)
        .args(what);
    for (name, _) in env::vars_os() {
        if leaks(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("cannot run {cargo:?}: {error}"));
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!("the components in {} cannot be built ({}):\n{errors}", dir.display(), output.status);
    }
}

/// What the outer cargo set for this build script or for the host's code, and what must not reach
/// the guests'.
fn leaks(name: &str) -> bool {
    let wrappers =
        ["RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "RUSTDOCFLAGS", "TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG"];
    let kept = ["CARGO", "CARGO_HOME", "CARGO_MAKEFLAGS"];
    let kept_families = ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_INCREMENTAL"];
    let of_cargo = name.starts_with("CARGO") && !kept.contains(&name);
    wrappers.contains(&name) || (of_cargo && !kept_families.iter().any(|family| name.starts_with(family)))
}
