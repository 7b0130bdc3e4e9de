//! How dynalite is started, a DynamoDB that keeps its tables in a directory.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::log_path;
use super::process::Process;

/// What the set-up of the tests installs, and what starts it.
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/node_modules/dynalite");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/dynalite.mjs");

pub fn spawn(dir: &Path, port: u16) -> Result<Process> {
    ensure!(Path::new(PACKAGE).is_dir(), "{PACKAGE} is not there: run `bash tests/clients/setup.sh` first");
    let mut command = Command::new("node");
    command.args([SCRIPT, &port.to_string()]).arg(dir.join("tables")).stdin(Stdio::null());
    Process::spawn(command, dir, &log_path(dir), Signal::TERM)
}

pub fn is_ready(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
