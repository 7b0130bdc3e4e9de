//! Which crates are in the binary.

use std::collections::BTreeSet;

use crate::source::{Source, cargo, output};
use crate::target::Target;

/// The names and versions of the crates that are compiled into the binary, ours included: not those
/// of build scripts, macros and tests.
pub fn crates(source: &Source, target: Target, features: &str) -> anyhow::Result<BTreeSet<(String, String)>> {
    let tree = [
        "tree",
        "--offline",
        "--locked",
        "--package",
        "wasq",
        "--features",
        features,
        "--target",
        target.triple(),
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--no-dedupe",
    ];
    let tree = output(cargo(), &tree, Some(&source.root))?;
    // `serde v1.0.228`, with a path behind it where it is ours.
    let named = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    Ok(named.collect())
}
