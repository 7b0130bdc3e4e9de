//! The command: its arguments, and what it does one after the other.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use wasq::cli::body::read_body;
use wasq::config::Broker;

use crate::calibrate::{Calibration, IN_HAND_MAX};
use crate::contestant::Contestant;
use crate::environment::Environment;
use crate::peers::Peers;
use crate::pins::Pins;
use crate::queue_servers::QueueServers;
use crate::report::{BenchReport, LeftOut, Machine, Settings, Standing, Watched};
use crate::round::{Pace, RoundRunner, Sample};
use crate::workload::Workload;

/// What is measured, and how.
#[derive(Args)]
pub struct Bench {
    /// Messages in a round.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    messages: u64,
    /// Bytes of a message's body: 64 to 1,000,000.
    #[arg(long, default_value_t = 500, value_parser = in_range(64, 1_000_000))]
    bytes: usize,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 3, value_parser = in_range(1, 1_000))]
    rounds: usize,
    /// Who takes part; default: all.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Contestant>,
    /// Pollers, or threads, of each contestant; default: the best of 1, 2, 4, 8, 16 and 32 (of 1 to
    /// 8 for scripts), which is tried.
    #[arg(long, value_parser = in_range(1, 64))]
    pollers: Option<usize>,
    /// Deliveries in hand at once, of hosts and the trigger; default: 32 a poller.
    #[arg(long, value_parser = in_range(1, IN_HAND_MAX))]
    concurrency: Option<usize>,
    /// Cores for the contestant; the queue has the last one.
    #[arg(long, default_value_t = 1, value_parser = in_range(1, 1_024))]
    cores: usize,
    /// The ledger of the host: `local`, `none`, or a table as in wasq.toml:
    /// `{ store = "redis", url = "…" }`.
    #[arg(long, default_value = "local")]
    ledger: String,
    /// A component in place of the bench's own handler, which reads an order and logs a line. Then
    /// only hosts take part.
    #[arg(long, value_name = "FILE.wasm")]
    handler: Option<PathBuf>,
    /// The messages' body, for such a component; `-` reads stdin, `@FILE` a file.
    #[arg(long, requires = "handler")]
    body: Option<String>,
    /// How long the handler sleeps in each message, in ms.
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=20_000))]
    handler_sleep: u64,
    /// Plugins that are loaded, each with a type of its own; messages take turns.
    #[arg(long, default_value_t = 1, value_parser = in_range(1, 10_000))]
    plugins: usize,
    /// Messages that are done already, in percent.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    duplicates: u32,
    /// Messages a second in the latency run; default: half of what wasq made of the rounds.
    #[arg(long, value_name = "PER_S", value_parser = positive)]
    rate: Option<f64>,
    /// How long the latency run sends, in seconds; 0 leaves it out.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_600))]
    latency: u64,
    /// Who has the queues: `sqs`, or a server that runs already. Its queues are made and removed.
    #[arg(long, default_value_t = Broker::Sqs)]
    broker: Broker,
    /// Where that server is, as `url` of a queue in wasq.toml.
    #[arg(long, value_name = "URL", env = "WASQ_BROKER_URL", hide_env_values = true, conflicts_with = "endpoint")]
    broker_url: Option<String>,
    /// An SQS endpoint that is there already, in place of the local queue; its queues are made and
    /// removed.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Where queue and ledger keep their data; default: the system's temporary directory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where node_modules and .venv with the peers' libraries are; default: tests/clients of the
    /// clone.
    #[arg(long, value_name = "DIR")]
    clients: Option<PathBuf>,
    /// Compare the local queue with the emulators moto and fauxqs instead: the same calls by the
    /// same clients.
    #[arg(long, conflicts_with_all = ["only", "pollers", "concurrency", "ledger", "handler", "handler_sleep", "plugins", "duplicates",
        "rate", "latency", "endpoint", "broker", "broker_url"])]
    queues: bool,
    /// Print all of it as JSON.
    #[arg(long)]
    json: bool,
}

fn in_range(min: usize, max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    move |text| {
        let number: usize = text.parse().map_err(|_| "write a number".to_owned())?;
        if (min..=max).contains(&number) { Ok(number) } else { Err(format!("use {min} to {max}")) }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "write a number".to_owned())?;
    if number > 0.0 && number <= 1e6 { Ok(number) } else { Err("use more than 0, up to 1000000".into()) }
}

impl Bench {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let scratch = match &self.dir {
            Some(dir) => tempfile::tempdir_in(dir).with_context(|| format!("cannot write to {}", dir.display()))?,
            None => tempfile::tempdir().context("cannot make a temporary directory")?,
        };
        let pins = Pins::new(self.cores);
        if self.queues {
            let peers = Peers::new(self.clients.as_deref(), scratch.path())?;
            let servers = QueueServers { peers, pins, messages: self.messages, bytes: self.bytes, rounds: self.rounds };
            return servers.run(scratch.path(), self.json).await;
        }
        let mut machine = Machine::of(pins.clone(), scratch.path());
        let mut runner = self.runner(pins, scratch.path()).await?;
        let (contestants, left_out) = self.contestants(&runner.peers);
        let (paces, mut steps) = self.calibration().run(&mut runner, &contestants).await?;
        let samples = self.rounds(&mut runner, &paces).await?;
        let standings: Vec<Standing> = samples
            .into_iter()
            .zip(&paces)
            .filter_map(|(samples, (name, pace))| {
                Standing::new(*name, *pace, steps.remove(name).unwrap_or_default(), samples)
            })
            .collect();
        let latency = self.watch(&mut runner, &standings).await?;
        runner.environment.close().await?;
        machine.load_after = crate::machine::load();
        let report = BenchReport {
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            machine,
            settings: self.settings(),
            ratios: crate::report::ratios(&standings),
            contestants: standings,
            left_out,
            latency,
        };
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => crate::print::print(&report),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Builds the handler, starts the queue, and sees which peers there are.
    async fn runner(&self, pins: Pins, scratch: &Path) -> anyhow::Result<RoundRunner> {
        let plugins_dir = scratch.join("plugins");
        let types = crate::handler::install(self.handler.as_deref(), self.plugins, &plugins_dir, scratch)?;
        let body = self.body.as_deref().map(read_body).transpose()?;
        let body = body.map(String::from_utf8).transpose().context("the body must be UTF-8, as SQS requires")?;
        let workload =
            Workload { bytes: self.bytes, sleep_ms: self.handler_sleep, types, duplicates: self.duplicates, body };
        Ok(RoundRunner {
            environment: Environment::open(self.broker, self.endpoint(), &pins, scratch).await?,
            peers: Peers::new(self.clients.as_deref(), scratch)?,
            pins,
            workload,
            ledger: self.ledger.clone(),
            plugins_dir,
            scratch: scratch.to_owned(),
        })
    }

    /// A server that runs already.
    fn endpoint(&self) -> Option<&str> {
        match self.broker {
            Broker::Sqs => self.endpoint.as_deref(),
            Broker::RabbitMq | Broker::Redis | Broker::Kafka => self.broker_url.as_deref(),
        }
    }

    /// Who takes part, and who cannot.
    fn contestants(&self, peers: &Peers) -> (Vec<Contestant>, Vec<LeftOut>) {
        let (mut contestants, mut left_out) = (Vec::new(), Vec::new());
        let is_asked = |name: &Contestant| match self.only.is_empty() {
            true => name.reads(self.broker),
            false => self.only.contains(name),
        };
        for name in Contestant::all().iter().copied().filter(is_asked) {
            match self.unfit(name).or_else(|| peers.missing(name)) {
                None => contestants.push(name),
                Some(why) => {
                    eprintln!("{} is left out: {why}", name.name());
                    left_out.push(LeftOut { name, why });
                }
            }
        }
        (contestants, left_out)
    }

    /// Why a contestant cannot do what is asked.
    fn unfit(&self, name: Contestant) -> Option<String> {
        if !name.reads(self.broker) {
            return Some(format!("it does not read from {}", self.broker));
        }
        let runs_components = matches!(name, Contestant::Wasq | Contestant::WasqNoLedger);
        if self.handler.is_some() && !runs_components {
            return Some("it does not run components, and --handler is one".into());
        }
        if self.handler_sleep > 0 && name == Contestant::WasqNative {
            return Some("a native function that sleeps would hold the host's threads".into());
        }
        None
    }

    fn calibration(&self) -> Calibration {
        Calibration { messages: self.messages, pollers: self.pollers, concurrency: self.concurrency }
    }

    /// The samples of each contestant, round by round.
    async fn rounds(&self, runner: &mut RoundRunner, paces: &[(Contestant, Pace)]) -> anyhow::Result<Vec<Vec<Sample>>> {
        let mut samples = vec![Vec::new(); paces.len()];
        for round in 1..=self.rounds {
            for ((name, pace), samples) in paces.iter().zip(&mut samples) {
                let sample = runner.run(*name, *pace, self.messages).await?;
                eprintln!("round {round}: {}, {:.0} messages/s", name.name(), sample.messages_per_s);
                samples.push(sample);
            }
        }
        Ok(samples)
    }

    /// Latency of the host, and of the ceiling at the same pace.
    async fn watch(&self, runner: &mut RoundRunner, standings: &[Standing]) -> anyhow::Result<Vec<Watched>> {
        let mut watched = Vec::new();
        // Only on SQS does the ceiling know when a message was sent.
        let is_watched = |standing: &&Standing| match standing.name {
            Contestant::Wasq => true,
            Contestant::Native => self.broker == Broker::Sqs,
            Contestant::WasqNoLedger
            | Contestant::WasqNative
            | Contestant::SqsConsumer
            | Contestant::SqsConsumerSingle
            | Contestant::Boto3
            | Contestant::Python
            | Contestant::Trigger => false,
        };
        let Some(first) = standings.iter().find(is_watched) else {
            return Ok(watched);
        };
        let wanted_per_s = self.rate.unwrap_or(first.median.messages_per_s / 2.0);
        if self.latency == 0 {
            return Ok(watched);
        }
        for standing in standings.iter().filter(is_watched) {
            let (name, pace) = (standing.name, standing.pace);
            let (messages_per_s, latency) = runner.watch(name, pace, wanted_per_s, self.latency).await?;
            eprintln!("latency: {}, at {messages_per_s:.0} messages/s", name.name());
            watched.push(Watched { name, wanted_per_s, messages_per_s, latency });
        }
        Ok(watched)
    }

    fn settings(&self) -> Settings {
        Settings {
            messages: self.messages,
            bytes: self.bytes,
            handler: self.handler.as_ref().map_or("built-in".to_owned(), |path| path.display().to_string()),
            handler_sleep_ms: self.handler_sleep,
            ledger: self.ledger.clone(),
            plugins: self.plugins,
            duplicates_percent: self.duplicates,
            rounds: self.rounds,
            cores: self.cores,
            broker: self.broker,
            endpoint: self.endpoint.clone(),
        }
    }
}
