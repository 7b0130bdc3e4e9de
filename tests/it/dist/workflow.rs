//! The workflows of the repository's host: read by actionlint, and held to the commands that they
//! call.

use std::path::{Path, PathBuf};

use clap::Parser;
use wasq_dist::Options;

use crate::cli::binary::client;

fn workflow(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/workflows").join(name)
}

#[tokio::test]
async fn the_workflows_are_valid() {
    for name in ["ci.yml", "release.yml"] {
        client("actionlint", [workflow(name)]).check(0, &[]).await;
    }
    // It sees what is wrong in one.
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.yml");
    let text = std::fs::read_to_string(workflow("ci.yml")).unwrap();
    std::fs::write(&bad, text.replace("github.ref }}", "github.reff }}")).unwrap();
    client("actionlint", [bad]).check(1, &["reff"]).await;
}

#[test]
fn a_push_runs_what_ci_runs_and_a_tag_packs_a_release_with_options_that_there_are() {
    let ci = std::fs::read_to_string(workflow("ci.yml")).unwrap();
    assert!(ci.lines().any(|line| line.trim() == "- run: bash .ci/run"), "{ci}");
    let release = std::fs::read_to_string(workflow("release.yml")).unwrap();
    let commands: Vec<_> = release.lines().filter_map(|line| line.split_once("run: cargo xtask ")).collect();
    assert_eq!(commands.len(), 1, "{commands:?}");
    let options = Options::try_parse_from(commands[0].1.split_whitespace());
    let options = options.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(options.targets, wasq_dist::Target::ALL);
    assert!(options.minisign_key.is_some() && !options.no_sbom && options.binary.is_none());
    // The version of Rust, of the tool for the bill of materials, and where the files are.
    for part in ["rust:1.95.0-bookworm", "path: target/release-files"] {
        assert!(release.contains(part), "{part}");
    }
    let manifest: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
    assert_eq!(manifest["workspace"]["package"]["rust-version"].as_str(), Some("1.95"));
    assert_eq!(options.out, Path::new("target/release-files"));
}
