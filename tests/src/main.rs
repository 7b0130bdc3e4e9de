//! The long-running tests: `sim` for as many seeds as one likes.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use wasq_tests::sim::{Simulator, Summary, Violation};

/// Tests that run longer than those of `cargo test`.
#[derive(Parser)]
#[command(name = "wasq-tests")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sim(Sim),
}

/// Simulate hosts on a queue and a ledger that fail, one seed after the other.
#[derive(clap::Args)]
struct Sim {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them. With `--seeds 1` it replays a failure.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Seeds at once. Default: the machine's cores.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Sim(sim) => sim.run(),
    }
}

impl Sim {
    fn run(self) -> ExitCode {
        let threads = self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let style =
            ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}").expect("the template is valid");
        let bar = ProgressBar::new(self.seeds).with_style(style);
        let began = wasq::clock::now();
        let outcome = Simulator::new().run_many(self.first, self.seeds, threads, &|_| bar.inc(1));
        bar.finish_and_clear();
        match outcome {
            Ok(total) => {
                report(&total, self.seeds, began.elapsed().as_secs_f64());
                ExitCode::SUCCESS
            }
            Err(Violation { seed, what, trace }) => {
                for line in trace {
                    println!("{line}");
                }
                println!("seed {seed}: {what}\nReplay: wasq-tests sim --first {seed} --seeds 1");
                ExitCode::FAILURE
            }
        }
    }
}

fn report(total: &Summary, seeds: u64, elapsed_s: f64) {
    println!(
        "{seeds} seeds in {elapsed_s:.1} s ({:.0} seeds/s), no violation: {} messages, {} runs, {} failed calls, {} crashes, \
         {} stops and continues, {} drains, {:.1} simulated hours",
        seeds as f64 / elapsed_s,
        total.messages,
        total.runs,
        total.faults,
        total.crashes,
        total.stalls,
        total.drains,
        total.ms as f64 / 3_600_000.0,
    );
}
