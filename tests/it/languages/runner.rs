//! One plugin in the host's sandbox, with a ledger for its steps and a server for its calls.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use wasq::config::Config;
use wasq::exit::Exit;
use wasq::plugins::{Loader, Plugin};
use wasq::sandbox::{Destinations, Job, RunReport, Sandbox};
use wasq::telemetry::spans::Span;
use wasq_core::message::{Attributes, BodyDigest, Key, KeySource, Message, MessageId, MessageType, UnixMs};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Ledger};

use crate::support::Sink;

/// When every message was sent.
pub const SENT_AT: UnixMs = UnixMs(1_800_000_000_123);

/// A plugin that is loaded, and what its runs need.
pub struct Runner {
    sandbox: Sandbox,
    pub plugin: Plugin,
    dir: TempDir,
}

/// What happened in the runs of one message.
pub struct Ran {
    pub report: RunReport,
    /// The result, as JSON.
    pub result: Option<Value>,
    pub key: Key,
}

impl Runner {
    /// Loads the component with a manifest of these lines.
    pub fn new(name: &str, component: &[u8], sink: &Sink, lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = "grant_all = true\n[limits]\nmax_instances = 8\n[queues.jobs]\n";
        let mut config = Config::parse(text, Path::new("wasq.toml")).unwrap();
        config.egress.open_hosts = vec![sink.host(), CLOSED.to_owned()];
        let config = Arc::new(config);
        let sandbox = Sandbox::new(&config.limits).unwrap();
        let manifest = format!(
            "name = '{name}'\ntypes = ['{name}']\ntimeout = '60s'\nqueues = ['self']\n\
             allowed_outbound_hosts = ['{}', 'http://{CLOSED}']\nvariables = {{ known = 'yes' }}\n{lines}",
            sink.origin()
        );
        let path = dir.path().join(format!("{name}.wasm"));
        std::fs::write(&path, component).unwrap();
        std::fs::write(path.with_extension("toml"), manifest).unwrap();
        let plugin =
            Loader::new(sandbox.clone(), config).unwrap().load(&path).unwrap_or_else(|error| panic!("{error}"));
        Self { sandbox, plugin, dir }
    }

    /// Runs the handler on a message as many times, as attempts that know of each other's steps.
    pub async fn run(&self, body: impl Into<Bytes>, attributes: Attributes, runs: u32) -> Ran {
        let body = body.into();
        let name = &self.plugin.manifest.name;
        let kind = MessageType(name.clone());
        let ledger_dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(ledger_dir.path()).unwrap());
        let key = Key::of("languages", name, &kind, "the key");
        let request = ClaimRequest {
            body: BodyDigest::of(&body),
            message_id: MessageId("id-1".into()),
            lease: self.plugin.policy.timeout,
            is_redelivery: false,
        };
        let Claim::Fresh(fresh) = ledger.claim(key, &request).await.unwrap() else { panic!("the ledger is new") };
        let message = Arc::new(Message {
            kind,
            body,
            content_type: "application/json".into(),
            key: "the key".into(),
            key_source: KeySource::MessageId,
            traceparent: None,
            attributes,
        });
        let mut report = None;
        for attempt in 1..=runs {
            let job = Job {
                policy: self.plugin.policy.clone(),
                message: message.clone(),
                message_id: MessageId("id-1".into()),
                sent_at: SENT_AT,
                started_at: wasq_core::clock::unix_ms(),
                attempt,
                key,
                fence: fresh.fence,
                ledger: ledger.clone(),
                parking: None,
                groups: None,
                destinations: Destinations::default(),
                span: Span::NONE,
                line: Arc::default(),
            };
            report = Some(self.sandbox.run(&self.plugin.handler, job, ()).await);
        }
        let report = report.expect("it runs at least once");
        let result = match &report.exit {
            Exit::Done { result: Some(bytes) } => Some(serde_json::from_slice(bytes).unwrap()),
            _ => None,
        };
        Ran { report, result, key }
    }
}

/// Where nothing listens: a port that no process may bind without being root.
pub const CLOSED: &str = "127.0.0.1:1";
