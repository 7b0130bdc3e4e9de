//! How a registry of OCI artifacts is started, and when it is ready: the reference implementation
//! of the distribution, with its blobs in a directory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::log_path;
use super::process::{Process, command, find};

/// Who may use one that asks for a password.
pub const USER: &str = "ada";
/// The option of one that asks.
pub const WITH_LOGIN: &str = "login";
/// bcrypt of [`super::PASSWORD`], at its lowest cost.
const PASSWORD_HASH: &str = "$2b$04$NxY23mJHXmhbdR4EwLRh5.7CfL8He4qjjFlFxhpLOA1FbBC8kGCaS";
/// How long a server that is up may take to answer a look.
const ANSWER_MAX: Duration = Duration::from_secs(1);

pub fn spawn(options: &[String], dir: &Path, port: u16) -> Result<Process> {
    let program = find("docker-registry", &["/usr/bin".into()])?;
    let (config, users, blobs) = (dir.join("config.yml"), dir.join("htpasswd"), dir.join("blobs"));
    std::fs::write(&users, format!("{USER}:{PASSWORD_HASH}\n"))?;
    let mut text = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: '127.0.0.1:{port}'}}\n",
        blobs.display()
    );
    if options.iter().any(|option| option == WITH_LOGIN) {
        text += &format!("auth: {{htpasswd: {{realm: tests, path: {}}}}}\n", users.display());
    }
    std::fs::write(&config, text)?;
    let mut command = command(&program, ["serve".as_ref(), config.as_os_str()])?;
    // It would send traces to a collector.
    command.env("OTEL_TRACES_EXPORTER", "none");
    Process::spawn(command, dir, &log_path(dir), Signal::TERM)
}

pub fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        // 401 of one that asks for a password.
        Ok(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.0 401"))
    };
    // Not ready is what an error means here; the caller gives up in time.
    ask().unwrap_or(false)
}
