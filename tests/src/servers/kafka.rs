//! How a broker of Kafka's protocol is started, and when it is ready: noida-db, which keeps its
//! topics in one file. It writes that once a second, where something has changed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::process::Process;
use super::{LOOK, READY_MAX, log_path};

/// The set-up of the tests links it there.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/.venv/bin/noida-db-server");
/// How long a server that is up may take to answer a look.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// ApiVersions, version 0, of a client without a name: length, kind, version, number, name.
const WHICH_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255];

pub fn spawn(dir: &Path, port: u16) -> Result<Process> {
    ensure!(Path::new(PROGRAM).is_file(), "{PROGRAM} is not there: run `bash tests/clients/setup.sh` first");
    let mut command = Command::new(PROGRAM);
    command.args(["start", "--only", "kafka", "--kafka-port", &port.to_string(), "--data-dir"]).arg(data(dir));
    command.stdin(Stdio::null());
    Process::spawn(command, dir, &log_path(dir), Signal::TERM)
}

/// It listens before it has read its file, and answers after that.
pub fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(&WHICH_VERSIONS)?;
        stream.read_exact(&mut [0; 4])
    };
    // Not ready is what an error means here; the caller gives up in time.
    ask().is_ok()
}

/// Blocks until its file has a topic of this name. A file is written whole, and then takes the
/// place of the one before.
pub fn until_written(dir: &Path, topic: &str) -> Result<()> {
    let (file, name) = (data(dir).join("kafka.json"), format!("\"{topic}\""));
    // Time is counted in looks: no test needs it more exactly.
    for _ in 0..READY_MAX.as_millis() / LOOK.as_millis() {
        let written = match std::fs::read_to_string(&file) {
            Ok(written) => written,
            // It has written nothing yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        if written.contains(&name) {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    bail!("the topic {topic} is not in {} after {READY_MAX:?}", file.display())
}

fn data(dir: &Path) -> PathBuf {
    dir.join("kafka")
}
