//! `wasq dlq`: look into the dead letters, and replay them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use clap::{Args, Subcommand};

use super::http::Admin;
use super::send::progress;
use super::table;
use super::target::{Target, Targeted};
use crate::dlq::{Envelopes, Letter, LetterError, read, replayed};
use crate::message::{AttributeData, Delivery};
use crate::queue::sqs::SqsQueue;
use crate::queue::{BATCH_MAX_ENTRIES, Queue};

/// How long a letter is hidden from others while a listing or a replay looks at it.
const LOOK: Duration = Duration::from_secs(30);
/// Empty receives in a row after which the DLQ counts as read. SQS may answer empty although there is something.
const EMPTY_MAX: u32 = 3;
/// Letters that a listing reads unless told otherwise.
const LISTED: usize = 100;

/// Look into the dead letters, and replay them.
#[derive(Args)]
pub struct Dlq {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List dead letters: when, type, class, attempts, reason.
    Ls {
        /// How many to read.
        #[arg(long, default_value_t = LISTED)]
        limit: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Show one dead letter: body, attributes and envelope.
    Show {
        /// The letter's message id, or the first part of it.
        id: String,
        #[command(flatten)]
        common: Common,
    },
    /// Send dead letters back to their queue. Their keys go with them, so what was done is not done again.
    Replay {
        /// Replays this letter only, by its message id or the first part of it.
        id: Option<String>,
        /// Replays all that match the filters.
        #[arg(long, conflicts_with = "id", required_unless_present = "id")]
        all: bool,
        /// Sends this body instead of the letter's own: `-` reads stdin, `@FILE` a file. For one letter.
        #[arg(long, requires = "id", value_name = "BODY")]
        body: Option<String>,
        /// Shows what would be replayed, and replays nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct Common {
    /// Only letters of this type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only letters of this class: retry, reject, timeout, trap, …
    #[arg(long)]
    class: Option<String>,
    /// Only letters of this plugin.
    #[arg(long)]
    plugin: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    admin: Admin,
}

/// A message in the DLQ, and its letter if it has one.
struct Found {
    delivery: Delivery,
    letter: Option<Letter>,
}

#[async_trait]
impl Envelopes for Admin {
    /// The running host has the ledger. Without one, an envelope that is not in its message is not to be had.
    async fn get(&self, id: &str) -> Result<Option<String>, LetterError> {
        match Admin::get::<serde_json::Value>(self, &format!("/envelopes/{id}")).await {
            Ok(json) => Ok(json.map(|json| json.to_string())),
            Err(error) => {
                tracing::warn!(%error, "no host answers, so a letter whose envelope is in the ledger is shown without it");
                Ok(None)
            }
        }
    }
}

impl Dlq {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Ls { limit, common } => ls(limit, &common).await,
            Action::Show { id, common } => show(&id, &common).await,
            Action::Replay { id, body, dry_run, common, .. } => {
                replay(id.as_deref(), body.as_deref(), dry_run, &common).await
            }
        }
    }
}

impl Common {
    fn matches(&self, found: &Found) -> bool {
        let field = |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|w| value == Some(w));
        let letter = found.letter.as_ref();
        field(&self.kind, letter.and_then(|letter| letter.kind.as_deref()))
            && field(&self.class, letter.map(|letter| letter.class.as_str()))
            && field(&self.plugin, letter.and_then(|letter| letter.plugin.as_deref()))
    }

    async fn open(&self) -> anyhow::Result<(Targeted, SqsQueue)> {
        let targeted = self.target.connect().await?;
        let dlq = targeted.dlq().await?;
        Ok((targeted, dlq))
    }

    /// The next letters; those that do not match are put back. None when the queue has been read through.
    async fn next(&self, dlq: &SqsQueue) -> anyhow::Result<Option<Vec<Found>>> {
        for _ in 0..EMPTY_MAX {
            let deliveries =
                dlq.receive(BATCH_MAX_ENTRIES, Duration::ZERO, LOOK).await.context("cannot read the DLQ")?;
            if deliveries.is_empty() {
                continue;
            }
            let mut found = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                let letter = read(&delivery, &self.admin).await.unwrap_or_else(|error| {
                    eprintln!("{}: {error}", delivery.message_id);
                    None
                });
                found.push(Found { delivery, letter });
            }
            return Ok(Some(found));
        }
        Ok(None)
    }
}

/// Shows letters to others again.
async fn put_back(dlq: &SqsQueue, found: &[Found]) {
    for batch in found.chunks(BATCH_MAX_ENTRIES) {
        let changes: Vec<_> = batch.iter().map(|found| (found.delivery.receipt.clone(), 0)).collect();
        for answer in dlq.change_visibility(&changes).await {
            if let Err(error) = answer {
                eprintln!("a letter stays hidden for {LOOK:?}: {error}");
            }
        }
    }
}

async fn ls(limit: usize, common: &Common) -> anyhow::Result<ExitCode> {
    let (_, dlq) = common.open().await?;
    let mut seen = Vec::new();
    while seen.len() < limit
        && let Some(found) = common.next(&dlq).await?
    {
        seen.extend(found);
    }
    put_back(&dlq, &seen).await;
    let matching = seen.iter().filter(|found| common.matches(found));
    if common.json {
        let all: Vec<_> = matching.map(to_json).collect();
        println!("{:#}", serde_json::Value::Array(all));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["id", "failed", "type", "plugin", "class", "attempts", "reason"]);
    for Found { delivery, letter } in matching {
        let id: String = delivery.message_id.0.chars().take(8).collect();
        match letter {
            Some(letter) => rows.add_row([
                id,
                time(letter.last_failed_at.0),
                letter.kind.clone().unwrap_or_else(|| "?".into()),
                letter.plugin.clone().unwrap_or_else(|| "-".into()),
                letter.class.clone(),
                letter.attempts.to_string(),
                letter.reason.clone(),
            ]),
            None => rows.add_row([&id, "?", "?", "-", "moved by SQS", "?", "no envelope"]),
        };
    }
    if rows.is_empty() {
        println!("no dead letters in {}", dlq.name());
    } else {
        println!("{rows}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(id: &str, common: &Common) -> anyhow::Result<ExitCode> {
    let (_, dlq) = common.open().await?;
    let (found, rest) = find(id, common, &dlq).await?;
    put_back(&dlq, &rest).await;
    put_back(&dlq, std::slice::from_ref(&found)).await;
    if common.json {
        println!("{:#}", to_json(&found));
        return Ok(ExitCode::SUCCESS);
    }
    println!("id          {}", found.delivery.message_id);
    match &found.letter {
        None => println!("no envelope: SQS itself moved it here"),
        Some(letter) => {
            println!("from        {} (as {})", letter.queue, letter.message_id);
            println!("type        {}", letter.kind.as_deref().unwrap_or("?"));
            println!("plugin      {}", letter.plugin.as_deref().unwrap_or("-"));
            println!("class       {}", letter.class);
            println!("reason      {}", letter.reason);
            println!("attempts    {} ({} receives)", letter.attempts, letter.receive_count);
            println!("failed      {}", time(letter.last_failed_at.0));
            println!("key         {}", letter.key.as_deref().unwrap_or("-"));
        }
    }
    for (name, value) in &found.delivery.attributes {
        if name != crate::dlq::LETTER_ATTRIBUTE {
            println!("attribute   {name} = {}", value.text().unwrap_or("(binary)"));
        }
    }
    println!("\n{}", String::from_utf8_lossy(&found.delivery.body));
    Ok(ExitCode::SUCCESS)
}

/// The one letter whose id begins so; the others that were read on the way, still hidden.
async fn find(id: &str, common: &Common, dlq: &SqsQueue) -> anyhow::Result<(Found, Vec<Found>)> {
    let mut rest: Vec<Found> = Vec::new();
    while let Some(mut batch) = common.next(dlq).await? {
        if let Some(place) = batch.iter().position(|found| found.delivery.message_id.0.starts_with(id)) {
            let found = batch.swap_remove(place);
            rest.extend(batch);
            return Ok((found, rest));
        }
        rest.extend(batch);
    }
    put_back(dlq, &rest).await;
    bail!("no dead letter {id} in {}; `wasq dlq ls` lists them", dlq.name())
}

async fn replay(id: Option<&str>, body: Option<&str>, dry_run: bool, common: &Common) -> anyhow::Result<ExitCode> {
    let (targeted, dlq) = common.open().await?;
    let (mut replays, mut others) = (Vec::new(), Vec::new());
    match id {
        Some(id) => {
            let (found, rest) = find(id, common, &dlq).await?;
            others.extend(rest);
            replays.push(found);
        }
        None => {
            while let Some(batch) = common.next(&dlq).await? {
                let (matching, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(|found| common.matches(found));
                others.extend(rest);
                if dry_run {
                    replays.extend(matching);
                } else {
                    // Each batch is replayed before the next is read: its letters are hidden only for a while.
                    send_back(&targeted, &dlq, &matching, None).await?;
                    replays.extend(matching);
                }
            }
        }
    }
    put_back(&dlq, &others).await;
    if dry_run {
        put_back(&dlq, &replays).await;
        println!("{} would be replayed", replays.len());
        return Ok(ExitCode::SUCCESS);
    }
    if id.is_some() {
        send_back(&targeted, &dlq, &replays, body).await?;
    }
    println!("{} replayed", replays.len());
    Ok(ExitCode::SUCCESS)
}

/// Sends letters to the queue they came from, then deletes them. Killed in between, it leaves a twin with the same key.
async fn send_back(targeted: &Targeted, dlq: &SqsQueue, letters: &[Found], body: Option<&str>) -> anyhow::Result<()> {
    let bar = progress(letters.len() as u64, "replayed");
    for found in letters {
        let queue = source(targeted, found.letter.as_ref()).await?;
        let mut message = replayed(&found.delivery, found.letter.as_ref(), queue.is_fifo());
        if let Some(body) = body {
            message.body = super::invoke::read_body(body)?.into();
        }
        for answer in queue.send(&[message]).await {
            answer.with_context(|| format!("cannot send {} to {}", found.delivery.message_id, queue.name()))?;
        }
        for answer in dlq.delete(std::slice::from_ref(&found.delivery.receipt)).await {
            answer.with_context(|| format!("{} was replayed, but stays in the DLQ", found.delivery.message_id))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The queue that a letter names; the targeted one if it names none.
async fn source(targeted: &Targeted, letter: Option<&Letter>) -> anyhow::Result<SqsQueue> {
    match letter {
        Some(letter) if letter.queue != targeted.queue.name() => {
            targeted.sqs.queue(&letter.queue).await.with_context(|| format!("cannot open the queue `{}`", letter.queue))
        }
        Some(_) | None => Ok(targeted.queue.clone()),
    }
}

fn to_json(found: &Found) -> serde_json::Value {
    let attributes: serde_json::Map<_, _> = found
        .delivery
        .attributes
        .iter()
        .filter(|(name, _)| *name != crate::dlq::LETTER_ATTRIBUTE)
        .map(|(name, value)| {
            let text = match &value.value {
                AttributeData::Text(text) => text.clone(),
                AttributeData::Binary(_) => "(binary)".into(),
            };
            (name.clone(), serde_json::Value::String(text))
        })
        .collect();
    serde_json::json!({
        "id": found.delivery.message_id,
        "letter": found.letter,
        "attributes": attributes,
        "body": String::from_utf8_lossy(&found.delivery.body),
    })
}

fn time(unix_ms: u64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms as i64)
        .map_or_else(|_| "?".into(), |time| time.strftime("%F %T").to_string())
}
