//! What a run came to: the ledger's word held against the sink's.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use wasq::config::{AwsConfig, Config};
use wasq_core::message::{BodyDigest, Key, MessageId};
use wasq_ledgers::{Claim, ClaimRequest};
use wasq_queues::Queue;

use super::hosts::Kills;
use super::sink::Calls;
use super::{Options, Stage, WITH_STEPS};

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    pub options: Options,
    pub kills: Kills,
    /// How often connections were cut or delayed.
    pub cuts: usize,
    /// Handlers that were started.
    pub starts: usize,
    /// Messages, those of outboxes included.
    pub messages: usize,
    /// Keys that the ledger says are done.
    pub completions: usize,
    /// Steps that were done more than once: by what was killed between the effect and its record.
    pub steps_repeated: usize,
    pub dead_letters: usize,
    pub elapsed: Duration,
    /// What is against the promise.
    pub broken: Vec<String>,
}

impl Report {
    /// The most starts that the kills explain.
    pub fn starts_max(&self) -> usize {
        self.messages + self.options.kills * self.options.permits
    }
}

/// Asks the ledger about every message that the sink saw.
pub async fn judge(stage: Stage, kills: Kills, cuts: usize, elapsed: Duration) -> Result<Report> {
    let calls = stage.sink.all();
    let notes = stage.options.messages.div_ceil(WITH_STEPS);
    let mut report = Report {
        kills,
        cuts,
        starts: starts(&calls),
        messages: stage.options.messages + notes,
        completions: 0,
        steps_repeated: repeated(&calls),
        dead_letters: dead_letters(&stage).await?,
        elapsed,
        broken: Vec::new(),
        options: stage.options.clone(),
    };
    for n in 0..stage.options.messages {
        let names = ["run", "note"].map(|name| format!("{name}/{n}"));
        let wanted = if n.is_multiple_of(WITH_STEPS) { &names[..] } else { &names[..1] };
        for name in wanted {
            if !calls.contains_key(name) {
                report.broken.push(format!("{name} is lost: it never ran"));
            }
        }
    }
    count_completions(&stage, &calls, &mut report).await?;
    if report.starts > report.starts_max() {
        report.broken.push(format!("{} starts; the kills explain {}", report.starts, report.starts_max()));
    }
    if report.completions != report.messages {
        report.broken.push(format!("{} completions of {} messages", report.completions, report.messages));
    }
    if report.dead_letters > 0 {
        report.broken.push(format!("{} dead letters", report.dead_letters));
    }
    stage.sqs.shutdown().await;
    Ok(report)
}

fn is_message(name: &str) -> bool {
    name.starts_with("run/") || name.starts_with("note/")
}

fn starts(calls: &BTreeMap<String, Calls>) -> usize {
    calls.iter().filter(|(name, _)| is_message(name)).map(|(_, calls)| calls.count).sum()
}

fn repeated(calls: &BTreeMap<String, Calls>) -> usize {
    calls.iter().filter(|(name, _)| !is_message(name)).map(|(_, calls)| calls.count.saturating_sub(1)).sum()
}

async fn count_completions(stage: &Stage, calls: &BTreeMap<String, Calls>, report: &mut Report) -> Result<()> {
    let text = format!("ledger = {{ {} }}\n[queues.jobs]\n", stage.ledger_config(false)?);
    let config = Config::parse(&text, Path::new("verdict.toml"))?;
    let ledger = wasq_ledgers::open(&config.ledger, &AwsConfig::default()).await?;
    for (name, calls) in calls.iter().filter(|(name, _)| is_message(name)) {
        // Twins of one message have one key and one body; else they would be two.
        let [told] = &calls.reports[..] else {
            let ids: Vec<_> = calls.reports.iter().map(|told| (&told.key, &told.message_id)).collect();
            let same_key = calls.reports.iter().all(|told| told.key == calls.reports[0].key);
            if same_key && name.starts_with("note/") {
                // A twin of an outbox's message: it is a duplicate of the other's key.
                count(&*ledger, name, &calls.reports[0], report).await?;
            } else {
                report.broken.push(format!("{name} ran as several messages: {ids:?}"));
            }
            continue;
        };
        count(&*ledger, name, told, report).await?;
    }
    Ok(())
}

async fn count(
    ledger: &dyn wasq_ledgers::Ledger,
    name: &str,
    told: &super::sink::Told,
    report: &mut Report,
) -> Result<()> {
    let key: [u8; 32] = hex(&told.key).with_context(|| format!("{name} has the key {:?}", told.key))?;
    let request = ClaimRequest {
        body: BodyDigest::of(told.body.as_bytes()),
        message_id: MessageId(told.message_id.clone()),
        lease: Duration::from_secs(60),
        is_redelivery: false,
    };
    match ledger.claim(Key(key), &request).await? {
        Claim::Done { .. } => report.completions += 1,
        other => report.broken.push(format!("{name} has no completion: {other:?}")),
    }
    Ok(())
}

async fn dead_letters(stage: &Stage) -> Result<usize> {
    let attributes = stage.dlq.attributes().await?;
    Ok(attributes["ApproximateNumberOfMessages"].parse()?)
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != bytes.len() * 2 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}
