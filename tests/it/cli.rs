//! The `wasq` binary as its users meet it: what it prints, how it ends, and what it says of bad
//! input.

mod bad_config;
mod bad_plugins;
pub mod binary;
mod closed_output;
mod completions;
mod credentials;
mod demo;
mod dev;
mod dlq;
mod groups;
mod help;
mod invoke;
mod live;
mod local_queue;
mod network;
mod new;
mod pack;
mod schema;
mod send;
mod status;
mod top;
mod version;
mod wasm_target;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Rig, wat};

/// A directory with a wasq.toml of this text, and an empty one for plugins.
fn place(config: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("plugins")).unwrap();
    std::fs::write(dir.path().join("wasq.toml"), config).unwrap();
    dir
}

/// Puts a component into a directory, with a manifest beside it.
fn install(dir: &Path, name: &str, component: &[u8], more: &str) {
    std::fs::write(dir.join(format!("{name}.wasm")), component).unwrap();
    let manifest = format!("name = \"{name}\"\ntypes = [\"{name}\"]\n{more}");
    std::fs::write(dir.join(format!("{name}.toml")), manifest).unwrap();
}

/// A component that can be loaded, and asks for nothing.
fn good() -> Vec<u8> {
    wat::done()
}

/// Writes a config by which a `wasq run` serves what the rig has; `queues` are its last lines, the
/// queues' tables.
pub fn config_file(rig: &Rig, head: &str, queues: &str) -> PathBuf {
    let dir = rig.plugins_dir().parent().expect("it is in the rig's directory").to_owned();
    let text = format!(
        "plugins_dir = 'plugins'\ngrant_all = true\n{head}\n\
         aws = {{ endpoint_url = '{}', region = 'eu-central-1' }}\nledger = {{ store = 'local', path = 'ledger' }}\n\
         egress = {{ open_hosts = ['{}'] }}\nlimits = {{ max_instances = 64 }}\n{queues}",
        rig.sqs.endpoint_url(),
        rig.sink.host(),
    );
    let path = dir.join("wasq.toml");
    std::fs::write(&path, text).unwrap();
    path
}
