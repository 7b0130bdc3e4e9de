//! What a command needs of its own process: where it is, its logs, its signals, its addresses.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::LogFormat;

/// Writes logs to stderr from here on.
pub fn start_logging(format: LogFormat, filter: &str) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// The exit code of a program that SIGPIPE ends, as shells tell it.
const SIGPIPE_CODE: i32 = 128 + 13;

/// Ends the process without a word when nobody reads its output any more, as in
/// `wasq status | head`.
/// Rust ignores SIGPIPE, for the sake of sockets, and so whatever prints panics.
pub fn end_when_output_is_closed() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload_as_str().unwrap_or_default();
        let is_output = ["failed printing to stdout", "failed to write completion file"];
        if is_output.iter().any(|start| words.starts_with(start)) && words.contains("Broken pipe") {
            std::process::exit(SIGPIPE_CODE);
        }
        report(panic);
    }));
}

/// This very program, which the host runs to compile components.
pub fn own_binary() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_exe().context("cannot tell where this program is")
}

/// Where this user's compiled components are kept between commands that have no config; none where
/// the user has no directory for caches.
pub fn cache_dir() -> Option<std::path::PathBuf> {
    let dir = |name, below: &str| {
        let path = std::path::PathBuf::from(std::env::var_os(name).filter(|value| !value.is_empty())?);
        path.is_absolute().then(|| path.join(below))
    };
    dir("XDG_CACHE_HOME", "wasq").or_else(|| dir("HOME", ".cache/wasq"))
}

/// An error and its causes. A cause that the words before it have told already is not told again.
pub fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        let cause = cause.trim_end();
        if words.is_empty() {
            words.push_str(cause);
        } else if !words.contains(cause) {
            words.push_str(": ");
            words.push_str(cause);
        }
    }
    words
}

/// SIGTERM and Ctrl-C, from the moment of listening on: none is lost while nobody waits for one.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where whoever started the process has it ignored, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    pub fn listen() -> std::io::Result<Self> {
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Completes at the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            Some(_) = async { self.hangup.as_mut()?.recv().await } => {}
        }
    }
}

/// Whether SIGHUP was ignored when the process began: the first bit of `SigIgn`
/// (proc_pid_status(5)).
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Where an address to listen on is reached from this machine.
pub fn here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error =
            anyhow::anyhow!("no room on the disk").context("cannot write: no room on the disk").context("not sent");
        assert_eq!(in_words(&error), "not sent: cannot write: no room on the disk");
    }

    #[test]
    fn a_host_that_listens_everywhere_is_asked_here() {
        let check = |listen: &str, expect: &str| assert_eq!(here(listen.parse().unwrap()).to_string(), expect);
        check("0.0.0.0:9325", "127.0.0.1:9325");
        check("[::]:80", "[::1]:80");
        check("10.1.2.3:9325", "10.1.2.3:9325");
    }
}
