//! How a RabbitMQ is started, and when it is ready.
//!
//! An Erlang node finds others by a daemon, epmd. Each server has one of its own, beside it: epmd's
//! way is to be started by the first node and to stay when the last one has gone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::process::{Process, command, find};
use super::{PASSWORD, free_port, log_path};

/// Who may do everything.
pub const USER: &str = "wasq";

/// Where Debian keeps the programs themselves. Those in PATH want to be root.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// How long a server that is up may take to answer a look.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Starts epmd as a child that ends with this very process, and becomes the server when epmd is
/// there.
const START: &str = r#"
setpriv --pdeathsig KILL epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
until epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do
    kill -0 $! || { echo "epmd: Address already in use"; exit 1; }
    sleep 0.02
done
exec "$0"
"#;

/// Options are lines of its config.
pub fn spawn(options: &[String], dir: &Path, port: u16) -> Result<Process> {
    let own = [
        format!("listeners.tcp.1 = 127.0.0.1:{port}"),
        format!("default_user = {USER}"),
        format!("default_pass = {PASSWORD}"),
        "disk_free_limit.absolute = 1MB".into(),
        "log.console = true".into(),
    ];
    let config: String = own.iter().chain(options).flat_map(|line| [line.as_str(), "\n"]).collect();
    std::fs::write(dir.join("rabbitmq.conf"), config).context("cannot write RabbitMQ's config")?;
    let epmd = free_port()?;
    std::fs::write(epmd_port(dir), epmd.to_string()).context("cannot write epmd's port")?;
    find("epmd", &[])?;
    let server = program("rabbitmq-server")?;
    let mut command = command(&find("sh", &[])?, ["-c", START])?;
    in_environment(&mut command, dir, port)?
        .arg(server)
        .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
        .env("RABBITMQ_DIST_PORT", free_port()?.to_string())
        .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", dir.join("logs"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
        .env("RABBITMQ_GENERATED_CONFIG_DIR", dir.join("generated"))
        // A machine with many of them has no processor to let them spin on. epmd is there.
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false")
        // The script becomes the server, as under systemd: no shell stands between.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env_remove("NOTIFY_SOCKET");
    Process::spawn(command, dir, &log_path(dir), Signal::TERM)
}

/// It listens late in its start, and greets whoever speaks AMQP.
pub fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(b"AMQP\0\0\x09\x01")?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        // A method: Connection.Start.
        Ok(kind == [1])
    };
    // Not ready is what an error means here; the caller gives up in time.
    ask().unwrap_or(false)
}

pub fn ctl(dir: &Path, port: u16, arguments: &[&str]) -> Result<String> {
    let mut command = command(&program("rabbitmqctl")?, arguments)?;
    let answer = in_environment(&mut command, dir, port)?.output().context("cannot run rabbitmqctl")?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(answer.status.success(), "rabbitmqctl {arguments:?}: {}{}", words(&answer.stdout), words(&answer.stderr));
    Ok(words(&answer.stdout))
}

/// What tells the node from others, for itself and for who asks it: its name, its epmd, and the
/// cookie in its home.
fn in_environment<'a>(command: &'a mut Command, dir: &Path, port: u16) -> Result<&'a mut Command> {
    let epmd = std::fs::read_to_string(epmd_port(dir)).context("the server was started")?;
    Ok(command
        .current_dir(dir)
        .env("HOME", dir)
        .env("LC_ALL", "C.UTF-8")
        .env("ERL_EPMD_PORT", epmd)
        .env("RABBITMQ_NODENAME", format!("wasq-{port}@localhost"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null"))
}

fn epmd_port(dir: &Path) -> PathBuf {
    dir.join("epmd-port")
}

fn program(name: &str) -> Result<PathBuf> {
    let program = Path::new(PROGRAMS).join(name);
    if program.is_file() { Ok(program) } else { find(name, &[]) }
}
