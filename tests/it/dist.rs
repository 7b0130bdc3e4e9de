//! A release as its users get it: packed from the binary of the tests, checked, installed, run.

mod archive;
mod packages;
mod workflow;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use clap::Parser;
use tempfile::TempDir;
use wasq_dist::{Options, Release};

/// A release that the tests of this folder share.
struct Made {
    dir: TempDir,
    release: Release,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("there is room");
    run("strip", &["-o", &text(&dir.path().join("wasq")), env!("CARGO_BIN_EXE_wasq")]);
    let (public, secret) = (text(&dir.path().join("minisign.pub")), text(&dir.path().join("minisign.key")));
    // Without a password.
    run("minisign", &["-G", "-W", "-p", &public, "-s", &secret]);
    let release = pack(&dir.path().join("release"), &dir.path().join("wasq"), &["--minisign-key", &secret]);
    Made { dir, release }
});

impl Made {
    /// A file of the release, by the beginning and the end of its name.
    fn file(&self, start: &str, end: &str) -> PathBuf {
        let is_it = |name: &str| name.starts_with(start) && name.ends_with(end);
        let names: Vec<_> = self.release.files.iter().map(|file| &file.name).filter(|name| is_it(name)).collect();
        assert_eq!(names.len(), 1, "{start}…{end}: {names:?}");
        self.release.directory.join(names[0])
    }
}

/// Packs a binary, as `cargo xtask dist` does.
fn pack(out: &Path, binary: &Path, more: &[&str]) -> Release {
    make(out, binary, more).unwrap_or_else(|error| panic!("no release was made: {error:#}"))
}

fn make(out: &Path, binary: &Path, more: &[&str]) -> anyhow::Result<Release> {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/.cyclonedx/bin/cargo-cyclonedx");
    assert!(tool.exists(), "cargo-cyclonedx is not set up: run `bash tests/clients/setup.sh` first");
    let own_tool = ["--sbom-tool", &text(&tool)].map(str::to_owned);
    let own_tool = own_tool.into_iter().filter(|_| !more.contains(&"--sbom-tool"));
    let arguments = ["dist", "--compression", "1", "--out", &text(out), "--binary", &text(binary)].map(str::to_owned);
    let more = more.iter().map(|one| (*one).to_owned());
    wasq_dist::make(&Options::try_parse_from(arguments.into_iter().chain(own_tool).chain(more))?)
}

fn text(path: &Path) -> String {
    path.to_str().expect("paths of tests are UTF-8").to_owned()
}

/// Runs a program to its end, which must be a good one. What it prints is the answer.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
