//! `wasq decode`: what the host would make of a message, without running it.

use std::process::ExitCode;

use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use serde_json::{Map, Value, json};
use wasq_core::message::{AttributeData, KeySource, Message};

use super::message::MessageArguments;
use crate::config::{Config, QueueConfig};
use crate::flow::decode::{Decoded, Notice, Typed, decode};
use crate::oci::PulledPlugins;
use crate::plugins::{Source, TypeTable, read_manifest};

/// Print what the host would make of a message: its type, its key, where each comes from, its
/// attributes, its body, and the plugins that would run.
///
/// Nothing is run, sent or opened; plugins of `[oci]` are pulled, unless they are there. Exits with
/// 1 if the message could not be read: the host would send it to the DLQ.
///
/// Example: wasq decode --body @./event.json --envelope auto
#[derive(Args)]
pub struct Decode {
    #[command(flatten)]
    message: MessageArguments,
    /// Prints JSON: an object for each message, on a line of its own.
    #[arg(long)]
    json: bool,
}

impl Decode {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.message.config()?;
        let queue = self.message.queue(config.as_ref())?;
        let plugins = match &config {
            Some(config) => Some(Plugins::of(config).await?),
            None => None,
        };
        let delivery = self.message.delivery()?;
        let decoded = match decode(&delivery, &queue) {
            Ok(decoded) => decoded,
            Err(reason) => {
                match self.json {
                    true => println!("{}", json!({ "invalid": reason })),
                    false => println!("invalid       {reason}"),
                }
                return Ok(ExitCode::FAILURE);
            }
        };
        let shown = |typed: &Typed, notice: Option<&Notice>| Shown::of(typed, notice, &queue, plugins.as_ref());
        let all: Vec<_> = match &decoded {
            Decoded::Message(typed) => vec![shown(typed, None)],
            Decoded::Notice(notice, typed) => vec![shown(typed, Some(notice))],
            Decoded::Batch(parts) => parts.iter().map(|part| shown(&part.typed, None)).collect(),
        };
        for (index, one) in all.iter().enumerate() {
            match self.json {
                true => println!("{}", one.json()),
                false => print!("{}{one}", if index == 0 { "" } else { "\n" }),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The manifests of a config's plugins.
struct Plugins {
    manifests: Vec<crate::plugins::manifest::Manifest>,
    table: TypeTable<usize>,
}

impl Plugins {
    async fn of(config: &Config) -> anyhow::Result<Self> {
        let pulled = PulledPlugins::new(config.oci.clone(), config.aws.clone(), config.limits.max_component.as_u64());
        pulled.refresh().await;
        let sources = crate::plugins::sources(&config.plugins_dir, &pulled)
            .with_context(|| format!("plugins_dir {}", config.plugins_dir.display()))?;
        let manifest = |source: &Source| match &source.file {
            Some(file) => Ok(read_manifest(file, &config.limits)?),
            None => Err(anyhow::anyhow!("{}: {}", source.origin, source.error.as_deref().unwrap_or_default())),
        };
        let manifests: Vec<_> = sources.iter().map(manifest).collect::<Result<_, _>>()?;
        let patterns = manifests.iter().enumerate();
        let patterns = patterns.flat_map(|(index, one)| one.types.iter().map(move |pattern| (pattern.clone(), index)));
        let table = TypeTable::new(patterns);
        Ok(Self { manifests, table })
    }

    /// Those that would run a message, each with the key as it sees it.
    fn running(&self, message: &Message) -> Vec<Value> {
        let running = self.table.of(&message.kind).iter().map(|index| &self.manifests[*index]);
        running
            .map(|manifest| {
                let (key, source) = manifest.idempotency.key_of(message);
                json!({ "name": manifest.name, "key": shown_key(&key, source), "key_from": source.name() })
            })
            .collect()
    }
}

/// One message, to be printed.
struct Shown {
    fields: Map<String, Value>,
    body: Vec<u8>,
}

impl Shown {
    fn of(typed: &Typed, notice: Option<&Notice>, queue: &QueueConfig, plugins: Option<&Plugins>) -> Self {
        let Typed { message, type_origin } = typed;
        let mut fields = Map::new();
        let mut add = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        add("type", json!(message.kind));
        add("type_from", json!(type_origin.name(queue)));
        add("key", shown_key(&message.key, message.key_source));
        add("key_from", json!(message.key_source.name()));
        add("content_type", json!(message.content_type));
        let attributes = message.attributes.iter().map(|(name, value)| {
            let text = match &value.value {
                AttributeData::Text(text) => text.clone(),
                AttributeData::Binary(bytes) => BASE64_STANDARD.encode(bytes),
            };
            (name.clone(), Value::from(text))
        });
        add("attributes", Value::Object(attributes.collect()));
        let types = message.attributes.iter().filter(|(_, value)| value.data_type != "String");
        let types: Map<_, _> = types.map(|(name, value)| (name.clone(), json!(value.data_type))).collect();
        if !types.is_empty() {
            add("attribute_data_types", Value::Object(types));
        }
        match notice {
            Some(notice) => drop(add("not_run", json!(in_words(notice)))),
            None => drop(plugins.map(|plugins| add("plugins", json!(plugins.running(message))))),
        }
        Self { fields, body: message.body.to_vec() }
    }

    fn json(&self) -> Value {
        let mut fields = self.fields.clone();
        match std::str::from_utf8(&self.body) {
            Ok(text) => fields.insert("body".into(), text.into()),
            Err(_) => fields.insert("body_base64".into(), BASE64_STANDARD.encode(&self.body).into()),
        };
        Value::Object(fields)
    }
}

/// SQS gives a message its id: there is none yet.
fn shown_key(key: &str, source: KeySource) -> Value {
    if source == KeySource::MessageId { Value::Null } else { key.into() }
}

fn in_words(notice: &Notice) -> &'static str {
    match notice {
        Notice::Test => "a test that a notification was set up: acknowledged and counted",
        Notice::Subscription { .. } => {
            "SNS asks for a subscription: confirmed with confirm_subscriptions for a topic in `topics`, else dead-lettered"
        }
        Notice::Unsubscribed { .. } => "SNS has ended a subscription: acknowledged and counted",
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |name: &str| self.fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let key = self.fields.get("key").and_then(Value::as_str).unwrap_or("(the id that the queue gives it)");
        writeln!(f, "type          {}   (from {})", text("type"), text("type_from"))?;
        writeln!(f, "key           {key}   (from {})", text("key_from"))?;
        writeln!(f, "content type  {}", text("content_type"))?;
        for (name, value) in self.fields.get("attributes").and_then(Value::as_object).into_iter().flatten() {
            let data_type = self.fields.get("attribute_data_types").and_then(|types| types.get(name)?.as_str());
            let note = data_type.map_or_else(String::new, |data_type| format!("   ({data_type})"));
            writeln!(f, "attribute     {name} = {}{note}", value.as_str().unwrap_or_default())?;
        }
        if self.fields.contains_key("not_run") {
            writeln!(f, "not run       {}", text("not_run"))?;
        }
        let plugins = self.fields.get("plugins").and_then(Value::as_array);
        for plugin in plugins.into_iter().flatten() {
            let of = |name: &str| plugin.get(name).and_then(Value::as_str);
            let key = of("key").unwrap_or("(the id that the queue gives it)");
            let (name, source) = (of("name").unwrap_or_default(), of("key_from").unwrap_or_default());
            writeln!(f, "plugin        {name} with the key {key}   (from {source})")?;
        }
        if plugins.is_some_and(Vec::is_empty) {
            writeln!(f, "plugin        none handles this type")?;
        }
        writeln!(f, "body          {}", String::from_utf8_lossy(&self.body))
    }
}
