//! A process that the bench has started: lines go both ways, and what it logs is kept for the case
//! that it fails.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::pins::on;
use crate::worker_process::WorkerProcess;

/// The longest that any process may take for its next line. Each fails by itself long before when
/// nothing happens any more.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How long a process may take to end when it is done.
const END: Duration = Duration::from_secs(30);
/// Lines of its log that are shown when it fails.
const LAST_LINES: usize = 10;

/// A running process. It is killed when this is dropped.
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Process {
    /// Starts a worker process of this binary.
    pub fn worker(name: &str, worker: &WorkerProcess, cores: Option<&[usize]>, scratch: &Path) -> anyhow::Result<Self> {
        let mut command = on(cores, &wasq::cli::process::own_binary()?);
        command.arg("worker").arg(serde_json::to_string(worker)?);
        // What is logged is part of what is measured.
        command.env_remove("WASQ_LOG").env_remove("WASQ_LOG_FORMAT");
        Self::start(name, command, scratch)
    }

    /// Starts any program. What it logs to stderr goes to a file in `scratch`, as a service's log
    /// would.
    pub fn start(name: &str, mut command: Command, scratch: &Path) -> anyhow::Result<Self> {
        let log = scratch.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).kill_on_drop(true);
        let program = command.as_std().get_program().to_owned();
        let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let input = child.stdin.take().context("its input is piped")?;
        let lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        Ok(Self { name: name.to_owned(), child, input: Some(input), lines, log })
    }

    /// The next thing that it says.
    pub async fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.map_err(|_| self.failed("it says nothing"))?.context("its output cannot be read")?;
        let Some(line) = line else { return Err(self.failed("it ended early")) };
        serde_json::from_str(&line).map_err(|error| self.failed(&format!("it said {line:?}: {error}")))
    }

    /// Tells it something.
    pub async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let Some(input) = &mut self.input else { bail!("{} is not listening any more", self.name) };
        let told = async {
            input.write_all(format!("{line}\n").as_bytes()).await?;
            input.flush().await
        };
        told.await.map_err(|error| self.failed(&error.to_string()))
    }

    /// Waits until it has ended, and well.
    pub async fn end(mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        let status =
            tokio::time::timeout(END, self.child.wait()).await.map_err(|_| self.failed("it does not end"))??;
        if !status.success() {
            return Err(self.failed(&status.to_string()));
        }
        std::fs::remove_file(&self.log).with_context(|| format!("cannot remove {}", self.log.display()))
    }

    fn failed(&self, what: &str) -> anyhow::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
        anyhow::anyhow!("{}: {what}; the end of its log:\n  {last}", self.name)
    }
}
