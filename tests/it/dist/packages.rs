//! The packages for npm and PyPI, installed without a network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{MADE, run, text};
use crate::cli::binary::{client, program};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs an installed `wasq` as a newcomer does: its version, then `wasq dev` where nothing is yet.
async fn greets_a_newcomer(wasq: &Path) {
    let first_line = format!("wasq {VERSION} (commit ");
    program(wasq, ["--version"]).check(0, &[&first_line, "brokers:"]).await;
    let empty = tempfile::tempdir().unwrap();
    program(wasq, ["dev"]).dir(&empty).check(1, &["no handler project", "`wasq new NAME` makes one"]).await;
    program(wasq, ["sned"]).check(2, &["'send'"]).await;
}

/// `npm install` of the release's packages, into a directory of its own.
fn install_by_npm(dir: &Path) -> PathBuf {
    let made = &*MADE;
    std::fs::write(dir.join("package.json"), r#"{ "name": "shop", "private": true }"#).unwrap();
    let launcher = text(&made.release.directory.join(format!("wasq-{VERSION}.tgz")));
    let binary = text(&made.file("wasq-cli-linux-", ".tgz"));
    let cache = text(&dir.join("cache"));
    let arguments = ["install", "--offline", "--no-audit", "--no-fund", "--cache", &cache, "--prefix", &text(dir)];
    run("npm", &[&arguments[..], &[&binary, &launcher]].concat());
    dir.join("node_modules/.bin/wasq")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_npm_installs_runs() {
    let dir = tempfile::tempdir().unwrap();
    let wasq = install_by_npm(dir.path());
    greets_a_newcomer(&wasq).await;
    let npx = program("npx", ["--offline", "wasq", "-V"]).dir(&dir).check(0, &[]).await;
    assert_eq!(npx.out, format!("wasq {VERSION}\n"));

    // A supervisor's signal gets through, once, and the launcher ends as the host does.
    let data = text(&dir.path().join("queue"));
    let queue = program(&wasq, ["local-queue", "--listen", "127.0.0.1:0", "--data", &data]).spawn();
    queue.line("http://").await;
    queue.signal("TERM").await;
    assert_eq!(queue.ends_within(Duration::from_secs(60)).await, Some(0));

    // Without the package that has the binary.
    std::fs::remove_dir_all(dir.path().join("node_modules/@wasq")).unwrap();
    program(&wasq, ["-V"]).check(1, &["@wasq/cli-linux-", "--omit=optional"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pip_installs_runs() {
    let made = &*MADE;
    let dir = tempfile::tempdir().unwrap();
    let environment = dir.path().join("environment");
    run("python3", &["-m", "venv", "--without-pip", &text(&environment)]);
    let python = text(&environment.join("bin/python"));
    let wheel = text(&made.file("wasq-", ".whl"));
    let install = ["--python", &python, "install", "--no-index", "--no-deps", "--disable-pip-version-check", &wheel];
    client("pip", install).check(0, &[]).await;
    greets_a_newcomer(&environment.join("bin/wasq")).await;
    // Its record is whole: pip takes away all that it has installed.
    client("pip", ["--python", &python, "show", "--files", "wasq"]).check(0, &["bin/wasq", "THIRD-PARTY.md"]).await;
    client("pip", ["--python", &python, "uninstall", "--yes", "wasq"]).check(0, &[]).await;
    assert!(!environment.join("bin/wasq").exists());
}

#[test]
fn a_wheel_says_for_which_glibc_it_is_or_that_it_is_for_this_machine() {
    let made = &*MADE;
    let name = text(&made.file("wasq-", ".whl"));
    // The tests' binary has Kafka, and with it OpenSSL: no wheel for every Linux.
    assert!(name.ends_with(&format!("-py3-none-linux_{}.whl", std::env::consts::ARCH)), "{name}");
}
