//! Which DLQ is meant, and the ways to read it that end well.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use clap::Args;
use tokio_util::sync::CancellationToken;
use wasq_queues::{BATCH_MAX_ENTRIES, Queue};

use crate::cli::http::Admin;
use crate::cli::process::Signals;
use crate::cli::target::{Target, Targeted};
use crate::dlq::letter_view::LetterView;
use crate::dlq::reader::Reader;
use crate::dlq::targets::ReplayTargets;
use crate::dlq::{Envelopes, LetterError};

/// How long the running host may take to answer with an envelope.
const HOST_ANSWERS: Duration = Duration::from_secs(5);
/// Ids that are named when the beginning of one fits several.
const NAMED_MAX: usize = 5;

/// Where the DLQ is, and how it is read.
#[derive(Args, Clone)]
pub struct DlqHandle {
    /// Visibility timeout for dead letters that this command reads; after a kill they reappear when
    /// it ends. Default: 60s, and more if a long DLQ needs longer to be read.
    #[arg(long, value_name = "DURATION", value_parser = super::select::duration)]
    hide: Option<Duration>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    admin: Admin,
}

/// A DLQ that is connected to.
pub struct Opened {
    pub dlq: Arc<dyn Queue>,
    targeted: Targeted,
    named: bool,
    hide: Option<Duration>,
    envelopes: FromHost,
}

/// The envelopes that did not fit into their messages. The running host has the ledger.
struct FromHost {
    admin: Admin,
    /// It did not answer, so it is not asked again.
    down: AtomicBool,
}

/// Whether to read on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Next {
    More,
    Enough,
}

#[async_trait]
impl Envelopes for FromHost {
    async fn get(&self, id: &str) -> Result<Option<String>, LetterError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(LetterError::NoHost("it did not answer before".into()));
        }
        let path = format!("/envelopes/{id}");
        let answer = tokio::time::timeout(HOST_ANSWERS, self.admin.get_bytes(&path)).await;
        let text = |bytes: bytes::Bytes| {
            String::from_utf8(bytes.into()).map_err(|error| LetterError::Envelope(error.to_string()))
        };
        let error = match answer {
            Ok(Ok(answer)) => return answer.map(text).transpose(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("the host at {} did not answer in {HOST_ANSWERS:?}", self.admin.admin),
        };
        self.down.store(true, Ordering::Relaxed);
        Err(LetterError::NoHost(error))
    }
}

impl DlqHandle {
    pub async fn open(&self) -> anyhow::Result<Opened> {
        let targeted = self.target.connect().await?;
        let dlq = targeted.dlq().await?;
        let envelopes = FromHost { admin: self.admin.clone(), down: AtomicBool::new(false) };
        Ok(Opened { dlq, targeted, named: self.target.names_a_queue(), hide: self.hide, envelopes })
    }
}

impl Opened {
    pub async fn reader(&self) -> anyhow::Result<Reader<'_>> {
        let opened = Reader::open(&*self.dlq, &self.envelopes, self.hide).await;
        opened.with_context(|| format!("cannot read the DLQ {}", self.dlq.name()))
    }

    /// Where letters go; `to` is a queue for all of them.
    pub async fn sources(&self, to: Option<&str>) -> anyhow::Result<ReplayTargets> {
        let queue = &self.targeted.queue;
        let to = match to {
            Some(name) => {
                Some(queue.sibling(name).await.with_context(|| format!("--to: cannot open the queue `{name}`"))?)
            }
            None => None,
        };
        Ok(ReplayTargets::new(self.dlq.clone(), queue.clone(), self.named, to))
    }

    /// Shows each letter to `look`, until it has enough, and leaves all in place. The answer is
    /// whether it had; on stderr stands what could not be seen.
    pub async fn look_through(
        &self,
        stop: &CancellationToken,
        mut look: impl FnMut(LetterView) -> anyhow::Result<Next>,
    ) -> anyhow::Result<Next> {
        let mut reader = self.reader().await?;
        let read = async {
            while !stop.is_cancelled() {
                let batch = reader.next(BATCH_MAX_ENTRIES).await;
                let Some(batch) = batch.with_context(|| format!("cannot read the DLQ {}", self.dlq.name()))? else {
                    print_notes(&reader.unseen().await?);
                    return Ok(Next::More);
                };
                for view in batch {
                    if look(view)? == Next::Enough {
                        return Ok(Next::Enough);
                    }
                }
            }
            bail!("interrupted before all was read")
        };
        let read = read.await;
        print_notes(&reader.put_back().await);
        read
    }

    /// The one letter whose id begins so. It is held by the reader, with all that was read on the
    /// way.
    pub async fn find(
        &self,
        reader: &mut Reader<'_>,
        id: &str,
        stop: &CancellationToken,
    ) -> anyhow::Result<LetterView> {
        let mut fitting: Vec<LetterView> = Vec::new();
        while let Some(batch) = reader.next(BATCH_MAX_ENTRIES).await? {
            for view in batch {
                if view.id().0 == id {
                    return Ok(view);
                }
                if view.id().0.starts_with(id) {
                    fitting.push(view);
                }
            }
            if stop.is_cancelled() {
                bail!("interrupted before all was read");
            }
            if fitting.len() > NAMED_MAX {
                break;
            }
        }
        match fitting.len() {
            1 => Ok(fitting.remove(0)),
            0 => {
                print_notes(&reader.unseen().await?);
                bail!("no dead letter {id} in {}; `wasq dlq ls` lists them", self.dlq.name())
            }
            _ => {
                let ids: Vec<_> = fitting.iter().take(NAMED_MAX).map(|view| view.id().0.as_str()).collect();
                bail!("several dead letters begin with {id}; give more of the one's id: {}", ids.join(", "))
            }
        }
    }
}

/// Runs a command that puts back what it holds when it is told to stop. A second signal ends it at
/// once.
pub async fn interruptible<F>(command: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let stop = CancellationToken::new();
    let command = command(stop.clone());
    tokio::pin!(command);
    loop {
        tokio::select! {
            biased;
            ended = &mut command => return ended,
            () = signals.next() => {
                if stop.is_cancelled() {
                    bail!("ended at once; letters in hand show again when their visibility ends");
                }
                eprintln!("stopping: what is in hand is put back");
                stop.cancel();
            }
        }
    }
}

pub fn print_notes(notes: &[String]) {
    for note in notes {
        eprintln!("note: {note}");
    }
}
