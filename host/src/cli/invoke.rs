//! `wasq invoke`: one message, one plugin, no queue.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use wasq_core::message::{AttributeValue, BodyDigest, Delivery, Key, Message, MessageId, MessageType};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Ledger};

use super::message::{MessageArguments, parse_pair};
use super::profile;
use crate::config::{Config, QueueConfig};
use crate::exit::Exit;
use crate::flow::decode::{Decoded, TYPE_ATTRIBUTE, Typed, decode};
use crate::groups::{GroupPart, Role};
use crate::plugins::{Loader, Plugin};
use crate::profile::ProfileSummary;
use crate::sandbox::{Destinations, Job, Sandbox};
use crate::telemetry::spans::Span;
use crate::telemetry::usage::CALLS;

/// The time from one sample to the next where a profile is wanted: a hundredth of a host's, so that
/// a single short run shows. Each costs the guest some microseconds.
const PROFILE_TICK: Duration = Duration::from_micros(100);

/// Run one message through a plugin, without a queue, and show what came of it.
///
/// Prints the outcome, the time, the memory and what was put into the outbox; the handler's logs go
/// to stderr. Exits with 0 if the handler is done, else with 1. What the manifest asks for is
/// granted; with --config, what that grants. Compiled code is kept in the config's compile_cache,
/// or in the user's directory for caches.
#[derive(Args)]
pub struct Invoke {
    /// The plugin.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    #[command(flatten)]
    message: MessageArguments,
    /// The message's type. Default: what the message names, else the manifest's, if it has only
    /// one.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Sets a variable of the handler. May be repeated.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_pair)]
    variables: Vec<(String, String)>,
    /// Allow calls to HOST:PORT, also over plain HTTP and at a private or loopback address.
    #[arg(long = "open", value_name = "HOST:PORT")]
    open_hosts: Vec<String>,
    /// Record which functions the run computes in, up to every 0.1 ms, and write a flame graph
    /// (.svg) or a profile for https://profiler.firefox.com (.json). Default: profile-PLUGIN.svg.
    #[arg(long, value_name = "OUT", num_args = 0..=1)]
    profile: Option<Option<PathBuf>>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Invoke {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (plugin, sandbox, queue) = self.load()?;
        let name = &plugin.manifest.name;
        let wanted = self.profile.as_ref().map(|out| profile::file(None, out.as_deref(), name)).transpose()?;
        let messages = self.messages(&plugin, queue)?;
        let profiling = wanted.as_ref().map(|_| sandbox.profile(name, vec![plugin.policy.profiler.clone()]));
        let profiling = profiling.transpose()?;
        let mut all_done = true;
        for (delivery, message) in messages {
            all_done &= self.invoke(&plugin, &sandbox, delivery, message).await?;
        }
        if let (Some((format, out)), Some(profiling)) = (wanted, profiling) {
            let profile = profiling.finish();
            let summary = ProfileSummary::of(&profile);
            if summary.samples == 0 {
                bail!("no profile was written: {summary}");
            }
            profile::write(&out, &format.write(&profile))?;
            eprintln!("{}: {summary}", out.display());
        }
        Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The message, or each record of it.
    fn messages(&self, plugin: &Plugin, mut queue: QueueConfig) -> anyhow::Result<Vec<(Delivery, Message)>> {
        let types = &plugin.manifest.types;
        let mut delivery = self.message.delivery()?;
        // Made up, so that two runs are two messages.
        delivery.message_id = MessageId(uuid::Uuid::new_v4().to_string());
        let only = match types.as_slice() {
            [one] => one.exact().map(|kind| kind.0.clone()),
            _ => None,
        };
        if let Some(kind) = self.kind.clone().or_else(|| only.filter(|_| !self.message.may_name_its_type())) {
            delivery.attributes.insert(TYPE_ATTRIBUTE.into(), AttributeValue::string(kind.clone()));
            queue.default_type = Some(kind);
        }
        let names: Vec<_> = types.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        let decoded = decode(&delivery, &queue)
            .map_err(|reason| anyhow::anyhow!("{reason}; say the type with --type: the plugin handles {names}"))?;
        let one = |typed: Typed, delivery: Delivery| {
            let mut message = typed.message;
            if let Some(kind) = &self.kind {
                message.kind = MessageType(kind.clone());
            }
            if !plugin.manifest.handles(&message.kind) {
                bail!("the plugin does not handle the type `{}`; it handles {names}", message.kind);
            }
            Ok((delivery, message))
        };
        match decoded {
            Decoded::Message(typed) => Ok(vec![one(typed, delivery)?]),
            Decoded::Batch(parts) => parts.into_iter().map(|part| one(part.typed, part.delivery)).collect(),
            Decoded::Notice(_, typed) => {
                bail!("{} is no work: the host settles it without a handler", typed.message.kind)
            }
        }
    }

    /// The answer is whether the handler was done.
    async fn invoke(
        &self,
        plugin: &Plugin,
        sandbox: &Sandbox,
        delivery: Delivery,
        message: Message,
    ) -> anyhow::Result<bool> {
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(scratch.path())?);
        let text = plugin.key_text(&message);
        let key = Key::of("invoke", &plugin.manifest.name, &message.kind, &text);
        let request = ClaimRequest {
            body: BodyDigest::of(&message.body),
            message_id: delivery.message_id.clone(),
            lease: plugin.policy.timeout + Duration::from_secs(60),
            is_redelivery: false,
        };
        let Claim::Fresh(fresh) = ledger.claim(key, &request).await? else {
            bail!("a new ledger answers a claim with Fresh")
        };
        let job = Job {
            policy: plugin.policy.clone(),
            message: Arc::new(message),
            message_id: delivery.message_id,
            sent_at: delivery.sent_at,
            started_at: wasq_core::clock::unix_ms(),
            parking: None,
            groups: None,
            attempt: fresh.attempt,
            key,
            fence: fresh.fence,
            ledger,
            destinations: Destinations::default(),
            span: Span::NONE,
            line: Arc::default(),
        };
        let report = sandbox.run(&plugin.handler, job, ()).await;
        let done = matches!(report.exit, Exit::Done { .. });
        self.print(&report, &text);
        Ok(done)
    }

    fn load(&self) -> anyhow::Result<(Plugin, Sandbox, QueueConfig)> {
        let config = self.message.config()?;
        let queue = self.message.queue(config.as_ref())?;
        let mut config = match config {
            Some(config) => config,
            None => Config::parse("grant_all = true\n[queues.none]", std::path::Path::new("(built in)"))?,
        };
        config.egress.open_hosts.extend(self.open_hosts.iter().cloned());
        let cache = match self.message.has_config() {
            true => Some(config.compile_cache.clone()),
            false => super::process::cache_dir(),
        };
        if let Some(cache) = cache {
            config.compile_cache = cache;
            config.compiler = Some(super::process::own_binary()?);
        }
        let name = crate::plugins::read_manifest(&self.file, &config.limits)?;
        let own = config.plugins.entry(name.name).or_default();
        own.variables.extend(self.variables.iter().cloned());
        if !self.open_hosts.is_empty() {
            let open = self.open_hosts.iter().map(|host| format!("http://{host}"));
            let granted = own.allowed_outbound_hosts.take().unwrap_or(name.allowed_outbound_hosts);
            own.allowed_outbound_hosts = Some(granted.into_iter().chain(open).collect());
        }
        let sandbox = match self.profile {
            Some(_) => Sandbox::with_tick(&config.limits, PROFILE_TICK),
            None => Sandbox::new(&config.limits),
        };
        let sandbox = sandbox.map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let plugin = Loader::new(sandbox.clone(), Arc::new(config))?.load(&self.file)?;
        Ok((plugin, sandbox, queue))
    }

    fn print(&self, report: &crate::sandbox::RunReport, key: &str) {
        let used = &report.usage;
        let result = match &report.exit {
            Exit::Done { result: Some(bytes) } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        if self.json {
            let outbox: Vec<_> = report
                .outbox
                .iter()
                .map(|m| {
                    let mut shown = serde_json::json!({ "queue": m.queue, "type": m.kind, "bytes": m.body.len() });
                    if let Some(part) = m.part.as_deref() {
                        shown["group"] = serde_json::json!(part);
                    }
                    shown
                })
                .collect();
            println!(
                "{}",
                serde_json::json!({
                    "exit": report.exit.class(), "reason": report.exit.reason(), "result": result, "key": key,
                    "elapsed_ms": used.elapsed.as_secs_f64() * 1e3, "cpu_ms": used.cpu.as_secs_f64() * 1e3,
                    "memory_bytes": used.memory_bytes, "sent_bytes": used.sent_bytes, "received_bytes": used.received_bytes,
                    "calls": CALLS.into_iter().zip(used.calls.counts()).collect::<BTreeMap<_, _>>(), "outbox": outbox,
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
        println!("time     {:.2} ms", used.elapsed.as_secs_f64() * 1e3);
        println!("cpu      {:.2} ms", used.cpu.as_secs_f64() * 1e3);
        println!("memory   {} KiB", used.memory_bytes / 1024);
        if used.calls.http > 0 {
            println!("http     {} calls, {} bytes out, {} in", used.calls.http, used.sent_bytes, used.received_bytes);
        }
        for message in &report.outbox {
            let queue = if message.queue.is_empty() { "(same queue)" } else { &message.queue };
            let part = match message.part.as_deref() {
                None => String::new(),
                Some(GroupPart { group, role: Role::Member }) => format!(", a member of {group}"),
                Some(GroupPart { group, role: Role::Then(_) }) => format!(", when {group} has ended"),
            };
            println!("outbox   {} to {queue}, {} bytes{part}", message.kind, message.body.len());
        }
    }
}
