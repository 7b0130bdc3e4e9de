//! The command line: one file a command.

pub mod body;
pub mod build;
mod check;
mod demo;
mod dev;
mod dlq;
mod health;
mod http;
mod invoke;
mod local_queue;
mod new;
mod pause;
mod plugins;
mod run;
mod send;
mod status;
pub mod table;
mod target;

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::LogFormat;
use crate::plugins::compile::CompileArguments;

/// A worker host: SQS messages, handled by sandboxed WebAssembly components.
///
/// wasq takes messages from Amazon SQS, picks the handler of each message's type, and runs it in a sandbox of its own. Timeouts,
/// leases, idempotency, retries with backoff and dead letters are the host's; a handler is only the work.
#[derive(Parser)]
#[command(name = "wasq", version, propagate_version = true, after_help = FIRST_STEPS)]
struct Arguments {
    /// How logs are written to stderr. Default: as the host's config says, else text.
    #[arg(long, global = true, env = "WASQ_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Which logs: a level, or a filter such as `warn,wasq=debug,guest=info`.
    #[arg(long, global = true, env = "WASQ_LOG", value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "First steps:
  wasq demo                          see the whole of it: a shop's checkout, with failures
  wasq new hello && cd hello         make a handler project
  wasq dev                           build it, run it on a local queue, rebuild on change
  wasq send greeting '{\"name\":\"Ada\"}'   send it a message

Exit codes: 0 success, 1 failure, 2 misuse.";

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Dev(dev::Dev),
    LocalQueue(local_queue::LocalQueue),
    Run(run::Run),
    New(new::New),
    Build(build::Build),
    Check(check::Check),
    Invoke(invoke::Invoke),
    Send(send::Send),
    Status(status::Status),
    Health(health::Health),
    Pause(pause::PauseCommand),
    Resume(pause::ResumeCommand),
    Plugins(plugins::Plugins),
    Dlq(Box<dlq::Dlq>),
    /// Compile a component from standard input to machine code on standard output: the host runs this for itself.
    #[command(hide = true)]
    CompileComponent {
        arguments: String,
    },
    /// Print a completion script for a shell.
    ///
    /// For bash: `wasq completions bash > ~/.local/share/bash-completion/completions/wasq`.
    Completions {
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let quiet = match &arguments.command {
        Command::Run(_) | Command::Dev(_) | Command::LocalQueue(_) | Command::Invoke(_) => "info,aws_config=warn",
        // What it finds it prints itself.
        Command::Check(_) => "off",
        Command::Pause(_) | Command::Resume(_) => "error,audit=info,aws_config=off",
        _ => "error,aws_config=off",
    };
    let configured = if let Command::Run(run) = &arguments.command { run.log_format() } else { None };
    let format = arguments.log_format.or(configured).unwrap_or(LogFormat::Text);
    start_logging(format, arguments.log.as_deref().unwrap_or(quiet));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Demo(command) => command.run().await,
            Command::Dev(command) => command.run().await,
            Command::LocalQueue(command) => command.run().await,
            Command::Run(command) => command.run().await,
            Command::New(command) => command.run(),
            Command::Build(command) => command.run(),
            Command::Check(command) => command.run().await,
            Command::Invoke(command) => command.run().await,
            Command::Send(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Health(command) => command.run().await,
            Command::Pause(command) => command.run().await,
            Command::Resume(command) => command.run().await,
            Command::Plugins(command) => command.run().await,
            Command::Dlq(command) => command.run().await,
            Command::CompileComponent { arguments } => compile_component(&arguments),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Arguments::command(), "wasq", &mut std::io::stdout());
                Ok(ExitCode::SUCCESS)
            }
        }
    });
    // A poll that the drain gave up on must not hold up the exit.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", in_words(&error));
        ExitCode::FAILURE
    })
}

fn compile_component(arguments: &str) -> anyhow::Result<ExitCode> {
    let arguments: CompileArguments = serde_json::from_str(arguments)?;
    arguments.run().map_err(anyhow::Error::msg)?;
    Ok(ExitCode::SUCCESS)
}

/// An error and its causes. A cause that the words before it have told already is not told again.
fn in_words(error: &anyhow::Error) -> String {
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

/// Writes logs to stderr from here on.
pub fn start_logging(format: LogFormat, filter: &str) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// This very program, which the host runs to compile components.
pub fn own_binary() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_exe().context("cannot tell where this program is")
}

/// SIGTERM and Ctrl-C, from the moment of listening on: none is lost while nobody waits for one.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where whoever started the process has it ignored, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Completes at the next of them.
    async fn next(&mut self) {
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
fn here(listen: SocketAddr) -> SocketAddr {
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
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_host_that_listens_everywhere_is_asked_here() {
        let check = |listen: &str, expect: &str| assert_eq!(here(listen.parse().unwrap()).to_string(), expect);
        check("0.0.0.0:9325", "127.0.0.1:9325");
        check("[::]:80", "[::1]:80");
        check("10.1.2.3:9325", "10.1.2.3:9325");
    }
}
