//! The world's ledger, as one host reaches it: the same decisions as in the real stores, in memory,
//! with calls that fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wasq_core::message::{Key, UnixMs};
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::documents::{DocumentMap, Documents};
use wasq_ledgers::entry::{self, Entry, State as EntryState, Steps};
use wasq_ledgers::timers::{Timers, Timetable};
use wasq_ledgers::{Claim, ClaimRequest, Completion, Ended, Fence, Finish, Ledger, LedgerError};

use super::documents::SimDocuments;
use super::host::Seat;
use super::timers::SimTimers;
use super::world::{EPOCH_MS, State};

/// How long a host may go on after its lease has ended, before it must have noticed: a tick of its
/// keeper, and the turns of the hosts, which are not all at the same moment.
const NOTICED_WITHIN_MS: u64 = 1_500;

/// What the ledger holds.
#[derive(Default)]
pub struct Books {
    entries: BTreeMap<Key, Entry>,
    /// When each key's lease ends.
    leases_ms: BTreeMap<Key, u64>,
    steps: BTreeMap<(Key, String), Vec<u8>>,
    envelopes: BTreeMap<String, Vec<u8>>,
    pauses: BTreeMap<(String, Target), Pause>,
    /// By their services.
    timers: BTreeMap<String, Timetable>,
    /// By their services.
    documents: BTreeMap<String, DocumentMap>,
    fences: u64,
}

impl Books {
    /// How long a live lease on the key still lasts.
    fn held_for(&self, key: Key, now_ms: u64) -> Option<Duration> {
        let left_ms = self.leases_ms.get(&key)?.saturating_sub(now_ms);
        (left_ms > 0).then(|| Duration::from_millis(left_ms))
    }

    fn holder(&self, key: Key, now_ms: u64) -> Option<Fence> {
        let entry = self.entries.get(&key).filter(|entry| entry.state == EntryState::Claimed)?;
        self.held_for(key, now_ms).map(|_| entry.fence)
    }

    fn is_claimed_by(&self, key: Key, fence: Fence) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.fence == fence && entry.state == EntryState::Claimed)
    }

    /// A service's timers, and what gives out the fence of each change of them.
    pub(super) fn timers(&mut self, service: &str) -> (&mut Timetable, impl FnMut() -> Fence) {
        let fences = &mut self.fences;
        let next_fence = move || {
            *fences += 1;
            Fence(*fences)
        };
        (self.timers.entry(service.to_owned()).or_default(), next_fence)
    }

    /// A service's documents, and the fence for a change of one.
    pub(super) fn documents(&mut self, service: &str) -> (&mut DocumentMap, Fence) {
        self.fences += 1;
        (self.documents.entry(service.to_owned()).or_default(), Fence(self.fences))
    }

    fn forget_steps(&mut self, key: Key) {
        self.steps.retain(|(of, _), _| *of != key);
    }
}

/// The ledger, from one host's side.
pub struct SimLedger {
    seat: Arc<Seat>,
}

impl SimLedger {
    pub fn new(seat: Arc<Seat>) -> Self {
        Self { seat }
    }

    /// A call that fails as the seed has it: before its effect, or after it.
    pub(super) async fn call<T>(
        &self,
        effect: impl FnOnce(&mut State, u64) -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError> {
        self.seat.may_die().await;
        self.seat.travel().await;
        let answer = {
            let now_ms = self.seat.now_ms();
            let state = &mut *self.seat.world.lock();
            if state.outage_until_ms > now_ms || state.draw_fault(|rates| rates.ledger_before) {
                return Err(unavailable());
            }
            effect(state, now_ms)
        };
        self.seat.may_die().await;
        self.seat.travel().await;
        if self.seat.world.lock().draw_fault(|rates| rates.ledger_after) { Err(unavailable()) } else { answer }
    }

    /// A call about several keys: each has its own effect, or none.
    pub(super) async fn batch<P: Sync, T: Send>(
        &self,
        parts: &[P],
        effect: impl Fn(&mut State, &P, u64) -> Result<T, LedgerError> + Send + Sync,
    ) -> Vec<Result<T, LedgerError>> {
        let answers = self.call(|state, now_ms| {
            let mut one = |part| match state.draw_fault(|rates| rates.entry) {
                true => Err(unavailable()),
                false => effect(state, part, now_ms),
            };
            Ok(parts.iter().map(&mut one).collect())
        });
        answers.await.unwrap_or_else(|error| parts.iter().map(|_| Err(error.clone())).collect())
    }

    /// A step is asked for or told: the run under this claim is still going on.
    fn watch_use(&self, key: Key, fence: Fence, starts: bool) {
        let now_ms = self.seat.now_ms();
        let state = &mut *self.seat.world.lock();
        let host = self.seat.host;
        let mut verdict = Ok(());
        if starts {
            let holder = state.books.holder(key, now_ms);
            state.summary.runs += 1;
            self.seat.tell_runs(&mut state.watch);
            verdict = state.watch.run_starts(key, fence, host, holder, now_ms);
            state.trace(now_ms, || format!("host {host} runs {key:?} under {fence:?}"));
        }
        if state.books.entries.get(&key).is_some_and(|entry| entry.fence == fence)
            && let Some(end_ms) = state.books.leases_ms.get(&key)
        {
            let ended_ms = now_ms.saturating_sub(*end_ms);
            verdict = verdict.and(state.watch.used_after_its_end(key, fence, host, ended_ms, NOTICED_WITHIN_MS));
        }
        if let Err(what) = verdict {
            state.violated(now_ms, what);
        }
    }
}

fn claim(state: &mut State, host: usize, key: Key, request: &ClaimRequest, now_ms: u64) -> Claim {
    let books = &mut state.books;
    books.fences += 1;
    let fence = Fence(books.fences);
    let found = books.entries.get(&key).cloned();
    let held_for = books.held_for(key, now_ms);
    let (claim, change) = entry::claim(found, held_for, request, fence, UnixMs(EPOCH_MS + now_ms));
    if let Some(change) = change {
        if change.steps == Steps::Forgotten {
            books.forget_steps(key);
        }
        books.entries.insert(key, change.entry);
        books.leases_ms.insert(key, now_ms + request.lease.as_millis() as u64);
        if let Err(what) = state.watch.claimed(key, fence, &request.message_id, host, now_ms) {
            state.violated(now_ms, what);
        }
    }
    let id = &request.message_id;
    state.trace(now_ms, || format!("host {host} claims {key:?} for {id}: {claim:?}"));
    claim
}

fn end(
    state: &mut State,
    host: usize,
    key: Key,
    fence: Fence,
    finish: &Finish,
    now_ms: u64,
) -> Result<(), LedgerError> {
    let books = &mut state.books;
    let found = books.entries.get(&key).cloned();
    let decided = entry::finish(found, fence, finish.clone(), UnixMs(EPOCH_MS + now_ms));
    if let Ok(Some(change)) = &decided {
        if change.steps == Steps::Forgotten {
            books.forget_steps(key);
        }
        books.entries.insert(key, change.entry.clone());
        books.leases_ms.remove(&key);
        if let Err(what) = state.watch.finished(key, fence, finish) {
            state.violated(now_ms, what);
        }
    }
    let state_then = decided.as_ref().map(|change| change.as_ref().map(|change| &change.entry.state));
    state.trace(now_ms, || format!("host {host} finishes {key:?} under {fence:?} as {finish:?}: {state_then:?}"));
    decided.map(|_| ())
}

fn complete(state: &mut State, host: usize, key: Key, completion: &Completion, now_ms: u64) {
    let books = &mut state.books;
    books.fences += 1;
    let fence = Fence(books.fences);
    let found = books.entries.get(&key).cloned();
    let id = &completion.message_id;
    if let Some(change) = entry::complete(found, completion.clone(), fence, UnixMs(EPOCH_MS + now_ms)) {
        books.forget_steps(key);
        books.entries.insert(key, change.entry);
        books.leases_ms.remove(&key);
        if let Err(what) = state.watch.completed(key, fence) {
            state.violated(now_ms, what);
        }
    }
    state.trace(now_ms, || format!("host {host} completes {key:?} for {id} without a claim"));
}

fn unavailable() -> LedgerError {
    LedgerError::Unavailable("as the seed has it".into())
}

/// Steps whose names begin so are the host's own.
fn is_guests(name: &str) -> bool {
    !name.starts_with('\0')
}

/// The newest message of which the host records that it is to be dead-lettered: behind four bytes,
/// JSON with its letter.
fn verdict(name: &str, value: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(value.get(4..).filter(|_| !is_guests(name))?).ok()?;
    Some(json["letters"].as_array()?.last()?["message_id"].as_str()?.to_owned())
}

#[async_trait]
impl Ledger for SimLedger {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        self.call(|state, now_ms| Ok(claim(state, self.seat.host, key, request, now_ms))).await
    }

    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        self.batch(claims, |state, (key, request), now_ms| Ok(claim(state, self.seat.host, *key, request, now_ms)))
            .await
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        let answers = self.call(|state, now_ms| {
            let mut extend = |(key, fence): &(Key, Fence)| {
                let ours = state.books.is_claimed_by(*key, *fence);
                if ours {
                    state.books.leases_ms.insert(*key, now_ms + lease.as_millis() as u64);
                }
                Ok(ours)
            };
            Ok(claims.iter().map(&mut extend).collect())
        });
        answers.await.unwrap_or_else(|error| vec![Err(error); claims.len()])
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        self.call(|state, now_ms| end(state, self.seat.host, key, fence, &finish, now_ms)).await
    }

    async fn finish_batch(&self, ends: Vec<(Key, Fence, Finish)>) -> Vec<Result<(), LedgerError>> {
        self.batch(&ends, |state, (key, fence, finish), now_ms| {
            end(state, self.seat.host, *key, *fence, finish, now_ms)
        })
        .await
    }

    async fn known_batch(&self, keys: &[Key]) -> Vec<Result<bool, LedgerError>> {
        self.batch(keys, |state, key, _| Ok(state.books.entries.contains_key(key))).await
    }

    async fn complete_batch(&self, completions: Vec<(Key, Completion)>) -> Vec<Result<(), LedgerError>> {
        self.batch(&completions, |state, (key, completion), now_ms| {
            complete(state, self.seat.host, *key, completion, now_ms);
            Ok(())
        })
        .await
    }

    async fn ended(&self, key: Key) -> Result<Option<Ended>, LedgerError> {
        self.call(|state, _| Ok(state.books.entries.get(&key).and_then(|entry| entry.state.clone().ended()))).await
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        if is_guests(name) {
            self.watch_use(key, fence, name == "s0");
        }
        self.call(|state, _| match state.books.is_claimed_by(key, fence) {
            true => Ok(state.books.steps.get(&(key, name.to_owned())).cloned()),
            false => Err(LedgerError::Stale),
        })
        .await
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        if is_guests(name) {
            self.watch_use(key, fence, false);
        }
        self.call(|state, now_ms| {
            if !state.books.is_claimed_by(key, fence) {
                return Err(LedgerError::Stale);
            }
            let before = state.books.steps.insert((key, name.to_owned()), value.to_vec());
            if is_guests(name) && before.is_some() {
                state.violated(now_ms, format!("the step `{name}` of {key:?} is done a second time"));
            }
            if let Ok(said) = serde_json::from_slice::<String>(value) {
                match name {
                    "token" => state.tokens.push((key, said)),
                    "members" => {
                        if let Err(what) = state.watch.read(&said) {
                            state.violated(now_ms, what);
                        }
                    }
                    "came" => {
                        if let Err(what) = state.watch.answers.came(key, &said) {
                            state.violated(now_ms, what);
                        }
                    }
                    _ => {}
                }
            }
            if let Some(message) = verdict(name, value)
                && state.watch.condemned(key, fence, &message)
            {
                state.summary.verdicts += 1;
                let host = self.seat.host;
                state.trace(now_ms, || format!("host {host} records the verdict on {key:?} under {fence:?}"));
            }
            Ok(())
        })
        .await
    }

    async fn put_envelope(&self, id: &str, json: &[u8], _ttl: Duration) -> Result<(), LedgerError> {
        self.call(|state, _| {
            state.books.envelopes.insert(id.to_owned(), json.to_vec());
            Ok(())
        })
        .await
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.call(|state, _| Ok(state.books.envelopes.get(id).cloned())).await
    }

    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        self.call(|state, _| {
            state.books.pauses.insert((service.to_owned(), pause.target.clone()), pause.clone());
            Ok(())
        })
        .await
    }

    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError> {
        self.call(|state, _| {
            state.books.pauses.remove(&(service.to_owned(), target.clone()));
            Ok(())
        })
        .await
    }

    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        self.call(|state, _| {
            let all = state.books.pauses.iter().filter(|((of, _), _)| of == service);
            Ok(all.map(|(_, pause)| pause.clone()).collect())
        })
        .await
    }

    fn timers(&self, service: &str) -> Option<Arc<dyn Timers>> {
        Some(Arc::new(SimTimers::new(Self { seat: self.seat.clone() }, service)))
    }

    fn documents(&self, service: &str) -> Option<Arc<dyn Documents>> {
        Some(Arc::new(SimDocuments::new(Self { seat: self.seat.clone() }, service)))
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.call(|_, _| Ok(())).await
    }
}
