//! `wasq invoke`: one message, one plugin, no queue.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use wasq_core::clock;
use wasq_core::message::{AttributeValue, BodyDigest, Delivery, Key, MessageId, Receipt};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Ledger};

use super::body::read_body;
use crate::config::Config;
use crate::exit::Exit;
use crate::plugins::{Loader, Plugin};
use crate::sandbox::{Destinations, Job, Sandbox};
use crate::telemetry::spans::Span;

/// Run one message through a plugin, without a queue, and show what came of it.
///
/// Prints the outcome, the time, the memory and what was put into the outbox; the handler's logs go
/// to stderr. Exits with 0 if the handler is done, else with 1. What the manifest asks for is
/// granted.
#[derive(Args)]
pub struct Invoke {
    /// The plugin.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The message's body; `-` reads stdin, `@FILE` a file.
    #[arg(long, default_value = "{}")]
    body: String,
    /// The message's type. Default: the manifest's, if it has only one.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Sets a variable of the handler. May be repeated.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_pair)]
    variables: Vec<(String, String)>,
    /// Allow calls to HOST:PORT, also over plain HTTP and at a private or loopback address.
    #[arg(long = "open", value_name = "HOST:PORT")]
    open_hosts: Vec<String>,
    /// Adds a message attribute. May be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_pair)]
    attributes: Vec<(String, String)>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// `NAME=VALUE`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Invoke {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let plugin_and_sandbox = self.load()?;
        let (plugin, sandbox) = (&plugin_and_sandbox.0, &plugin_and_sandbox.1);
        let kind = match (&self.kind, plugin.manifest.types.as_slice()) {
            (Some(kind), _) => kind.clone(),
            (None, [only]) => only.0.clone(),
            (None, several) => {
                let names: Vec<_> = several.iter().map(|kind| kind.0.as_str()).collect();
                bail!("the plugin handles several types; say which with --type: {}", names.join(", "))
            }
        };
        let delivery = self.delivery(&kind)?;
        let message = crate::flow::decode::decode(&delivery, crate::config::Envelope::Plain, Some(&kind))
            .map_err(|reason| anyhow::anyhow!(reason))?;

        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(scratch.path())?);
        let text = plugin.key_text(&message);
        let key = Key::of("invoke", &plugin.manifest.name, &message.kind, &text);
        let request = ClaimRequest {
            body: BodyDigest::of(&message.body),
            message_id: delivery.message_id.clone(),
            lease: plugin.policy.timeout + Duration::from_secs(60),
        };
        let Claim::Fresh(fresh) = ledger.claim(key, &request).await? else {
            bail!("a new ledger answers a claim with Fresh")
        };
        let job = Job {
            policy: plugin.policy.clone(),
            message: Arc::new(message),
            message_id: delivery.message_id,
            sent_at: delivery.sent_at,
            attempt: fresh.attempt,
            key,
            fence: fresh.fence,
            ledger,
            destinations: Destinations::default(),
            span: Span::NONE,
        };
        let report = sandbox.run(&plugin.handler, job, Vec::new()).await;
        let done = matches!(report.exit, Exit::Done { .. });
        self.print(&report, &text);
        Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn load(&self) -> anyhow::Result<(Plugin, Sandbox)> {
        let mut config = Config::parse("grant_all = true\n[queues.none]", std::path::Path::new("(built in)"))?;
        config.egress.open_hosts.clone_from(&self.open_hosts);
        let name = crate::plugins::read_manifest(&self.file, &config.limits)?;
        let own = config.plugins.entry(name.name).or_default();
        own.variables.extend(self.variables.iter().cloned());
        if !self.open_hosts.is_empty() {
            let open = self.open_hosts.iter().map(|host| format!("http://{host}"));
            own.allowed_outbound_hosts = Some(name.allowed_outbound_hosts.into_iter().chain(open).collect());
        }
        let sandbox = Sandbox::new(&config.limits).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let plugin = Loader::new(sandbox.clone(), Arc::new(config))?.load(&self.file)?;
        Ok((plugin, sandbox))
    }

    fn delivery(&self, kind: &str) -> anyhow::Result<Delivery> {
        let attributes = self.attributes.iter().map(|(name, value)| (name.clone(), AttributeValue::string(value)));
        let mut attributes: wasq_core::message::Attributes = attributes.collect();
        attributes.insert(crate::flow::decode::TYPE_ATTRIBUTE.into(), AttributeValue::string(kind));
        Ok(Delivery {
            message_id: MessageId(uuid::Uuid::new_v4().to_string()),
            receipt: Receipt(String::new()),
            body: read_body(&self.body)?.into(),
            attributes,
            receive_count: 1,
            sent_at: clock::unix_ms(),
            group: None,
            deduplication_id: None,
            trace_header: None,
            received_at: clock::now(),
        })
    }

    fn print(&self, report: &crate::sandbox::RunReport, key: &str) {
        let result = match &report.exit {
            Exit::Done { result: Some(bytes) } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        if self.json {
            let outbox: Vec<_> = report
                .outbox
                .iter()
                .map(|m| serde_json::json!({ "queue": m.queue, "type": m.kind, "bytes": m.body.len() }))
                .collect();
            println!(
                "{}",
                serde_json::json!({
                    "exit": report.exit.class(), "reason": report.exit.reason(), "result": result, "key": key,
                    "elapsed_ms": report.elapsed.as_secs_f64() * 1e3, "memory_bytes": report.memory_bytes, "outbox": outbox,
                })
            );
            return;
        }
        println!("exit     {}", report.exit.class());
        if report.exit.class() != "done" {
            println!("reason   {}", report.exit.reason());
        }
        if let Some(result) = result {
            println!("result   {result}");
        }
        println!("key      {key}");
        println!("time     {:.2} ms", report.elapsed.as_secs_f64() * 1e3);
        println!("memory   {} KiB", report.memory_bytes / 1024);
        for message in &report.outbox {
            let queue = if message.queue.is_empty() { "(same queue)" } else { &message.queue };
            println!("outbox   {} to {queue}, {} bytes", message.kind, message.body.len());
        }
    }
}
