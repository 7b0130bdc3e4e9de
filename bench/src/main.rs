//! The `wasq-bench` binary.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wasq::config::LogFormat;
use wasq::plugins::compile::CompileArguments;
use wasq_bench::command::Bench;
use wasq_bench::worker_process::WorkerProcess;

/// Measure the whole path on this machine, beside other consumers of the same queue.
///
/// Starts a local queue in a process of its own, fills it, and has each contestant empty it, one
/// after the other and round after round; each is a process, pinned to the cores that the queue
/// does not have. Then messages come at an even pace, and their latency is measured. What is
/// printed is the median over the rounds; the ratios come last.
///
/// Node's and Python's consumers take part where their libraries are installed:
/// tests/clients/setup.sh does that.
#[derive(Parser)]
#[command(name = "wasq-bench", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    bench: Bench,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One of the processes of a bench: the bench runs this for itself.
    #[command(hide = true)]
    Worker { process: String },
    /// Compile a component from standard input to machine code on standard output: the host runs
    /// this for itself.
    #[command(hide = true)]
    CompileComponent { arguments: String },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A handler's log line is part of what is measured.
    let filter = if arguments.command.is_some() { "warn,guest=info,aws_config=off" } else { "error,aws_config=off" };
    wasq::cli::process::start_logging(LogFormat::Text, filter);
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        None => arguments.bench.run().await,
        Some(Command::Worker { process }) => {
            serde_json::from_str::<WorkerProcess>(&process)?.run().await?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::CompileComponent { arguments }) => {
            serde_json::from_str::<CompileArguments>(&arguments)?.run().map_err(anyhow::Error::msg)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
