//! How a Redis server is started, and when it is ready.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::process::{Process, command, find};
use super::{PASSWORD, log_path};

/// How long a server that is up may take to answer a look.
const ANSWER_MAX: Duration = Duration::from_secs(1);

pub fn spawn(options: &[String], dir: &Path, port: u16) -> Result<Process> {
    let program = find("redis-server", &[]).or_else(|error| find("valkey-server", &[]).map_err(|_| error))?;
    let (port, dir_text) = (port.to_string(), dir.display().to_string());
    let own = ["--bind", "127.0.0.1", "--port", &port, "--dir", &dir_text, "--requirepass", PASSWORD];
    let durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
    let arguments = own.into_iter().chain(durable).chain(options.iter().map(String::as_str));
    Process::spawn(command(&program, arguments)?, dir, &log_path(dir), Signal::TERM)
}

/// As long as it reads its log, it answers `-LOADING`.
pub fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(format!("AUTH {PASSWORD}\r\nPING\r\nQUIT\r\n").as_bytes())?;
        let mut answers = String::new();
        stream.read_to_string(&mut answers)?;
        Ok(answers.contains("+PONG"))
    };
    // Not ready is what an error means here; the caller gives up in time.
    ask().unwrap_or(false)
}
