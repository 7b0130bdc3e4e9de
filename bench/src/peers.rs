//! What is not ours: scripts in Node and Python, over libraries that `tests/clients/setup.sh`
//! installs.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::process::Command;

use crate::contestant::{Contestant, Runs};
use crate::pins::on;
use crate::protocol::Consumer;

/// The scripts by their names. They are part of the binary, which may run anywhere.
const SCRIPTS: [(&str, &str); 5] = [
    (SQS_CONSUMER, include_str!("../peers/sqs_consumer.mjs")),
    (BOTO3, include_str!("../peers/boto3_threads.py")),
    (BROKERS, include_str!("../peers/broker_consumers.py")),
    (FAUXQS, include_str!("../peers/fauxqs.mjs")),
    (MOTO, include_str!("../peers/moto_server.py")),
];
const SQS_CONSUMER: &str = "sqs_consumer.mjs";
const BOTO3: &str = "boto3_threads.py";
const BROKERS: &str = "broker_consumers.py";
/// The emulators.
pub const FAUXQS: &str = "fauxqs.mjs";
pub const MOTO: &str = "moto_server.py";

/// The scripts, written where their interpreters find the libraries.
pub struct Peers {
    dir: PathBuf,
    python: Option<PathBuf>,
    node: bool,
    /// Where the libraries should be.
    clients: PathBuf,
}

impl Peers {
    /// Writes the scripts to `scratch`. `clients` holds `node_modules` and `.venv`; by default
    /// tests/clients, here or beside the source that this binary was built from.
    pub fn new(clients: Option<&Path>, scratch: &Path) -> anyhow::Result<Self> {
        let beside_our_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients");
        let clients = clients.map(Path::to_owned).unwrap_or_else(|| {
            let here = PathBuf::from("tests/clients");
            if here.is_dir() { here } else { beside_our_source }
        });
        let dir = scratch.join("peers");
        std::fs::create_dir(&dir)?;
        for (name, text) in SCRIPTS {
            std::fs::write(dir.join(name), text)?;
        }
        let clients = clients.canonicalize().unwrap_or(clients);
        let modules = clients.join("node_modules");
        // Node looks for a module's imports beside it.
        let node = modules.join("sqs-consumer").is_dir() && runs("node");
        if node {
            std::os::unix::fs::symlink(&modules, dir.join("node_modules"))?;
        }
        let python = Some(clients.join(".venv/bin/python")).filter(|python| python.is_file());
        Ok(Self { dir, python, node, clients })
    }

    /// Whether a package for Node is there, or one for Python.
    pub fn has(&self, script: &str) -> bool {
        match script {
            FAUXQS => self.node && self.dir.join("node_modules/fauxqs").is_dir(),
            MOTO => self.python.as_ref().is_some_and(|python| python.with_file_name("moto_server").is_file()),
            _ => false,
        }
    }

    /// What would help.
    pub fn setup(&self) -> String {
        format!("run tests/clients/setup.sh, or give --clients DIR (looked in {})", self.clients.display())
    }

    /// Why a contestant cannot take part, and what would help.
    pub fn missing(&self, contestant: Contestant) -> Option<String> {
        match contestant.runs() {
            Runs::Node if !self.node => Some(format!("needs Node 20 and the package sqs-consumer: {}", self.setup())),
            Runs::Python if self.python.is_none() => {
                Some(format!("needs Python and the package {}: {}", package(contestant), self.setup()))
            }
            Runs::Here | Runs::Node | Runs::Python => None,
        }
    }

    pub fn command(&self, consumer: &Consumer, cores: Option<&[usize]>) -> anyhow::Result<Command> {
        match consumer.contestant.runs() {
            Runs::Node => self.script(SQS_CONSUMER, consumer, cores),
            Runs::Python if consumer.contestant == Contestant::Boto3 => self.script(BOTO3, consumer, cores),
            Runs::Python => self.script(BROKERS, consumer, cores),
            Runs::Here => anyhow::bail!("{} is no script", consumer.contestant.name()),
        }
    }

    /// A script and its settings, as one argument.
    pub fn script(&self, name: &str, settings: &impl Serialize, cores: Option<&[usize]>) -> anyhow::Result<Command> {
        let interpreter = match (name.ends_with(".py"), &self.python) {
            (true, Some(python)) => python,
            (true, None) => anyhow::bail!("there is no Python with the packages of tests/clients"),
            (false, _) => Path::new("node"),
        };
        let mut command = on(cores, interpreter);
        command.arg(self.dir.join(name)).arg(serde_json::to_string(settings)?);
        Ok(command)
    }
}

fn package(contestant: Contestant) -> &'static str {
    if contestant == Contestant::Python { "pika, redis or confluent-kafka" } else { "boto3" }
}

/// Whether there is such a program.
fn runs(program: &str) -> bool {
    let asked = std::process::Command::new(program).arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}
