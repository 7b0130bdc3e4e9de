//! The dead letters of a queue, as the dashboard looks at them and acts on them: with the same
//! reader and the same replay as `wasq dlq`. What is read is hidden from others meanwhile, and put
//! back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::growing_list::GrowingList;
use bytes::Bytes;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wasq_core::message::{MessageId, UnixMs};
use wasq_ledgers::Ledger;
use wasq_queues::{BATCH_MAX_ENTRIES, Queue, QueueError};

use crate::dlq::filter::Filter;
use crate::dlq::letter_view::LetterView;
use crate::dlq::listing::{GroupKey, Row};
use crate::dlq::plan::{Event, Plan, Summary};
use crate::dlq::reader::{Notes, Reader};
use crate::dlq::replay::Replay;
use crate::dlq::replayed_message::ReplayOptions;
use crate::dlq::targets::ReplayTargets;

/// Letters that one look reads at most, and one action acts on. `wasq dlq` knows no such limit.
pub const LETTERS_MAX: u64 = 1_000;
/// How long a look waits for another that is under way.
const TURN_WAIT: Duration = Duration::from_secs(2);
/// How long an action may take before it ends between two batches.
const ACTION_TIME: Duration = Duration::from_secs(60);

/// Where a queue's dead letters are.
pub struct DeadLetterQueue {
    /// The queue's name in the config.
    pub name: String,
    queue: Arc<dyn Queue>,
    pub dlq: Arc<dyn Queue>,
    /// One look into a DLQ at a time: two would see a part each. Queues with one DLQ share it.
    turn: Arc<Mutex<()>>,
}

/// What a look has seen.
pub struct Looked {
    pub rows: Vec<Row>,
    pub notes: Notes,
}

/// Why an action did nothing.
#[derive(Debug, thiserror::Error)]
pub enum LettersError {
    #[error("the DLQ cannot be read: {0}")]
    Queue(#[from] QueueError),
    #[error("there is no such letter in the DLQ now; it was replayed or discarded, or another command has it in hand")]
    Gone,
    #[error("somebody looks into this DLQ just now, which hides its letters from others; try again in a moment")]
    Busy,
    #[error("it stays in the DLQ: {0}")]
    Kept(String),
    #[error("the work on it has panicked; letters in hand show again when their visibility ends")]
    Panicked,
}

/// Where the letters of all open queues are.
#[derive(Default)]
pub struct DeadLetterQueues {
    /// By DLQ.
    turns: parking_lot::Mutex<HashMap<String, Arc<Mutex<()>>>>,
    list: GrowingList<Arc<DeadLetterQueue>>,
}

impl DeadLetterQueues {
    /// Adds an open queue with its DLQ.
    pub fn add(&self, name: &str, queue: &Arc<dyn Queue>, dlq: &Arc<dyn Queue>) {
        let turn = self.turns.lock().entry(account_and_name(dlq.url()).to_owned()).or_default().clone();
        self.list.push(Arc::new(DeadLetterQueue {
            name: name.to_owned(),
            queue: queue.clone(),
            dlq: dlq.clone(),
            turn,
        }));
    }

    /// In the order in which they were opened.
    pub fn list(&self) -> Arc<Vec<Arc<DeadLetterQueue>>> {
        self.list.items()
    }
}

/// A queue's URL without the endpoint, of which AWS has several.
fn account_and_name(url: &str) -> &str {
    url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or(url, |(_, path)| path)
}

impl DeadLetterQueue {
    /// Reads the letters, at most [`LETTERS_MAX`], and puts them back; also when nobody waits for
    /// them any more.
    pub async fn look(self: Arc<Self>, ledger: Arc<dyn Ledger>) -> Result<Looked, LettersError> {
        let stop = CancellationToken::new();
        let _nobody_waits = stop.clone().drop_guard();
        self.in_turn(move |dlq| async move {
            let mut reader = Reader::open(&*dlq.dlq, &ledger, None).await?;
            let read = async {
                let mut rows = Vec::new();
                while (rows.len() as u64) < LETTERS_MAX && !stop.is_cancelled() {
                    let Some(batch) = reader.next(BATCH_MAX_ENTRIES).await? else {
                        return Ok((rows, reader.unseen().await?));
                    };
                    rows.extend(batch.iter().map(Row::of));
                }
                let more = format!("the first {LETTERS_MAX} letters are shown; `wasq dlq` reads them all");
                Ok::<_, QueueError>((rows, vec![more]))
            };
            let read = read.await;
            let stuck = reader.put_back().await;
            let (rows, mut notes) = read?;
            notes.extend(stuck);
            Ok(Looked { rows, notes })
        })
        .await
    }

    /// One letter, whole; it stays where it is.
    pub async fn show(self: Arc<Self>, ledger: Arc<dyn Ledger>, id: MessageId) -> Result<LetterView, LettersError> {
        let stop = CancellationToken::new();
        let _nobody_waits = stop.clone().drop_guard();
        self.in_turn(move |dlq| async move {
            let mut reader = Reader::open(&*dlq.dlq, &ledger, None).await?;
            let view = find(&mut reader, &id, &stop).await;
            log_notes(reader.put_back().await);
            view
        })
        .await
    }

    /// Sends one letter back to its queue; with another body, if one is given.
    pub async fn replay(
        self: Arc<Self>,
        ledger: Arc<dyn Ledger>,
        id: MessageId,
        body: Option<Bytes>,
    ) -> Result<(), LettersError> {
        self.in_turn(move |dlq| async move {
            let mut reader = Reader::open(&*dlq.dlq, &ledger, None).await?;
            let done = match find(&mut reader, &id, &CancellationToken::new()).await {
                Ok(view) => {
                    let how = ReplayOptions { body, ..ReplayOptions::default() };
                    let (summary, kept) = dlq.run(&mut reader, Filter::default(), how, Some(&view)).await;
                    if summary.replayed > 0 { Ok(()) } else { Err(LettersError::Kept(kept.unwrap_or_default())) }
                }
                Err(error) => Err(error),
            };
            log_notes(reader.put_back().await);
            done
        })
        .await
    }

    /// Sends a group back, at most [`LETTERS_MAX`]. The answer is how many went, and why the first
    /// that stayed did.
    pub async fn replay_group(
        self: Arc<Self>,
        ledger: Arc<dyn Ledger>,
        group: GroupKey,
    ) -> Result<(u64, Option<String>), LettersError> {
        self.in_turn(move |dlq| async move {
            let mut reader = Reader::open(&*dlq.dlq, &ledger, None).await?;
            let (summary, kept) = dlq.run(&mut reader, group.filter(), ReplayOptions::default(), None).await;
            log_notes(reader.put_back().await);
            Ok((summary.replayed, kept))
        })
        .await
    }

    /// Deletes one letter for good.
    pub async fn discard(self: Arc<Self>, ledger: Arc<dyn Ledger>, id: MessageId) -> Result<(), LettersError> {
        self.in_turn(move |dlq| async move {
            let mut reader = Reader::open(&*dlq.dlq, &ledger, None).await?;
            let done = match find(&mut reader, &id, &CancellationToken::new()).await {
                Ok(view) => match reader.delete(&[view.id().clone()]).await.pop() {
                    None => Ok(()),
                    Some((_, error)) => Err(LettersError::Kept(error.to_string())),
                },
                Err(error) => Err(error),
            };
            log_notes(reader.put_back().await);
            done
        })
        .await
    }

    /// Deletes a group for good, at most [`LETTERS_MAX`], and nothing that failed after `began`.
    /// The answer is how many.
    pub async fn discard_group(
        self: Arc<Self>,
        ledger: Arc<dyn Ledger>,
        group: GroupKey,
        began: UnixMs,
    ) -> Result<u64, LettersError> {
        self.in_turn(move |dlq| async move {
            let mut reader = Reader::open(&*dlq.dlq, &ledger, None).await?;
            let filter = Filter { failed_by: Some(began), ..group.filter() };
            let work = async {
                let mut count = 0;
                while count < LETTERS_MAX
                    && let Some(batch) = reader.next(BATCH_MAX_ENTRIES).await?
                {
                    let ids: Vec<_> = batch.iter().filter(|f| filter.matches(f)).map(|f| f.id().clone()).collect();
                    count += (ids.len() - reader.delete(&ids).await.len()) as u64;
                }
                Ok(count)
            };
            let done = work.await;
            log_notes(reader.put_back().await);
            done
        })
        .await
    }

    /// Works on the letters while nobody else of this host does. Until it is its turn it holds no
    /// task and no thread; then it holds one, since a reader stays on the thread that it was opened
    /// on. Once begun it goes on to its end, so that letters in hand are put back although whoever
    /// asked has gone.
    async fn in_turn<T, F>(
        self: Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Result<T, LettersError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LettersError>>,
    {
        let turn: OwnedMutexGuard<()> =
            tokio::time::timeout(TURN_WAIT, self.turn.clone().lock_owned()).await.map_err(|_| LettersError::Busy)?;
        let runtime = tokio::runtime::Handle::current();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            runtime.block_on(work(self))
        });
        done.await.unwrap_or(Err(LettersError::Panicked))
    }

    async fn run(
        &self,
        reader: &mut Reader<'_>,
        filter: Filter,
        how: ReplayOptions,
        only: Option<&LetterView>,
    ) -> (Summary, Option<String>) {
        let mut sources = ReplayTargets::new(self.dlq.clone(), self.queue.clone(), true, None);
        let plan = Plan {
            began: wasq_core::clock::unix_ms(),
            filter,
            limit: Some(LETTERS_MAX),
            rate: None,
            canary: None,
            // Whoever clicks looks at what comes of it; `wasq dlq replay` can watch by itself.
            failures_max: 1.0,
            how,
        };
        let stop = CancellationToken::new();
        let mut kept = None;
        let mut tell = |event: Event<'_>| match event {
            Event::Kept { why, .. } => drop(kept.get_or_insert_with(|| why.to_owned())),
            Event::Twin { id, why } => tracing::warn!(message_id = %id, why, "replayed, and a twin stays in the DLQ"),
            Event::Replayed { .. } | Event::CanarySent { .. } | Event::CanarySettled { .. } => {}
        };
        let (exact, ordered) = (self.dlq.is_exact(), self.dlq.is_fifo());
        let engine = Replay { reader, sources: &mut sources, plan: &plan, stop: &stop, exact, ordered };
        let timer = stop.clone();
        let _in_time = AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep(ACTION_TIME).await;
            timer.cancel();
        }));
        let summary = match only {
            Some(view) => engine.these(std::slice::from_ref(view), &mut tell).await,
            None => engine.run(&mut tell).await,
        };
        (summary, kept)
    }
}

/// Reads on until the letter is met. It is held, with all that was read on the way.
async fn find(reader: &mut Reader<'_>, id: &MessageId, stop: &CancellationToken) -> Result<LetterView, LettersError> {
    while !stop.is_cancelled()
        && let Some(batch) = reader.next(BATCH_MAX_ENTRIES).await?
    {
        if let Some(view) = batch.into_iter().find(|view| view.id() == id) {
            return Ok(view);
        }
    }
    Err(LettersError::Gone)
}

fn log_notes(notes: Notes) {
    for note in notes {
        tracing::warn!(note, "after a look into a DLQ");
    }
}
