//! How a test says what it needs before anything runs.

use std::path::{Path, PathBuf};

use wasq::cli::schema::SchemaOf;
use wasq::config::{Config, QueueConfig};
use wasq_local_sqs::{LocalSqs, Options};
use wasq_queues::Broker;

use super::brokers::RigBroker;
use super::{Rig, Sink, schema};

/// The queue that tests use unless they say otherwise, and the type of the probe's messages.
pub const QUEUE: &str = "jobs";
pub const KIND: &str = "probe";

/// Plugins, queues and config of a rig. Dead letters of a queue `NAME` go to `NAME-dlq`.
#[derive(Default)]
pub struct Setup {
    broker: Broker,
    plugins: Vec<Plugin>,
    queues: Vec<(String, Change<QueueConfig>)>,
    changes: Vec<Change<Config>>,
}

type Change<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A component with the manifest that it gets.
pub struct Plugin {
    name: String,
    types: Vec<String>,
    component: Vec<u8>,
    /// None where the component's own is used.
    manifest: Option<String>,
    /// What its outbox may send to.
    queues: Vec<String>,
}

impl Plugin {
    /// The probe under a name, for the type `probe`.
    pub fn probe(name: &str) -> Self {
        Self::component(name, std::fs::read(wasq_tests::guest("probe")).unwrap())
    }

    /// Any component.
    pub fn component(name: &str, component: Vec<u8>) -> Self {
        let queues = ["self", "nowhere"].map(str::to_owned).into();
        Self { name: name.into(), types: vec![KIND.into()], component, manifest: Some(String::new()), queues }
    }

    /// It may send to no queue.
    pub fn without_queues(self) -> Self {
        Self { queues: Vec::new(), ..self }
    }

    /// One of the shop's handlers, with its own manifest.
    pub fn shop(name: &str) -> Self {
        let component = std::fs::read(wasq_tests::plugin(name)).unwrap();
        Self { name: name.into(), types: Vec::new(), component, manifest: None, queues: Vec::new() }
    }

    pub fn types(self, types: &[&str]) -> Self {
        Self { types: types.iter().map(|kind| (*kind).to_owned()).collect(), ..self }
    }

    /// More lines of the manifest. Failed attempts are repeated at once unless they have a
    /// `[retry]`.
    pub fn manifest(self, lines: &str) -> Self {
        Self { manifest: Some(lines.into()), ..self }
    }

    /// Writes the component and its manifest.
    pub fn install(&self, dir: &Path, sink: &Sink) {
        std::fs::write(dir.join(format!("{}.wasm", self.name)), &self.component).unwrap();
        let Some(lines) = &self.manifest else { return };
        let mut text = format!("name = {:?}\ntypes = {}\n", self.name, serde_json::to_string(&self.types).unwrap());
        text +=
            &format!("allowed_outbound_hosts = [{:?}]\nvariables = {{ plugin = {:?} }}\n", sink.origin(), self.name);
        text += &format!("queues = {}\n", serde_json::to_string(&self.queues).unwrap());
        text += lines;
        if !lines.contains("[retry]") {
            text += "\n[retry]\ninitial_interval = \"0s\"\n";
        }
        std::fs::write(dir.join(format!("{}.toml", self.name)), text).unwrap();
    }
}

impl Setup {
    /// Nothing yet. A setup without queues gets the queue `jobs`.
    pub fn new() -> Self {
        Self::default()
    }

    /// One probe, on the queue `jobs`.
    pub fn probe() -> Self {
        Self::new().plugin(Plugin::probe("probe"))
    }

    /// Its queues are on this broker. Default: SQS.
    pub fn on(self, broker: Broker) -> Self {
        Self { broker, ..self }
    }

    pub fn plugin(mut self, plugin: Plugin) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// A queue; `.fifo` at the end of its name makes it one.
    pub fn queue(mut self, name: &str, change: impl FnOnce(&mut QueueConfig) + Send + 'static) -> Self {
        self.queues.push((name.into(), Box::new(change)));
        self
    }

    pub fn config(mut self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Everything, with the host running.
    pub async fn start(self) -> Rig {
        let mut rig = self.without_host().await;
        rig.start_host().await;
        rig
    }

    /// Everything but the host.
    pub async fn without_host(mut self) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await;
        let plugins = dir.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        for plugin in &mut self.plugins {
            plugin.queues.extend(self.queues.iter().map(|(name, _)| name.clone()));
            plugin.install(&plugins, &sink);
        }
        let sqs = LocalSqs::start(Options::new(dir.path().join("sqs")).port(0)).await.unwrap();
        if self.queues.is_empty() {
            self = self.queue(QUEUE, |_| {});
        }
        let broker = RigBroker::new(self.broker);
        let config = self.write_config(dir.path(), &sqs, &sink, &broker).await;
        Rig::new(dir, sqs, broker, sink, config).await
    }

    async fn write_config(self, path: &Path, sqs: &LocalSqs, sink: &Sink, broker: &RigBroker) -> Config {
        let dir = path.display();
        let mut text = format!(
            "plugins_dir = '{dir}/plugins'\ngrant_all = true\ndrain_s = 10\n\
             aws = {{ endpoint_url = '{}', region = 'eu-central-1' }}\nledger = {{ store = 'local', path = '{dir}/ledger' }}\n\
             admin = {{ listen = '127.0.0.1:0' }}\negress = {{ open_hosts = ['{}'] }}\nlimits = {{ max_instances = 32 }}\n",
            sqs.endpoint_url(),
            sink.host(),
        );
        for (name, _) in &self.queues {
            let (dlq, location) = (broker.name_there(&dlq(name)), broker.location_lines(name));
            text += &format!("[queues.'{name}']\ndlq = '{dlq}'\nvisibility = '30s'\nwait = '1s'\n{location}");
        }
        broker.make_queues(&text, path).await;
        let mut config = Config::parse(&text, Path::new("wasq.toml")).unwrap();
        assert_eq!(schema::faults(SchemaOf::Config, &text), [""; 0], "{text}");
        config.compiler = Some(env!("CARGO_BIN_EXE_wasq").into());
        config.compile_cache = compiled();
        for (name, change) in self.queues {
            change(config.queues.get_mut(&name).expect("it was just written"));
        }
        for change in self.changes {
            change(&mut config);
        }
        config
    }
}

/// Where code is kept that hosts have compiled: most tests run the same few components.
pub fn compiled() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// Where a queue's dead letters go.
pub fn dlq(queue: &str) -> String {
    match queue.strip_suffix(".fifo") {
        Some(stem) => format!("{stem}-dlq.fifo"),
        None => format!("{queue}-dlq"),
    }
}
