//! The long-running tests: `sim` for as many seeds as one likes, `crash` for real hosts that are
//! killed, `hostile` and `neighbours` for guests that harm the host or each other, `fuzz` for bytes
//! that no one would write, `pressure` for limits of the fleet; and `guard`, which counts what a message costs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use wasq_queues::Broker;
use wasq_tests::crash::{self, Report, Store};
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
    Crash(Crash),
    Hostile(wasq_tests::hostile::Hostile),
    Neighbours(wasq_tests::neighbours::Neighbours),
    Fuzz(wasq_tests::fuzz::Fuzz),
    Pressure(wasq_tests::pressure::Pressure),
    Guard(wasq_tests::guard::Guard),
    #[command(hide = true)]
    GuardPart(wasq_tests::guard::GuardPart),
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

/// Run real hosts over a real queue and ledger, kill, stop and end them while they work, and count
/// what came of it.
#[derive(clap::Args)]
struct Crash {
    /// Where the hosts keep their ledger; a server is started for it.
    #[arg(long, default_value = "local")]
    store: Store,
    /// Kills (-9), stops (STOP, later CONT) and ends (TERM), all together.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    #[arg(long, default_value_t = 10_000)]
    messages: usize,
    /// Members of the group that each message opens. 0 opens none.
    #[arg(long, default_value_t = 0)]
    members: usize,
    /// What each host has in hand at once.
    #[arg(long, default_value_t = 16)]
    permits: usize,
    /// Hosts at once. The local ledger allows one.
    #[arg(long, default_value_t = 1)]
    hosts: usize,
    /// Who has the queue; a server is started for it.
    #[arg(long, default_value_t = Broker::Sqs)]
    broker: Broker,
    /// What is drawn at random follows from it; what the machine does in between does not.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The `wasq` binary. Default: the one beside this.
    #[arg(long)]
    wasq: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Sim(sim) => Ok(sim.run()),
        Command::Crash(crash) => crash.run(),
        Command::Hostile(hostile) => hostile.run(),
        Command::Neighbours(neighbours) => neighbours.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Pressure(pressure) => pressure.run(),
        Command::Guard(guard) => guard.run(),
        Command::GuardPart(part) => Ok(part.run()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

impl Crash {
    fn run(self) -> anyhow::Result<ExitCode> {
        let wasq = match self.wasq {
            Some(path) => path,
            None => std::env::current_exe()?.with_file_name("wasq"),
        };
        let Self { store, kills, messages, members, permits, hosts, seed, broker, .. } = self;
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} kills, {elapsed}")?;
        let bar = ProgressBar::new(kills as u64).with_style(style);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let options = crash::Options { store, kills, messages, members, permits, hosts, seed, broker, wasq };
        let report = runtime.block_on(crash::run(options, &|done| bar.set_position(done as u64)));
        bar.finish_and_clear();
        let report = report?;
        println!("{}", in_a_table(&report));
        for broken in &report.broken {
            println!("BROKEN: {broken}");
        }
        Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn in_a_table(report: &Report) -> String {
    let crash::Options { store, hosts, permits, members, broker, .. } = &report.options;
    let kills = format!("{} + {} + {}", report.kills.kill, report.kills.stop, report.kills.term);
    let rows = [
        ("broker", broker.to_string()),
        ("ledger", format!("{store:?}").to_lowercase()),
        ("hosts x permits", format!("{hosts} x {permits}")),
        ("members of each group", members.to_string()),
        ("messages", report.messages.to_string()),
        ("kill -9 + STOP/CONT + TERM", kills),
        ("connections cut or delayed", report.outages.cuts.to_string()),
        ("broker killed and started again", report.outages.broker_kills.to_string()),
        ("starts", format!("{} (at most {})", report.starts, report.starts_max())),
        ("completions", report.completions.to_string()),
        ("steps done again", report.steps_repeated.to_string()),
        ("dead letters", report.dead_letters.to_string()),
        ("broken promises", report.broken.len().to_string()),
        ("time", format!("{:.0} s", report.elapsed.as_secs_f64())),
    ];
    rows.map(|(name, value)| format!("| {name} | {value} |")).join("\n")
}

impl Sim {
    fn run(self) -> ExitCode {
        let threads = self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let style =
            ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}").expect("the template is valid");
        let bar = ProgressBar::new(self.seeds).with_style(style);
        let began = wasq_core::clock::now();
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
