//! The licences of what is in the binary: one page with each crate, and each text once.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::contents;
use crate::source::{Source, cargo, output};
use crate::target::Target;

/// How the names of files begin that have a licence, or what a licence asks to be given along.
const FILES: [&str; 6] = ["license", "licence", "copying", "copyright", "notice", "unlicense"];

/// A text of a licence is not longer. A file that is has something else in it.
const TEXT_MAX_BYTES: u64 = 256 * 1024;

/// A crate in the binary.
struct Crate {
    name: String,
    version: String,
    license: String,
    texts: Vec<String>,
}

/// The page.
pub fn document(source: &Source, target: Target, features: &str) -> anyhow::Result<String> {
    Ok(page(&crates(source, target, features)?))
}

/// The crates in the binary that are not ours, with their licences.
fn crates(source: &Source, target: Target, features: &str) -> anyhow::Result<Vec<Crate>> {
    let used = contents::crates(source, target, features)?;
    let metadata = ["metadata", "--offline", "--locked", "--format-version", "1", "--all-features"];
    let metadata: Value = serde_json::from_str(&output(cargo(), &metadata, Some(&source.root))?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    // What has no source is a part of wasq, under its own licence.
    let of_others = packages.iter().filter(|package| !package["source"].is_null());
    let mut crates = Vec::new();
    for package in of_others {
        let (name, version) = (text(package, "name"), text(package, "version"));
        if used.contains(&(name.clone(), version.clone())) {
            let manifest = text(package, "manifest_path");
            let directory = Path::new(&manifest).parent().context("a manifest is in a directory")?;
            let texts = texts(directory).with_context(|| format!("the licences of {name} {version}"))?;
            crates.push(Crate { name, version, license: text(package, "license"), texts });
        }
    }
    crates.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(crates)
}

/// The texts beside a crate's manifest.
fn texts(directory: &Path) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        let metadata = entry.metadata()?;
        if metadata.is_file() && metadata.len() <= TEXT_MAX_BYTES && FILES.iter().any(|start| name.starts_with(start)) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    // What is no text, is no licence.
    Ok(paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).map(|text| text.trim().to_owned()).collect())
}

fn page(crates: &[Crate]) -> String {
    let mut page = String::from(
        "# Licences of what is in wasq\n\nwasq itself is licensed under MIT or Apache-2.0. The binary also has these \
         crates in it. Their texts follow, each once.\n\n| crate | version | licence |\n| --- | --- | --- |\n",
    );
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in crates {
        let license = if one.license.is_empty() { "see its text" } else { &one.license };
        page.push_str(&format!("| {} | {} | {license} |\n", one.name, one.version));
        for text in &one.texts {
            users.entry(text).or_default().push(format!("{} {}", one.name, one.version));
        }
    }
    for (text, mut users) in users {
        users.dedup();
        page.push_str(&format!("\n## {}\n\n```text\n{}\n```\n", users.join(", "), text.replace("```", "'''")));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_two_crates_share_is_there_once() {
        let one = |name: &str, texts: &[&str]| Crate {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: "MIT".to_owned(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        };
        let page = page(&[one("a", &["shared"]), one("b", &["own", "shared"])]);
        assert!(page.contains("| a | 1.0.0 | MIT |\n| b | 1.0.0 | MIT |"), "{page}");
        assert!(page.contains("## a 1.0.0, b 1.0.0\n\n```text\nshared\n```"), "{page}");
        assert!(page.contains("## b 1.0.0\n\n```text\nown\n```"), "{page}");
        assert_eq!(page.matches("shared").count(), 1, "{page}");
    }
}
