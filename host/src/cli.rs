//! The command line: one file a command.

pub mod body;
mod broker;
pub mod build;
mod check;
mod decode;
mod demo;
mod dev;
mod dlq;
mod end;
mod groups;
mod health;
mod http;
mod invoke;
mod limits;
mod local_queue;
mod message;
mod new;
mod pack;
mod pause;
mod plugins;
pub mod process;
mod profile;
mod pull;
mod push;
mod run;
mod schedules;
pub mod schema;
mod screen;
mod send;
mod status;
pub mod table;
mod target;
mod timers;
mod top;
pub mod topology;
mod version;
mod wit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::LogFormat;
use crate::plugins::compile::CompileArguments;

/// A worker host: messages of SQS, RabbitMQ and Redis, handled by sandboxed WebAssembly components.
///
/// wasq takes messages from Amazon SQS, RabbitMQ and Redis, picks the handler of each message's
/// type, and runs it in a sandbox of its own. Timeouts, leases, idempotency, retries with backoff
/// and dead letters are the host's; a handler is only the work.
#[derive(Parser)]
#[command(name = "wasq", version, long_version = version::long(), propagate_version = true, after_help = FIRST_STEPS)]
struct Arguments {
    /// How logs are written to stderr. Default: as the host's config says, else text.
    #[arg(long, global = true, env = "WASQ_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Log level or filter, for example `warn,wasq=debug,guest=info`.
    #[arg(long, global = true, env = "WASQ_LOG", value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "First steps:
  wasq demo                          run a sample checkout with injected failures
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
    Pack(pack::Pack),
    Push(push::Push),
    Pull(pull::Pull),
    Wit(wit::Wit),
    Schema(schema::SchemaCommand),
    Check(check::Check),
    Topology(topology::Topology),
    Decode(decode::Decode),
    Invoke(invoke::Invoke),
    Send(send::Send),
    Status(status::Status),
    Top(top::Top),
    Health(health::Health),
    Pause(pause::PauseCommand),
    Resume(pause::ResumeCommand),
    Schedules(schedules::Schedules),
    Timers(timers::Timers),
    Groups(groups::Groups),
    Limits(limits::Limits),
    Plugins(plugins::Plugins),
    Profile(profile::ProfileCommand),
    Dlq(Box<dlq::Dlq>),
    /// Compile a component from standard input to machine code on standard output: the host runs
    /// this for itself.
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
    /// Write the man pages: wasq(1), and one for each command.
    ///
    /// For one user: `wasq man-pages ~/.local/share/man/man1`.
    ManPages {
        /// The directory, which is made if it is not there.
        dir: PathBuf,
    },
}

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    process::end_when_output_is_closed();
    let arguments = Arguments::parse();
    // What goes wrong with RabbitMQ and Kafka the host says in its own words.
    let quiet = match &arguments.command {
        Command::Run(_) | Command::Dev(_) | Command::LocalQueue(_) | Command::Invoke(_) => {
            "info,aws_config=warn,lapin=off,rdkafka=off"
        }
        // What it finds it prints itself.
        Command::Check(_) => "off",
        Command::Pause(_) | Command::Resume(_) => "error,audit=info,aws_config=off,lapin=off,rdkafka=off",
        _ => "error,aws_config=off,lapin=off,rdkafka=off",
    };
    let configured = if let Command::Run(run) = &arguments.command { run.log_format() } else { None };
    let format = arguments.log_format.or(configured).unwrap_or(LogFormat::Text);
    process::start_logging(format, arguments.log.as_deref().unwrap_or(quiet));
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
            Command::Pack(command) => command.run(),
            Command::Push(command) => command.run().await,
            Command::Pull(command) => command.run().await,
            Command::Wit(command) => command.run(),
            Command::Schema(command) => command.run(),
            Command::Check(command) => command.run().await,
            Command::Topology(command) => command.run().await,
            Command::Decode(command) => command.run().await,
            Command::Invoke(command) => command.run().await,
            Command::Send(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Top(command) => command.run().await,
            Command::Health(command) => command.run().await,
            Command::Pause(command) => command.run().await,
            Command::Resume(command) => command.run().await,
            Command::Timers(command) => command.run().await,
            Command::Schedules(command) => command.run().await,
            Command::Groups(command) => command.run().await,
            Command::Limits(command) => command.run().await,
            Command::Plugins(command) => command.run().await,
            Command::Profile(command) => command.run().await,
            Command::Dlq(command) => command.run().await,
            Command::CompileComponent { arguments } => compile_component(&arguments),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Arguments::command(), "wasq", &mut std::io::stdout());
                Ok(ExitCode::SUCCESS)
            }
            Command::ManPages { dir } => write_man_pages(&dir),
        }
    });
    // A poll that the drain gave up on must not hold up the exit.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", process::in_words(&error));
        ExitCode::FAILURE
    })
}

fn compile_component(arguments: &str) -> anyhow::Result<ExitCode> {
    let arguments: CompileArguments = serde_json::from_str(arguments)?;
    arguments.run().map_err(anyhow::Error::msg)?;
    Ok(ExitCode::SUCCESS)
}

fn write_man_pages(dir: &Path) -> anyhow::Result<ExitCode> {
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Arguments::command(), dir));
    written.with_context(|| format!("cannot write man pages into {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
