//! What a run came to: the ledger's word held against the sink's.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use wasq::config::{AwsConfig, Config};
use wasq_core::message::{BodyDigest, Key, MessageId};
use wasq_ledgers::{Claim, ClaimRequest};

use super::hosts::Kills;
use super::sink::Calls;
use super::{Options, Outages, Stage, WITH_STEPS};
use crate::brokers::leases_end_with_the_connection;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    pub options: Options,
    pub kills: Kills,
    pub outages: Outages,
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
    /// The most starts that the kills explain, and the connections that were lost where that ends
    /// what the hosts have in hand.
    pub fn starts_max(&self) -> usize {
        let Options { kills, permits, hosts, broker, .. } = self.options;
        let is_lost = leases_end_with_the_connection(broker);
        let lost = if is_lost { self.outages.from_broker * hosts } else { 0 };
        self.messages + (kills + lost) * permits
    }
}

/// Asks the ledger about every message that the sink saw.
pub async fn judge(stage: Stage, kills: Kills, outages: Outages, elapsed: Duration) -> Result<Report> {
    let calls = stage.sink.all();
    let Options { messages, members, .. } = stage.options;
    let wanted = |n: usize| -> Vec<String> {
        let mut names = vec!["run".to_owned()];
        match members {
            0 if n.is_multiple_of(WITH_STEPS) => names.push("note".into()),
            0 => {}
            _ => names.extend((0..members).map(|member| format!("member-{member}")).chain(["follow-up".into()])),
        }
        names.into_iter().map(|name| format!("{name}/{n}")).collect()
    };
    let mut report = Report {
        kills,
        outages,
        starts: starts(&calls),
        messages: (0..messages).map(|n| wanted(n).len()).sum(),
        completions: 0,
        steps_repeated: repeated(&calls),
        dead_letters: dead_letters(&stage).await?,
        elapsed,
        broken: Vec::new(),
        options: stage.options.clone(),
    };
    for name in (0..messages).flat_map(wanted).filter(|name| !calls.contains_key(name)) {
        report.broken.push(format!("{name} is lost: it never ran"));
    }
    for (name, calls) in calls.iter().filter(|(name, _)| name.starts_with("ended/")) {
        if let Some(told) = calls.reports.iter().find(|told| told.members_done != Some(members as u64)) {
            report.broken.push(format!("{name} was told of {:?} members of {members}", told.members_done));
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
    stage.broker.end().await;
    Ok(report)
}

/// Whether it is a message that the run waits for: not one of the few notes.
pub fn is_planned(name: &str) -> bool {
    is_message(name) && !name.starts_with("note/")
}

fn is_message(name: &str) -> bool {
    name.starts_with("run/") || is_sent_by_a_host(name)
}

fn is_sent_by_a_host(name: &str) -> bool {
    ["note/", "member-", "follow-up/"].iter().any(|prefix| name.starts_with(prefix))
}

fn starts(calls: &BTreeMap<String, Calls>) -> usize {
    calls.iter().filter(|(name, _)| is_message(name)).map(|(_, calls)| calls.count).sum()
}

fn repeated(calls: &BTreeMap<String, Calls>) -> usize {
    calls.iter().filter(|(name, _)| !is_message(name)).map(|(_, calls)| calls.count.saturating_sub(1)).sum()
}

async fn count_completions(stage: &Stage, calls: &BTreeMap<String, Calls>, report: &mut Report) -> Result<()> {
    let text = format!("ledger = {{ {} }}\n[queues.jobs]\n", stage.ledger_config(false));
    let config = Config::parse(&text, Path::new("verdict.toml"))?;
    let ledger = wasq_ledgers::open(&config.ledger, &AwsConfig::default()).await?;
    for (name, calls) in calls.iter().filter(|(name, _)| is_message(name)) {
        // Twins of one message have one key and one body; else they would be two.
        let [told] = &calls.reports[..] else {
            let ids: Vec<_> = calls.reports.iter().map(|told| (&told.key, &told.message_id)).collect();
            let same_key = calls.reports.iter().all(|told| told.key == calls.reports[0].key);
            if same_key && is_sent_by_a_host(name) {
                // A twin of what a host has sent: it is a duplicate of the other's key.
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
    stage.broker.left(&*stage.dlq).await
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
