//! How a PostgreSQL cluster is made and started, and when it is ready.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::process::{Process, command, find};
use super::{PASSWORD, log_path};

/// Where Debian keeps each version's programs.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Makes a cluster in `dir` whose user `postgres` has the password.
pub fn make_cluster(dir: &Path) -> Result<()> {
    let secret = dir.join("password");
    std::fs::write(&secret, PASSWORD).with_context(|| format!("cannot write {}", secret.display()))?;
    let options = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"];
    let mut initdb = command(&program("initdb")?, options)?;
    initdb.arg(format!("--pwfile={}", secret.display())).arg("--pgdata").arg(data(dir)).current_dir(dir);
    let made = initdb.output().context("cannot run initdb")?;
    ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

pub fn spawn(options: &[String], dir: &Path, port: u16) -> Result<Process> {
    let mut command = command(&program("postgres")?, ["-D"])?;
    command.arg(data(dir)).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", ""]);
    command.args(["-c", "max_connections=300", "-c", "shared_buffers=64MB"]).args(options);
    // SIGQUIT is its immediate shutdown: it does not wait for its clients.
    Process::spawn(command, dir, &log_path(dir), Signal::QUIT)
}

/// Its lock file says so, in the eighth line; the first has the process id, since one that was
/// killed leaves its file.
pub fn is_ready(dir: &Path, process: &Process) -> bool {
    let Ok(state) = std::fs::read_to_string(data(dir).join("postmaster.pid")) else { return false };
    let line = |n: usize| state.lines().nth(n).unwrap_or_default().trim();
    line(0) == process.id().to_string() && line(7) == "ready"
}

fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn program(name: &str) -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable_by_key(|&(version, _)| std::cmp::Reverse(version));
    find(name, &versions.into_iter().map(|(_, bin)| bin).collect::<Vec<_>>())
}
