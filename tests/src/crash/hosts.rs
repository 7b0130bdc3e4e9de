//! The hosts as processes, and what befalls them.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use wasq_core::clock;
use wasq_queues::Broker;

use super::{KIND, LOOK, Stage, VISIBILITY_S};
use crate::brokers::{TestBroker, location_lines, visibility_min_s};

/// A host that was told to end is gone within this.
const END_MAX: Duration = Duration::from_secs(25);
/// How much of a host's log an error shows.
const LOG_LINES: usize = 20;
/// What a host says that cannot begin.
const NOT_STARTED: &str = "the host does not start";
/// What it says when it takes messages.
const RUNNING: &str = "running";
/// A host takes messages within this.
const START_MAX: Duration = Duration::from_secs(60);

/// How a host is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// Kill -9: another is started in its place.
    Kill,
    /// SIGSTOP, and after a while SIGCONT; often its leases have ended meanwhile.
    Stop,
    /// SIGTERM: it drains, and another is started.
    Term,
}

/// How often each was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kills {
    pub kill: usize,
    pub stop: usize,
    pub term: usize,
}

/// The hosts that run.
pub struct Hosts {
    all: Vec<Host>,
    kills: Kills,
}

struct Host {
    wasq: PathBuf,
    config: PathBuf,
    log: PathBuf,
    /// Where in the log this life begins.
    born_at: u64,
    visibility_s: u64,
    child: Child,
}

impl Kill {
    pub fn draw(rng: &mut Rng) -> Self {
        match rng.u32(0..10) {
            0..7 => Self::Kill,
            7..9 => Self::Stop,
            _ => Self::Term,
        }
    }
}

impl Hosts {
    pub(super) async fn start(stage: &Stage) -> Result<Self> {
        install(stage)?;
        let all = (0..stage.options.hosts).map(|place| Host::start(stage, place)).collect::<Result<_>>()?;
        Ok(Self { all, kills: Kills::default() })
    }

    /// Hits one of them.
    pub async fn hit(&mut self, kill: Kill, rng: &mut Rng) -> Result<()> {
        let host = rng.choice(&mut self.all).context("there is a host")?;
        host.works().await?;
        // Somewhere in the middle of what it does then.
        tokio::time::sleep(Duration::from_millis(rng.u64(0..100))).await;
        match kill {
            Kill::Kill => {
                self.kills.kill += 1;
                // One that could not start has ended already.
                host.child.kill().await?;
                host.spawn()?;
            }
            Kill::Stop => {
                self.kills.stop += 1;
                host.signal(Signal::STOP)?;
                tokio::time::sleep(Duration::from_millis(rng.u64(100..=host.visibility_s * 2_000))).await;
                host.signal(Signal::CONT)?;
            }
            Kill::Term => {
                self.kills.term += 1;
                host.signal(Signal::TERM)?;
                host.ended().await?;
                host.spawn()?;
            }
        }
        Ok(())
    }

    /// Starts those again that could not start, because a connection was cut just then. None ends
    /// by itself later.
    pub fn check(&mut self) -> Result<()> {
        for host in &mut self.all {
            if let Some(status) = host.child.try_wait()? {
                let last_words = host.last_words();
                ensure!(last_words.contains(NOT_STARTED), "a host has ended by itself ({status}): {last_words}");
                host.spawn()?;
            }
        }
        Ok(())
    }

    /// Tells them to end, and waits until they have.
    pub async fn end(mut self) -> Result<Kills> {
        for host in &self.all {
            host.signal(Signal::TERM)?;
        }
        for host in &mut self.all {
            host.ended().await?;
        }
        Ok(self.kills)
    }

    /// The last words of each.
    pub fn log(&self) -> String {
        self.all.iter().map(Host::last_words).collect::<Vec<_>>().join("\n")
    }
}

impl Host {
    fn start(stage: &Stage, place: usize) -> Result<Self> {
        let config = stage.dir.path().join(format!("host-{place}.toml"));
        std::fs::write(&config, config_text(stage)?)?;
        let log = config.with_extension("log");
        let wasq = stage.options.wasq.clone();
        let child = spawn(&wasq, &config, &log)?;
        Ok(Self { wasq, config, log, born_at: 0, visibility_s: visibility_s(stage.options.broker), child })
    }

    /// Another life.
    fn spawn(&mut self) -> Result<()> {
        self.born_at = std::fs::metadata(&self.log)?.len();
        self.child = spawn(&self.wasq, &self.config, &self.log)?;
        Ok(())
    }

    /// Waits until it takes messages: one that is hit while it starts shows nothing. One that could
    /// not start is started again.
    async fn works(&mut self) -> Result<()> {
        let since = clock::now();
        loop {
            let log = std::fs::read(&self.log)?;
            let life = String::from_utf8_lossy(&log[log.len().min(self.born_at as usize)..]).into_owned();
            if life.contains(RUNNING) {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() {
                self.spawn()?;
            }
            ensure!(since.elapsed() < START_MAX, "a host does not start within {START_MAX:?}: {}", self.last_words());
            tokio::time::sleep(LOOK).await;
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // One that has ended has no id any more, and needs no signal.
        match self.child.id().and_then(|id| Pid::from_raw(id as i32)) {
            Some(pid) => Ok(kill_process(pid, signal)?),
            None => Ok(()),
        }
    }

    async fn ended(&mut self) -> Result<()> {
        let status = tokio::time::timeout(END_MAX, self.child.wait()).await;
        let status = status
            .with_context(|| format!("a host has not ended {END_MAX:?} after SIGTERM: {}", self.last_words()))??;
        // One that had not yet begun to listen for signals ends by this one.
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::TERM.as_raw());
        let not_started = self.last_words().contains(NOT_STARTED);
        ensure!(status.success() || by_signal || not_started, "a host ended with {status}: {}", self.last_words());
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

fn spawn(wasq: &Path, config: &Path, log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(wasq);
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("WASQ_LOG", "warn,wasq::cli=info");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot run {}; build it, or name it with --wasq", wasq.display()))
}

fn install(stage: &Stage) -> Result<()> {
    let dir = stage.dir.path().join("plugins");
    std::fs::create_dir(&dir)?;
    std::fs::copy(crate::guest("probe"), dir.join("probe.wasm"))?;
    // Each kill counts as an attempt of what was in hand.
    let manifest = format!(
        "name = '{KIND}'\ntypes = ['{KIND}']\ntimeout = '10s'\nqueues = ['self']\nallowed_outbound_hosts = ['http://{}']\n\
         [retry]\nmax_attempts = 100\ninitial_interval = '100ms'\nmaximum_interval = '5s'\n",
        stage.sink.addr()
    );
    Ok(std::fs::write(dir.join("probe.toml"), manifest)?)
}

/// What a config says of the hosts' queue, on a broker that is reached at this address.
pub fn queue_text(broker: &TestBroker, addr: SocketAddr, permits: usize) -> String {
    let url = broker.url(addr);
    let visibility_s = visibility_s(broker.broker);
    format!(
        "aws = {{ endpoint_url = '{url}', region = 'eu-central-1' }}\n\
         [queues.jobs]\ndlq = 'jobs-dlq'\nvisibility = '{visibility_s}s'\nwait = '1s'\nconcurrency = {permits}\n{location}",
        location = location_lines(broker.broker, &url, "jobs"),
    )
}

fn visibility_s(broker: Broker) -> u64 {
    VISIBILITY_S.max(visibility_min_s(broker))
}

fn config_text(stage: &Stage) -> Result<String> {
    let dir = stage.dir.path().display();
    Ok(format!(
        "plugins_dir = '{dir}/plugins'\ngrant_all = true\ndrain_s = 5\n\
         ledger = {{ {ledger} }}\n\
         admin = {{ listen = '127.0.0.1:0' }}\negress = {{ open_hosts = ['{sink}'] }}\n\
         limits = {{ max_instances = 64, max_crashes = 100 }}\n{queue}",
        ledger = stage.ledger_config(true),
        sink = stage.sink.addr(),
        queue = queue_text(&stage.broker, stage.to_broker.addr(), stage.options.permits),
    ))
}

impl Stage {
    /// The ledger's lines of a config, by way of the proxy or directly.
    pub fn ledger_config(&self, by_proxy: bool) -> String {
        let url = self.ledger.as_ref().map(|(server, proxy)| {
            let port = if by_proxy { proxy.addr().port() } else { server.port() };
            server.url().replace(&format!(":{}", server.port()), &format!(":{port}"))
        });
        self.options.store.ledger_config(url.as_deref(), self.dir.path())
    }
}
