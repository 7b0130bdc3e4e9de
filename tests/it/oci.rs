//! Plugins in registries: a real one of the distribution, and skopeo, which knows nothing of wasq.

mod host;
mod login;
mod push;
mod token;

use std::path::{Path, PathBuf};

use wasq::config::OciReference;
use wasq::plugins::pack;
use wasq_tests::servers::Server;

use crate::cli::binary::{Wasq, program, wasq};
use crate::support::wat;

/// A plugin's bytes: `done` does its work, `tag` tells versions apart.
fn plugin(name: &str, tag: &str) -> Vec<u8> {
    packed(&wat::done(), name, tag)
}

fn packed(component: &[u8], name: &str, tag: &str) -> Vec<u8> {
    let manifest = format!("name = '{name}'\ntypes = ['probe']\nvariables = {{ tag = '{tag}' }}\n");
    pack(component, &manifest).unwrap()
}

/// `oci://127.0.0.1:PORT/REPOSITORY:TAG`.
fn reference(server: &Server, rest: &str) -> String {
    format!("{}/{rest}", server.url())
}

/// Pushes bytes. The answer is the reference with its digest.
async fn push(dir: &Path, bytes: &[u8], reference: &str) -> OciReference {
    let file = dir.join("pushed.wasm");
    std::fs::write(&file, bytes).unwrap();
    let ran = wasq(["push".as_ref(), file.as_os_str(), reference.as_ref()]).dir(dir).check(0, &["@sha256:"]).await;
    OciReference::parse(ran.out.trim()).unwrap()
}

fn skopeo(arguments: &[&str]) -> Wasq {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join("skopeo").exists());
    assert!(found, "skopeo is not installed: run `bash tests/clients/setup.sh` first");
    program("skopeo", arguments)
}

/// A directory for docker's `config.json`.
fn docker_config(dir: &Path, json: &serde_json::Value) -> PathBuf {
    let config = dir.join("docker");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.json"), json.to_string()).unwrap();
    config
}
