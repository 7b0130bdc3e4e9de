//! The packages for npm: `wasq`, a launcher, and for each machine one with the binary, of which npm
//! installs the one that fits.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Value, json};

use crate::archive::Packer;
use crate::documents::notices;
use crate::files::Tree;
use crate::source::Source;
use crate::target::Target;

const LAUNCHER: &str = include_str!("../templates/npm/wasq.js");
const PAGE: &str = include_str!("../templates/npm/README.md");

/// Node that the launcher runs on.
const NODE: &str = ">=18";

/// The directory that npm has everything in.
const DIRECTORY: &str = "package";

/// The package with the binary for a machine: its file's name and bytes.
pub fn platform_package(
    source: &Source,
    target: Target,
    binary: &[u8],
    common: &Tree,
    packer: Packer,
) -> anyhow::Result<(String, Vec<u8>)> {
    let mut tree = Tree::default();
    let mut package = description(source, &name_of(target));
    package["description"] = format!("The wasq binary for Linux on {}; `wasq` installs it", target.node_arch()).into();
    package["cpu"] = json!([target.node_arch()]);
    package["libc"] = json!(["glibc"]);
    // Yarn would have it in a zip, where no program runs.
    package["preferUnplugged"] = true.into();
    tree.add("package.json", text(&package));
    tree.add("README.md", format!("The binary of `wasq` for Linux on {}.\n", target.node_arch()).into_bytes());
    notices(common).for_each(|(path, bytes)| tree.add(path, bytes.to_vec()));
    tree.add_program("bin/wasq", binary.to_vec());
    let file = format!("wasq-cli-linux-{}-{}.tgz", target.node_arch(), source.version);
    Ok((file, packer.tar(&tree, DIRECTORY)?))
}

/// The package that people install.
pub fn launcher_package(source: &Source, targets: &[Target], packer: Packer) -> anyhow::Result<(String, Vec<u8>)> {
    let mut tree = Tree::default();
    let mut package = description(source, "wasq");
    package["bin"] = json!({ "wasq": "bin/wasq.js" });
    package["engines"] = json!({ "node": NODE });
    let binaries: BTreeMap<_, _> = targets.iter().map(|target| (name_of(*target), &source.version)).collect();
    package["optionalDependencies"] = json!(binaries);
    tree.add("package.json", text(&package));
    tree.add("README.md", PAGE.replace("{repository}", &source.repository).into_bytes());
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        tree.add(license, source.read(license)?);
    }
    let names: BTreeMap<_, _> = targets.iter().map(|target| (target.node_arch(), name_of(*target))).collect();
    let names = serde_json::to_string(&names).context("names are JSON")?;
    tree.add_program("bin/wasq.js", LAUNCHER.replace("{packages}", &names).into_bytes());
    Ok((format!("wasq-{}.tgz", source.version), packer.tar(&tree, DIRECTORY)?))
}

fn name_of(target: Target) -> String {
    format!("@wasq/cli-linux-{}", target.node_arch())
}

fn description(source: &Source, name: &str) -> Value {
    json!({
        "name": name,
        "version": source.version,
        "description": source.description,
        "license": format!("({})", source.license),
        "repository": { "type": "git", "url": format!("git+{}.git", source.repository) },
        "os": ["linux"],
    })
}

fn text(package: &Value) -> Vec<u8> {
    format!("{package:#}\n").into_bytes()
}
