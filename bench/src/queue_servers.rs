//! `wasq bench --queues`: the local queue beside the emulators that one can install from npm and
//! PyPI.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use wasq::cli::table::{Table, name, number};

use crate::call_process::{Called, Caller};
use crate::peers::{FAUXQS, MOTO, Peers};
use crate::pins::Pins;
use crate::process::Process;
use crate::report::middle;
use crate::worker_process::WorkerProcess;

/// The queues that are compared: name, and script of those that are not ours.
const QUEUES: [(&str, Option<&str>); 3] = [("wasq", None), ("fauxqs", Some(FAUXQS)), ("moto", Some(MOTO))];

pub struct QueueServers {
    pub peers: Peers,
    pub pins: Pins,
    pub messages: u64,
    pub bytes: usize,
    pub rounds: usize,
}

#[derive(Serialize)]
struct QueueServersReport {
    messages: u64,
    bytes: usize,
    pins: Pins,
    queues: Vec<Standing>,
    left_out: Vec<String>,
}

/// A queue's medians, and how often its throughput goes into the local queue's.
#[derive(Serialize)]
struct Standing {
    name: &'static str,
    median: Called,
    wasq_is_so_many_times: Called,
    rounds: Vec<Called>,
}

impl QueueServers {
    pub async fn run(self, scratch: &Path, json: bool) -> anyhow::Result<ExitCode> {
        let (queues, missing): (Vec<_>, Vec<_>) =
            QUEUES.into_iter().partition(|(_, script)| script.is_none_or(|script| self.peers.has(script)));
        let mut rounds = vec![Vec::new(); queues.len()];
        for round in 1..=self.rounds {
            for ((name, script), rounds) in queues.iter().zip(&mut rounds) {
                let called = self.once(name, *script, scratch).await?;
                eprintln!(
                    "round {round}: {name}, {:.0} sent/s, {:.0} received and deleted/s",
                    called.sent_per_s, called.received_and_deleted_per_s
                );
                rounds.push(called);
            }
        }
        let medians: Vec<Called> = rounds.iter().map(|rounds| median(rounds)).collect();
        let queues = queues.iter().zip(rounds).zip(&medians).map(|(((name, _), rounds), own)| Standing {
            name,
            median: *own,
            wasq_is_so_many_times: Called {
                sent_per_s: medians[0].sent_per_s / own.sent_per_s,
                received_and_deleted_per_s: medians[0].received_and_deleted_per_s / own.received_and_deleted_per_s,
            },
            rounds,
        });
        let left_out = missing.iter().map(|(name, _)| format!("{name}: {}", self.peers.setup()));
        let report = QueueServersReport {
            queues: queues.collect(),
            left_out: left_out.collect(),
            messages: self.messages,
            bytes: self.bytes,
            pins: self.pins,
        };
        match json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => report.print(),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A fresh queue in a process of its own, and its clients in another.
    async fn once(&self, name: &str, script: Option<&str>, scratch: &Path) -> anyhow::Result<Called> {
        let own = tempfile::tempdir_in(scratch)?;
        let cores = self.pins.queue.as_deref();
        let mut server = match script {
            None => Process::worker(name, &WorkerProcess::Queue(own.path().join("sqs")), cores, own.path())?,
            Some(script) => Process::start(name, self.peers.script(script, &(), cores)?, own.path())?,
        };
        let caller = Caller { endpoint: server.hear().await?, messages: self.messages, bytes: self.bytes };
        let cores = self.pins.contestant.as_deref();
        let mut clients = Process::worker("clients", &WorkerProcess::Call(caller), cores, own.path())?;
        let called = clients.hear().await?;
        clients.end().await?;
        server.end().await?;
        Ok(called)
    }
}

fn median(rounds: &[Called]) -> Called {
    let of = |rate: fn(&Called) -> f64| middle(rounds.iter().map(rate).collect()).unwrap_or_default();
    Called {
        sent_per_s: of(|called| called.sent_per_s),
        received_and_deleted_per_s: of(|called| called.received_and_deleted_per_s),
    }
}

impl QueueServersReport {
    fn print(&self) {
        println!("{} messages of {} bytes, 8 clients, ten a call; {}", self.messages, self.bytes, self.pins.words());
        let figures = ["sent/s", "wasq ×", "received and deleted/s", "wasq ×"].map(number);
        let mut all = Table::new([name("")].into_iter().chain(figures));
        for Standing { name, median, wasq_is_so_many_times: times, .. } in &self.queues {
            let cells = [
                (*name).to_owned(),
                format!("{:.0}", median.sent_per_s),
                format!("{:.2}", times.sent_per_s),
                format!("{:.0}", median.received_and_deleted_per_s),
                format!("{:.2}", times.received_and_deleted_per_s),
            ];
            all.add(cells);
        }
        println!("{all}");
        self.left_out.iter().for_each(|left_out| println!("left out: {left_out}"));
    }
}
