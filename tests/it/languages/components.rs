//! The components of the handlers in tests/clients/handlers. Each is built once, and kept by what
//! it is made from: a build takes 10 s.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// The handler of the conformance suite, by its language.
pub fn conformance(language: &str) -> Vec<u8> {
    let clients = root().join("tests/clients");
    let project = clients.join("handlers").join(language);
    match language {
        "rust" => std::fs::read(wasq_tests::guest("conformance")).unwrap(),
        "typescript" => {
            let mut build = Command::new("node");
            build.arg(root().join("sdk/js/bin/wasq-build.js"));
            built(&project, build, &["sdk/js/src", "sdk/js/bin", "tests/clients/package.json"], "conformance-ts")
        }
        "python" => {
            let mut build = Command::new(clients.join(".venv/bin/python"));
            build.args(["-m", "wasq.build"]).env("PYTHONPATH", root().join("sdk/python"));
            built(&project, build, &["sdk/python/wasq", "tests/clients/requirements.txt"], "conformance-py")
        }
        other => panic!("no handler in {other}"),
    }
}

/// A component of componentize-js without the SDK.
pub fn from_javascript(name: &str) -> Vec<u8> {
    let mut build = Command::new("node");
    build.arg("build.mjs");
    built(&root().join("tests/clients/handlers").join(name), build, &["tests/clients/package.json"], name)
}

/// A project's component, in a directory of its own: `tests/clients` has its tools.
fn built(project: &Path, mut build: Command, tools: &[&str], name: &str) -> Vec<u8> {
    /// Two builds at once take twice as long.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut hasher = blake3::Hasher::new();
    let sources = tools.iter().map(|tool| root().join(tool)).chain([root().join("wit"), project.to_owned()]);
    sources.for_each(|source| hash(&source, &mut hasher));
    let kept = kept_dir().join(format!("{name}-{}.wasm", &hasher.finalize().to_hex()[..16]));
    if let Ok(component) = std::fs::read(&kept) {
        return component;
    }
    let output = build.current_dir(project).stdin(Stdio::null()).output();
    let output =
        output.unwrap_or_else(|error| panic!("cannot run {build:?}: {error}; `cargo xtask setup` installs it"));
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{build:?}: {}\n(`cargo xtask setup` installs tools)",
        String::from_utf8_lossy(&said)
    );
    let component = std::fs::read(project.join("dist").join(format!("{name}.wasm"))).unwrap();
    std::fs::create_dir_all(kept_dir()).unwrap();
    let file = tempfile::NamedTempFile::new_in(kept_dir()).unwrap();
    std::fs::write(file.path(), &component).unwrap();
    file.persist(kept).unwrap();
    component
}

/// Reads a file, or all that are in a directory.
fn hash(path: &Path, hasher: &mut blake3::Hasher) {
    if path.is_dir() {
        let mut entries: Vec<_> = path.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        let is_source = |path: &&PathBuf| !path.ends_with("dist") && !path.ends_with("__pycache__");
        entries.iter().filter(is_source).for_each(|entry| hash(entry, hasher));
    } else {
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(&std::fs::read(path).unwrap());
    }
}

fn kept_dir() -> PathBuf {
    // Beside target/debug/deps/it-…, which a copy of it elsewhere does not have.
    root().join("target/languages")
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}
