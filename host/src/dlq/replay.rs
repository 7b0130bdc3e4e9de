//! The replay of many letters: batch by batch, at a rate, with a canary, and with an eye on those
//! that fail again.
//!
//! Each batch is sent and deleted before the next is read. Killed in between, it leaves letters
//! that were sent already: run again, it sends twins with the same keys, which the ledger knows.
//! What was replayed is gone from the DLQ, so running it again goes on where it ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;
use wasq_core::message::{Key, MessageId};
use wasq_queues::{Outgoing, Queue, QueueError, QueueRules, send_in_order};

use super::letter_view::LetterView;
use super::plan::{Canary, Event, OnEvent, Plan, ReplayEnd, Summary};
use super::reader::{QueueDepth, Reader};
use super::targets::ReplayTargets;
use super::watch::{FailureWatch, Pace};

/// Letters in a row that could not be sent, after which the replay ends: it is not the letters.
pub const UNSENT_MAX: u64 = 50;
/// How often the DLQ's count is asked whether letters come back.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the source queues' counts are asked while a canary settles; and at an exact endpoint.
const SETTLE_LOOK: Duration = Duration::from_secs(2);
const SETTLE_LOOK_EXACT: Duration = Duration::from_millis(250);
/// How long SQS's counts may lag behind (GetQueueAttributes' page says a minute). On an exact
/// endpoint they do not.
const LAG: Duration = Duration::from_secs(60);
/// A look through the whole DLQ is worth so many times the time that it took before the next one.
const SCAN_SHARE: u32 = 10;

/// A replay under way.
pub struct Replay<'a, 'r> {
    pub reader: &'a mut Reader<'r>,
    pub sources: &'a mut ReplayTargets,
    pub plan: &'a Plan,
    pub stop: &'a CancellationToken,
    /// The DLQ's counts can be trusted at once.
    pub exact: bool,
    /// The DLQ is FIFO: no letter overtakes another of its group.
    pub ordered: bool,
}

/// A queue, and what goes there.
type ToQueue<'l> = (Arc<dyn Queue>, Vec<Send<'l>>);

/// A message to send, and the letters that it settles.
struct Send<'l> {
    source: Option<Key>,
    message: Outgoing,
    letters: Vec<&'l LetterView>,
}

/// Names the message that a letter was. Sent once, it runs again in every plugin that is not done.
/// Sent once for each letter it would fail them all once for each letter.
fn source(view: &LetterView) -> Option<Key> {
    view.message()
}

/// What a replay knows of itself.
struct Progress<'t> {
    tell: OnEvent<'t>,
    watch: FailureWatch,
    /// Letters that are settled by what was sent.
    replayed: u64,
    /// The messages that they were, see [`source`].
    covered: HashSet<Key>,
    kept: u64,
    kept_in_a_row: u64,
    /// Groups of which a letter stayed: none may overtake it.
    blocked: HashSet<String>,
    /// The queues that letters were sent to.
    queues: HashMap<String, Arc<dyn Queue>>,
    looked_at: Instant,
    scan_from: Instant,
    /// Newcomers that the DLQ's count tells of and a look through it did not find.
    phantoms: u64,
}

impl Replay<'_, '_> {
    /// Replays until it ends. Whatever it read and did not replay is still held by the reader.
    pub async fn run(mut self, tell: OnEvent<'_>) -> Summary {
        let mut progress = Progress::new(self.plan, tell);
        let ended = self.until_it_ends(&mut progress).await.unwrap_or_else(ReplayEnd::Broken);
        progress.summary(ended)
    }

    /// Replays these letters only, which the reader holds.
    pub async fn these(mut self, letters: &[LetterView], tell: OnEvent<'_>) -> Summary {
        let mut progress = Progress::new(self.plan, tell);
        self.send(&mut progress, letters).await;
        progress.summary(ReplayEnd::Through)
    }

    async fn until_it_ends(&mut self, progress: &mut Progress<'_>) -> Result<ReplayEnd, QueueError> {
        let mut pace = Pace::new(self.plan.rate, clock::now());
        let mut canary = self.plan.canary;
        loop {
            if let Some(ended) = self.reason_to_end(progress) {
                return Ok(ended);
            }
            // A letter is a message of its own, or rides with another: so the canary gets no more
            // messages than it may have.
            let for_canary = canary.map(|canary| canary.messages - progress.watch.replayed());
            let for_limit = self.plan.limit.map(|limit| limit - progress.replayed);
            let room = for_canary.into_iter().chain(for_limit).min().map_or(usize::MAX, |room| room as usize);
            let Some(batch) = self.reader.next(pace.batch().min(room)).await? else { return Ok(ReplayEnd::Through) };
            let mut letters = Vec::with_capacity(batch.len());
            for view in batch {
                if !progress.watch.is_new(&view) && self.plan.filter.matches(&view) {
                    letters.push(view);
                }
            }
            if progress.watch.too_many() {
                return Ok(ReplayEnd::Failures);
            }
            let went = self.send(progress, &letters).await;
            if let Some(done) = canary.filter(|canary| progress.watch.replayed() >= canary.messages) {
                canary = None;
                if let Some(ended) = self.settle(progress, &done).await? {
                    return Ok(ended);
                }
            } else {
                self.look(progress).await?;
            }
            pace.went(went, clock::now());
            self.sleep_until(pace.next()).await;
        }
    }

    fn reason_to_end(&self, progress: &Progress<'_>) -> Option<ReplayEnd> {
        if progress.watch.too_many() {
            Some(ReplayEnd::Failures)
        } else if self.stop.is_cancelled() {
            Some(ReplayEnd::Stopped)
        } else if progress.kept_in_a_row >= UNSENT_MAX {
            Some(ReplayEnd::Unsendable)
        } else if progress.watch.is_full() {
            Some(ReplayEnd::Full)
        } else {
            self.plan.limit.is_some_and(|limit| progress.replayed >= limit).then_some(ReplayEnd::Limit)
        }
    }

    /// Sends a batch, each letter to its queue, and deletes what was sent. The answer is how many
    /// messages these were.
    async fn send(&mut self, progress: &mut Progress<'_>, letters: &[LetterView]) -> usize {
        // What would stay in the DLQ is not sent.
        let ids: Vec<_> = letters.iter().map(|view| view.id().clone()).collect();
        let refused: HashMap<_, _> = self.reader.refused_deletes(&ids).into_iter().collect();
        let (stays, letters): (Vec<_>, Vec<_>) = letters.iter().partition(|view| refused.contains_key(view.id()));
        for view in stays {
            progress.block_group_of(view);
            progress.keep(view, &refused[view.id()].to_string());
        }
        let (mut settled, by_queue) = self.collect(progress, &letters).await;
        let mut went = 0;
        for (queue, sends) in by_queue {
            let (batch, messages): (Vec<_>, Vec<_>) =
                sends.into_iter().map(|send| (send.letters, send.message)).unzip();
            let answers = send_in_order(&*queue, &messages).await;
            for (letters, answer) in batch.into_iter().zip(answers) {
                match answer {
                    Ok(id) => {
                        went += 1;
                        progress.sent(letters[0], id);
                        settled.extend(letters);
                    }
                    Err(error) => {
                        let why = format!("cannot send it to {}: {error}", queue.name());
                        for view in letters {
                            progress.block_group_of(view);
                            progress.keep(view, &why);
                        }
                    }
                }
            }
            progress.queues.entry(queue.url().to_owned()).or_insert(queue);
        }
        let ids: Vec<_> = settled.iter().map(|view| view.id().clone()).collect();
        for view in settled {
            progress.replayed += 1;
            (progress.tell)(Event::Replayed { view });
        }
        for (id, error) in self.reader.delete(&ids).await {
            (progress.tell)(Event::Twin { id: &id, why: &error.to_string() });
        }
        went
    }

    /// The messages of a batch by their queues; before them the letters that a message of this
    /// replay has settled already.
    async fn collect<'l>(
        &mut self,
        progress: &mut Progress<'_>,
        letters: &[&'l LetterView],
    ) -> (Vec<&'l LetterView>, Vec<ToQueue<'l>>) {
        let (mut settled, mut by_queue) = (Vec::new(), Vec::<ToQueue<'l>>::new());
        for &view in letters {
            let source = source(view);
            if source.is_some_and(|source| progress.covered.contains(&source)) {
                settled.push(view);
                continue;
            }
            let mut sends = by_queue.iter_mut().flat_map(|(_, sends)| sends);
            if let Some(send) = sends.find(|send| source.is_some() && send.source == source) {
                send.letters.push(view);
                continue;
            }
            let message = match view.group().filter(|_| self.ordered) {
                Some(group) if progress.blocked.contains(group) => Err("one before it in its group stays".to_owned()),
                Some(_) | None => self.message(view).await,
            };
            match message {
                Ok((queue, message)) => {
                    let send = Send { source, message, letters: vec![view] };
                    match by_queue.iter_mut().find(|(known, _)| known.url() == queue.url()) {
                        Some((_, sends)) => sends.push(send),
                        None => by_queue.push((queue, vec![send])),
                    }
                }
                Err(why) => {
                    progress.block_group_of(view);
                    progress.keep(view, &why);
                }
            }
        }
        (settled, by_queue)
    }

    /// What a letter becomes, and where it goes.
    async fn message(&mut self, view: &LetterView) -> Result<(Arc<dyn Queue>, Outgoing), String> {
        let queue = self.sources.of(view).await?;
        let message =
            view.replayed(&QueueRules::of_broker(&*queue), &self.plan.how).map_err(|unfit| unfit.to_string())?;
        Ok((queue, message))
    }

    /// Waits until the canary is settled, and says why the replay must end, if it must.
    async fn settle(&mut self, progress: &mut Progress<'_>, canary: &Canary) -> Result<Option<ReplayEnd>, QueueError> {
        let messages = progress.watch.replayed();
        (progress.tell)(Event::CanarySent { messages, timeout: canary.timeout });
        let deadline = clock::now() + canary.timeout;
        let mut empty_since = None;
        loop {
            let mut waiting = 0;
            for queue in progress.queues.values() {
                waiting += QueueDepth::of(&**queue).await?.total();
            }
            self.reader.renew().await;
            let now = clock::now();
            if waiting > 0 {
                empty_since = None;
            }
            let is_empty = waiting == 0 && now - *empty_since.get_or_insert(now) >= canary.quiet;
            let may_all_be_back = self.newcomers(progress).await? >= messages && now >= progress.scan_from;
            if is_empty || may_all_be_back || now >= deadline {
                self.scan(progress).await?;
                if progress.watch.canary_failed() {
                    return Ok(Some(ReplayEnd::Failures));
                }
                if is_empty || progress.watch.failed() >= messages {
                    (progress.tell)(Event::CanarySettled { failed: progress.watch.failed(), messages });
                    return Ok(None);
                }
                if now >= deadline {
                    return Ok(Some(ReplayEnd::CanaryTimeout { waiting }));
                }
            }
            let look = if self.exact { SETTLE_LOOK_EXACT } else { SETTLE_LOOK };
            self.sleep_until((now + look).min(deadline)).await;
            if self.stop.is_cancelled() {
                return Ok(Some(ReplayEnd::Stopped));
            }
        }
    }

    /// Looks through the DLQ if its count says that too many letters may have come back.
    async fn look(&mut self, progress: &mut Progress<'_>) -> Result<(), QueueError> {
        let now = clock::now();
        if now < progress.looked_at + LOOK_EVERY || now < progress.scan_from {
            return Ok(());
        }
        progress.looked_at = now;
        let newcomers = self.newcomers(progress).await?;
        if progress.watch.is_suspicious(newcomers) {
            self.scan(progress).await?;
        }
        Ok(())
    }

    /// Reads the DLQ to its end, to see which letters came back. The others are put back, to be
    /// replayed.
    async fn scan(&mut self, progress: &mut Progress<'_>) -> Result<(), QueueError> {
        let began = clock::now();
        self.reader.scan(|view| progress.watch.is_new(view)).await?;
        progress.phantoms = 0;
        progress.phantoms = self.newcomers(progress).await?.saturating_sub(progress.watch.newcomers());
        let now = clock::now();
        let lag = if self.exact { Duration::ZERO } else { LAG };
        progress.scan_from = now + ((now - began) * SCAN_SHARE).max(lag);
        Ok(())
    }

    async fn newcomers(&self, progress: &Progress<'_>) -> Result<u64, QueueError> {
        Ok(self.reader.newcomers().await?.saturating_sub(progress.phantoms))
    }

    /// Sleeps, unless the replay is stopped.
    async fn sleep_until(&self, at: Instant) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep_until(at) => {}
        }
    }
}

impl<'t> Progress<'t> {
    fn new(plan: &Plan, tell: OnEvent<'t>) -> Self {
        let now = clock::now();
        Self {
            tell,
            watch: FailureWatch::new(plan.began, plan.failures_max),
            replayed: 0,
            covered: HashSet::new(),
            kept: 0,
            kept_in_a_row: 0,
            blocked: HashSet::new(),
            queues: HashMap::new(),
            looked_at: now,
            scan_from: now,
            phantoms: 0,
        }
    }

    fn summary(self, ended: ReplayEnd) -> Summary {
        let (messages, failed_again) = (self.watch.replayed(), self.watch.failed());
        Summary { replayed: self.replayed, messages, failed_again, kept: self.kept, ended }
    }

    fn sent(&mut self, view: &LetterView, id: MessageId) {
        self.watch.sent(id);
        self.covered.extend(source(view));
        self.kept_in_a_row = 0;
    }

    fn block_group_of(&mut self, view: &LetterView) {
        self.blocked.extend(view.group().map(str::to_owned));
    }

    fn keep(&mut self, view: &LetterView, why: &str) {
        self.kept += 1;
        self.kept_in_a_row += 1;
        (self.tell)(Event::Kept { view, why });
    }
}
