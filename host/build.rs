//! Tells the host which commit it is built from and for which machine: `wasq --version` says both.
//!
//! The commit comes from the first of these that knows it: the variable `WASQ_COMMIT`, for builds
//! that see no clone, such as an image's; what cargo packs into a crate; the clone. A tarball has
//! none of them. Then the commit is empty, and the build goes on.
//!
//! A build that is given away says `WASQ_DIST=1`. It forgets the directory of its sources, which is
//! on nobody else's machine, and would make one binary differ from another.
//!
//! Cargo runs this again only after a commit, or after a change in what the binary is made of. Both
//! compile the host again anyway.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the binary is made of, in the repository. A change elsewhere makes no build dirty.
const SOURCES: [&str; 10] =
    ["Cargo.lock", "Cargo.toml", "core", "host", "ledgers", "local-sqs", "queues", "sqs-rules", "toolchain", "wit"];

/// Digits of a commit.
const COMMIT_DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=WASQ_COMMIT");
    println!("cargo::rerun-if-env-changed=WASQ_DIST");
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let commit = of_environment().or_else(|| of_crate(&package)).or_else(|| of_clone(&package));
    println!("cargo::rustc-env=BUILT_FROM_COMMIT={}", commit.unwrap_or_default());
    let is_given_away = std::env::var_os("WASQ_DIST").is_some_and(|value| value == "1");
    let sources = if is_given_away { String::new() } else { package.display().to_string() };
    println!("cargo::rustc-env=BUILT_FROM_DIRECTORY={sources}");
    println!("cargo::rustc-env=BUILT_FOR_TARGET={}", std::env::var("TARGET").expect("cargo sets it"));
}

fn of_environment() -> Option<String> {
    std::env::var("WASQ_COMMIT").ok().map(|commit| commit.trim().to_owned()).filter(|commit| is_commit(commit))
}

/// A commit, maybe with a mark behind it: no more than one word of a line.
fn is_commit(text: &str) -> bool {
    let hex = text.strip_suffix("-dirty").unwrap_or(text);
    (7..=64).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `cargo package` writes the commit into the crate.
fn of_crate(package: &Path) -> Option<String> {
    let text = std::fs::read_to_string(package.join(".cargo_vcs_info.json")).ok()?;
    let hash = text.split("\"sha1\"").nth(1)?.split('"').nth(1)?;
    let commit = short(hash)?;
    Some(if text.contains("\"dirty\": true") || text.contains("\"dirty\":true") { dirty(&commit) } else { commit })
}

/// The clone that this package is a part of. A directory of somebody else's clone is none.
fn of_clone(package: &Path) -> Option<String> {
    git(package, &["ls-files", "--error-unmatch", "build.rs"])?;
    let root = PathBuf::from(git(package, &["rev-parse", "--show-toplevel"])?);
    let branch = git(package, &["symbolic-ref", "--quiet", "HEAD"]);
    // What a commit, a checkout and a reset write. Cargo runs the script always where it is told to
    // watch a file that is not there.
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let file = package.join(git(package, &["rev-parse", "--git-path", name])?);
        if file.is_file() {
            println!("cargo::rerun-if-changed={}", file.display());
        }
    }
    let sources: Vec<_> = SOURCES.into_iter().filter(|source| root.join(source).exists()).collect();
    for source in &sources {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let commit = short(&git(&root, &["rev-parse", "HEAD"])?)?;
    let changes = git(&root, &[&["status", "--porcelain", "--"], &sources[..]].concat())?;
    Some(if changes.is_empty() { commit } else { dirty(&commit) })
}

fn short(hash: &str) -> Option<String> {
    is_commit(hash).then(|| hash.chars().take(COMMIT_DIGITS).collect())
}

fn dirty(commit: &str) -> String {
    format!("{commit}-dirty")
}

/// What git prints; none where it is not there or says no.
fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // A hook of git that builds has set them, for a clone that need not be this one.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    let output = git.arg("--no-optional-locks").args(arguments).current_dir(dir).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
