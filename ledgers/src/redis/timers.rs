//! The timers, in a sorted set of ids by when they can be taken, and a hash with what they are: one
//! script an operation, by the server's clock.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::Script;
use wasq_core::message::UnixMs;

use super::script::{CLOCK, answer_words};
use super::store::{ScriptCall, Store};
use crate::ledger::{Fence, LedgerError};
use crate::remote::{span_ms, until};
use crate::timers::{
    Cancelled, Counts, Due, END_OF_TIME, LIST_MAX, List, Listed, NewTimer, Place, Set, TAKE_MAX, TAKE_MAX_BYTES, Taken,
    Timer, TimerId, Timers, Update, When,
};

/// The timers of a service in a Redis server.
pub struct RedisTimers {
    store: Store,
    scripts: Scripts,
    /// What all scripts are about. Both names have the same part in braces, so that they live in
    /// one place.
    names: [String; 2],
}

struct Scripts {
    set: Script,
    take: Script,
    done: Script,
    update: Script,
    cancel: Script,
    get: Script,
    list: Script,
    counts: Script,
}

impl Scripts {
    fn new() -> Self {
        let script = |own: &str| Script::new(&format!("{CLOCK}\n{}\n{own}", include_str!("timers/common.lua")));
        Self {
            set: script(include_str!("timers/set.lua")),
            take: script(include_str!("timers/take.lua")),
            done: script(include_str!("timers/done.lua")),
            update: script(include_str!("timers/update.lua")),
            cancel: script(include_str!("timers/cancel.lua")),
            get: script(include_str!("timers/get.lua")),
            list: script(include_str!("timers/list.lua")),
            counts: script(include_str!("timers/counts.lua")),
        }
    }
}

impl RedisTimers {
    pub fn new(store: Store, prefix: &str, service: &str) -> Self {
        let names = ["due", "timers"].map(|part| format!("{prefix}:timers:{{{service}}}:{part}"));
        Self { store, scripts: Scripts::new(), names }
    }

    fn call(&self) -> ScriptCall {
        ScriptCall::new(self.names.clone())
    }

    /// One script for each part of a batch, all of them on the way at once.
    async fn each<T>(
        &self,
        script: &Script,
        parts: Vec<(&TimerId, Result<ScriptCall, LedgerError>)>,
        read: impl Fn(&TimerId, &[&[u8]]) -> Result<T, LedgerError>,
    ) -> Vec<Result<T, LedgerError>> {
        let mut calls = Vec::with_capacity(parts.len());
        let asked: Vec<(&TimerId, Result<(), LedgerError>)> =
            parts.into_iter().map(|(id, call)| (id, call.map(|call| calls.push(call)))).collect();
        let mut answers = self.store.run_all(script, &calls).await.into_iter();
        let missing = || Err(LedgerError::Unavailable("it gave no answer".into()));
        let answer = |(id, asked): (&TimerId, Result<(), LedgerError>)| {
            asked?;
            let answer = answers.next().unwrap_or_else(missing)?;
            read(id, &answer_words(&answer))
        };
        asked.into_iter().map(answer).collect()
    }
}

#[async_trait]
impl Timers for RedisTimers {
    async fn set_batch(&self, timers: Vec<NewTimer>) -> Vec<Result<Set, LedgerError>> {
        let call = |timer: &NewTimer| {
            timer.fits()?;
            let call = moment(self.call().arg(&timer.id.0), timer.due);
            Ok(call.arg(&timer.queue).arg(&*timer.message).arg(END_OF_TIME.0))
        };
        let parts = timers.iter().map(|timer| (&timer.id, call(timer))).collect();
        self.each(&self.scripts.set, parts, |id, answer| match *answer {
            [b"new"] => Ok(Set::New),
            [b"exists"] => Ok(Set::Exists),
            _ => Err(nonsense(id, answer)),
        })
        .await
    }

    async fn take_due(&self, lease: Duration, max: usize) -> Result<Due, LedgerError> {
        let call = self.call().arg(span_ms(lease)).arg(max.min(TAKE_MAX)).arg(TAKE_MAX_BYTES);
        let mut answer = self.store.run(&self.scripts.take, call).await?.into_iter();
        let (now_ms, next_ms) = (answer.next().unwrap_or_default(), answer.next().unwrap_or_default());
        let first = TimerId("the first".into());
        let next_in = match &*next_ms {
            b"" => None,
            ms => Some(until(number(&first, ms)?)),
        };
        let mut due = Due { now: UnixMs(number(&first, &now_ms)?), next_in, ..Due::default() };
        while let (Some(id), Some(fence), Some(due_ms), Some(queue), Some(message)) =
            (answer.next(), answer.next(), answer.next(), answer.next(), answer.next())
        {
            match taken(id, &fence, &due_ms, queue, message) {
                Ok(taken) => due.taken.push(taken),
                Err(error) => due.damaged.push(error),
            }
        }
        due.taken.sort_unstable_by(|a, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
        Ok(due)
    }

    async fn done_batch(&self, timers: &[(TimerId, Fence)]) -> Vec<Result<bool, LedgerError>> {
        let parts = timers.iter().map(|(id, fence)| (id, Ok(self.call().arg(&id.0).arg(fence.0)))).collect();
        self.each(&self.scripts.done, parts, was_there).await
    }

    async fn update_batch(&self, updates: Vec<Update>) -> Vec<Result<bool, LedgerError>> {
        let call = |update: &Update| {
            update.fits()?;
            let call = moment(self.call().arg(&update.id.0).arg(update.fence.0), update.due);
            Ok(call.arg(END_OF_TIME.0).arg(update.message.as_deref()))
        };
        let parts = updates.iter().map(|update| (&update.id, call(update))).collect();
        self.each(&self.scripts.update, parts, was_there).await
    }

    async fn cancel_batch(&self, ids: &[TimerId]) -> Vec<Result<Cancelled, LedgerError>> {
        let parts = ids.iter().map(|id| (id, Ok(self.call().arg(&id.0)))).collect();
        self.each(&self.scripts.cancel, parts, |id, answer| match *answer {
            [b"waiting"] => Ok(Cancelled::Waiting),
            [b"taken"] => Ok(Cancelled::Taken),
            [b"gone"] => Ok(Cancelled::Gone),
            _ => Err(nonsense(id, answer)),
        })
        .await
    }

    async fn get(&self, id: &TimerId) -> Result<Option<Timer>, LedgerError> {
        let mut answer = self.store.run(&self.scripts.get, self.call().arg(&id.0)).await?;
        let message = Bytes::from(if answer.len() == 6 { answer.pop().unwrap_or_default() } else { Vec::new() });
        match answer_words(&answer)[..] {
            [b"timer", due, fence, is_held @ (b"0" | b"1"), queue] => Ok(Some(Timer {
                due: UnixMs(number(id, due)?),
                queue: text(id, queue.to_vec())?,
                message,
                fence: (is_held == b"0").then_some(Fence(number(id, fence)?)),
            })),
            [b"gone"] => Ok(None),
            ref answer => Err(nonsense(id, answer)),
        }
    }

    async fn list(&self, limit: usize, after: Option<&Place>) -> Result<List, LedgerError> {
        let limit = limit.min(LIST_MAX);
        let (look, tie) = after.map_or(("-1".to_owned(), ""), |place| (place.look.to_string(), place.tie.as_str()));
        let answer = self.store.run(&self.scripts.list, self.call().arg(limit + 1).arg(look).arg(tie)).await?;
        let mut listed = answer.chunks_exact(6).map(listed).collect::<Result<Vec<_>, _>>()?;
        let is_more = listed.len() > limit;
        listed.truncate(limit);
        let next = listed.last().filter(|_| is_more).map(|(place, _)| place.clone());
        Ok(List { timers: listed.into_iter().map(|(_, timer)| timer).collect(), next })
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        let answer = self.store.run(&self.scripts.counts, self.call()).await?;
        match answer_words(&answer)[..] {
            [all, overdue] => {
                let all_timers = TimerId("all".into());
                let (all, overdue) = (number(&all_timers, all)?, number(&all_timers, overdue)?);
                Ok(Counts { all, overdue, is_at_least: false })
            }
            ref answer => Err(nonsense(&TimerId("all".into()), answer)),
        }
    }
}

/// The arguments that stand for a moment.
fn moment(call: ScriptCall, when: When) -> ScriptCall {
    match when {
        When::At(at) => call.arg(at.min(END_OF_TIME).0).arg(0),
        When::In(wait) => call.arg("").arg(span_ms(wait)),
    }
}

fn was_there(id: &TimerId, answer: &[&[u8]]) -> Result<bool, LedgerError> {
    match *answer {
        [b"done"] => Ok(true),
        [b"gone"] => Ok(false),
        [b"stale"] => Err(LedgerError::Stale),
        _ => Err(nonsense(id, answer)),
    }
}

fn taken(id: Vec<u8>, fence: &[u8], due: &[u8], queue: Vec<u8>, message: Vec<u8>) -> Result<Taken, LedgerError> {
    let id = TimerId(String::from_utf8_lossy(&id).into_owned());
    if fence.is_empty() {
        return Err(nonsense(&id, &[due]));
    }
    let (fence, due) = (Fence(number(&id, fence)?), UnixMs(number(&id, due)?));
    let queue = text(&id, queue)?;
    Ok(Taken { id, fence, due, queue, message: message.into() })
}

fn listed(answer: &[Vec<u8>]) -> Result<(Place, Listed), LedgerError> {
    let [look, id, due, queue, bytes, is_taken] = answer else {
        return Err(nonsense(&TimerId("of a list".into()), &answer_words(answer)));
    };
    let id = TimerId(String::from_utf8_lossy(id).into_owned());
    let place = Place { look: UnixMs(number(&id, look)?), tie: id.0.clone() };
    let listed = Listed {
        due: UnixMs(number(&id, due)?),
        queue: String::from_utf8_lossy(queue).into_owned(),
        bytes: number(&id, bytes)?,
        is_taken: is_taken == b"1",
        id,
    };
    Ok((place, listed))
}

fn number<T: FromStr>(id: &TimerId, word: &[u8]) -> Result<T, LedgerError> {
    str::from_utf8(word).ok().and_then(|text| text.parse().ok()).ok_or_else(|| nonsense(id, &[word]))
}

fn text(id: &TimerId, word: Vec<u8>) -> Result<String, LedgerError> {
    String::from_utf8(word).map_err(|_| nonsense(id, &[b"its queue is no text"]))
}

/// What a script says that it does not say, or of a timer that makes no sense. No message is in it.
fn nonsense(id: &TimerId, answer: &[&[u8]]) -> LedgerError {
    let said: Vec<_> = answer.iter().map(|word| String::from_utf8_lossy(word)).collect();
    LedgerError::Damaged(format!("timer {:?}: {}", id.0, said.join(" ").escape_debug()))
}
