//! The ledger of many hosts, in a Redis or Valkey server.
//!
//! An operation is one Lua script, which the server runs on its own, by its own clock. A key has an
//! entry, which is a hash, and its steps, which are another; both go by themselves when they may.
//! What the server loses, the ledger forgets: docs/operate/ledgers.md tells when.

mod documents;
mod error;
mod script;
mod store;
mod timers;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, cmd};
use wasq_core::message::{Key, UnixMs};
use wasq_core::pause::{Pause, Target};

pub use self::error::OpenError;

use self::script::{CLOCK, answer_words};
use self::store::{ScriptCall, Store};
use super::entry::{self, DeadIds, IDLE_KEPT};
use super::ledger::one;
use super::remote::{span_ms, until};
use super::{Claim, ClaimRequest, Completion, Ended, Fence, Finish, Fresh, Ledger, LedgerError, pauses};
use crate::config::RedisConfig;
use crate::documents::Documents;
use crate::timers::Timers;

/// How long the trace of a ping is kept.
const PING_KEPT: Duration = Duration::from_secs(60);

/// The ledger in a Redis server.
///
/// An operation is answered within 5 s, or fails as [`LedgerError::Unavailable`]. One that failed
/// so, or whose future was dropped, may have been done: a claim then keeps its key busy until its
/// lease ends, and a finish may be said again.
///
/// A fence is the server's time in microseconds, and more than the entry's last one. That it grows
/// for a key whose entry has expired rests on the server's clock not being set back by more than an
/// entry lives.
pub struct RedisLedger {
    store: Store,
    scripts: Scripts,
    prefix: String,
}

struct Scripts {
    claim: Script,
    extend: Script,
    finish: Script,
    known: Script,
    ended: Script,
    complete: Script,
    get_step: Script,
    put_step: Script,
}

impl RedisLedger {
    /// Connects, and checks that the server keeps what it is told.
    ///
    /// # Errors
    /// [`OpenError`] says what to change. None of its texts has the URL's password.
    pub async fn open(config: &RedisConfig) -> Result<Self, OpenError> {
        let prefix = config.prefix.clone();
        // A brace would change what a cluster or a proxy takes for the part that says where a key
        // lives.
        if prefix.is_empty() || prefix.contains(['{', '}']) {
            return Err(OpenError::Prefix(prefix));
        }
        Ok(Self { store: Store::open(config).await?, scripts: Scripts::new(), prefix })
    }

    /// A call of a script for a key, with its entry and its steps. Both names have the same part in
    /// braces, so that they live in one place.
    fn about(&self, key: Key) -> ScriptCall {
        let (prefix, key) = (&self.prefix, key.to_hex());
        ScriptCall::new([format!("{prefix}:{{{key}}}:entry"), format!("{prefix}:{{{key}}}:steps")])
    }

    fn envelope(&self, id: &str) -> String {
        format!("{}:envelope:{id}", self.prefix)
    }

    /// A hash of a service's pauses by their targets; it does not expire.
    fn pauses_of(&self, service: &str) -> String {
        format!("{}:pauses:{service}", self.prefix)
    }

    fn claim_call(&self, key: Key, request: &ClaimRequest) -> ScriptCall {
        let ClaimRequest { body, message_id, lease, is_redelivery: _ } = request;
        let call = self.about(key).arg(&body.0[..]).arg(message_id.0.as_bytes()).arg(&DeadIds::mark(message_id)[..]);
        call.arg(span_ms(*lease)).arg(span_ms(IDLE_KEPT))
    }

    fn finish_call(&self, key: Key, fence: Fence, finish: Finish) -> ScriptCall {
        let call = self.about(key).arg(fence.0);
        match finish {
            Finish::Done { result, discarded, ttl } => {
                call.arg("done").arg(span_ms(ttl)).arg(u8::from(discarded)).arg(result)
            }
            Finish::Failed { at } => call.arg("failed").arg(span_ms(IDLE_KEPT)).arg(at.0),
            Finish::Released { ran } => call.arg("released").arg(span_ms(IDLE_KEPT)).arg(u8::from(ran)),
            Finish::DeadLettered { message_id, ttl } => {
                let mark = DeadIds::mark(&message_id);
                call.arg("dead-lettered").arg(span_ms(ttl)).arg(message_id.0).arg(&mark[..]).arg(DeadIds::MAX)
            }
        }
    }

    fn complete_call(&self, key: Key, completion: Completion) -> ScriptCall {
        let Completion { body, message_id, result, discarded, ttl } = completion;
        let call = self.about(key).arg(&body.0[..]).arg(message_id.0.as_bytes()).arg(&DeadIds::mark(&message_id)[..]);
        call.arg(span_ms(ttl)).arg(u8::from(discarded)).arg(result)
    }

    /// One script for each key, all of them on the way at once. `read` makes the answers of words.
    async fn each<T>(
        &self,
        script: &Script,
        calls: Vec<(Key, ScriptCall)>,
        read: impl Fn(Key, &[&[u8]]) -> Result<T, LedgerError>,
    ) -> Vec<Result<T, LedgerError>> {
        let (keys, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let answers = self.store.run_all(script, &calls).await;
        keys.into_iter().zip(answers).map(|(key, answer)| read(key, &answer_words(&answer?))).collect()
    }
}

fn claimed(key: Key, answer: &[&[u8]]) -> Result<Claim, LedgerError> {
    match *answer {
        [b"fresh", attempt, crashes, replays, fence, first_failed_at, is_new @ (b"0" | b"1")] => {
            Ok(Claim::Fresh(Fresh {
                attempt: number(attempt, key)?,
                crashes: number(crashes, key)?,
                replays: number(replays, key)?,
                fence: Fence(number(fence, key)?),
                first_failed_at: match first_failed_at {
                    b"" => None,
                    at => Some(UnixMs(number(at, key)?)),
                },
                is_new: is_new == b"1",
            }))
        }
        [b"done", same_message @ (b"0" | b"1")] => Ok(Claim::Done { same_message: same_message == b"1" }),
        [b"dead-lettered"] => Ok(Claim::DeadLettered),
        [b"busy", remaining_ms] => Ok(Claim::Busy { remaining: until(number(remaining_ms, key)?) }),
        [b"conflict"] => Ok(Claim::Conflict),
        _ => Err(nonsense(key, answer)),
    }
}

fn extended(key: Key, answer: &[&[u8]]) -> Result<bool, LedgerError> {
    match *answer {
        [b"extended"] => Ok(true),
        [b"stale"] => Ok(false),
        _ => Err(nonsense(key, answer)),
    }
}

fn finished(key: Key, answer: &[&[u8]]) -> Result<(), LedgerError> {
    match *answer {
        [b"ended"] => Ok(()),
        [b"stale"] => Err(LedgerError::Stale),
        _ => Err(nonsense(key, answer)),
    }
}

fn known(key: Key, answer: &[&[u8]]) -> Result<bool, LedgerError> {
    match *answer {
        [b"known"] => Ok(true),
        [b"new"] => Ok(false),
        _ => Err(nonsense(key, answer)),
    }
}

impl Scripts {
    fn new() -> Self {
        let script = |own: &str| Script::new(&format!("{CLOCK}\n{}\n{own}", include_str!("redis/common.lua")));
        Self {
            claim: script(include_str!("redis/claim.lua")),
            extend: script(include_str!("redis/extend.lua")),
            finish: script(include_str!("redis/finish.lua")),
            known: script(include_str!("redis/known.lua")),
            ended: script(include_str!("redis/ended.lua")),
            complete: script(include_str!("redis/complete.lua")),
            get_step: script(include_str!("redis/get_step.lua")),
            put_step: script(include_str!("redis/put_step.lua")),
        }
    }
}

#[async_trait]
impl Ledger for RedisLedger {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        one(self.claim_batch(&[(key, request.clone())]).await)
    }

    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        let calls = claims.iter().map(|(key, request)| (*key, self.claim_call(*key, request)));
        self.each(&self.scripts.claim, calls.collect(), claimed).await
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        let lease_ms = span_ms(lease);
        let calls = claims.iter().map(|&(key, fence)| (key, self.about(key).arg(fence.0).arg(lease_ms)));
        self.each(&self.scripts.extend, calls.collect(), extended).await
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        one(self.finish_batch(vec![(key, fence, finish)]).await)
    }

    async fn finish_batch(&self, ends: Vec<(Key, Fence, Finish)>) -> Vec<Result<(), LedgerError>> {
        let calls = ends.into_iter().map(|(key, fence, finish)| (key, self.finish_call(key, fence, finish)));
        self.each(&self.scripts.finish, calls.collect(), finished).await
    }

    async fn known_batch(&self, keys: &[Key]) -> Vec<Result<bool, LedgerError>> {
        let calls = keys.iter().map(|key| (*key, self.about(*key)));
        self.each(&self.scripts.known, calls.collect(), known).await
    }

    async fn complete_batch(&self, completions: Vec<(Key, Completion)>) -> Vec<Result<(), LedgerError>> {
        let calls = completions.into_iter().map(|(key, completion)| (key, self.complete_call(key, completion)));
        self.each(&self.scripts.complete, calls.collect(), finished).await
    }

    async fn ended(&self, key: Key) -> Result<Option<Ended>, LedgerError> {
        let mut answer = self.store.run(&self.scripts.ended, self.about(key)).await?;
        match answer_words(&answer)[..] {
            [b"no"] => Ok(None),
            [b"dead-lettered"] => Ok(Some(Ended::DeadLettered)),
            [b"done", discarded @ (b"0" | b"1")] => {
                Ok(Some(Ended::Done { result: None, discarded: discarded == b"1" }))
            }
            [b"done", discarded @ (b"0" | b"1"), _] => {
                let discarded = discarded == b"1";
                Ok(Some(Ended::Done { result: answer.pop(), discarded }))
            }
            ref answer => Err(nonsense(key, answer)),
        }
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let mut answer = self.store.run(&self.scripts.get_step, self.about(key).arg(fence.0).arg(name)).await?;
        match answer_words(&answer)[..] {
            [b"step", _] => Ok(answer.pop()),
            [b"none"] => Ok(None),
            [b"stale"] => Err(LedgerError::Stale),
            ref answer => Err(nonsense(key, answer)),
        }
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        let answer = self.store.run(&self.scripts.put_step, self.about(key).arg(fence.0).arg(name).arg(value)).await?;
        match answer_words(&answer)[..] {
            [b"put"] => Ok(()),
            [b"stale"] => Err(LedgerError::Stale),
            ref answer => Err(nonsense(key, answer)),
        }
    }

    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError> {
        let (name, ttl_ms) = (self.envelope(id), span_ms(ttl));
        // Redis knows no time to live of zero.
        if ttl_ms == 0 {
            return self.store.ask(cmd("DEL").arg(name)).await;
        }
        self.store.ask(cmd("SET").arg(name).arg(json).arg("PX").arg(ttl_ms)).await
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.store.ask(cmd("GET").arg(self.envelope(id))).await
    }

    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        let (target, json) = (pause.target.to_string(), pauses::to_json(pause));
        self.store.ask(cmd("HSET").arg(self.pauses_of(service)).arg(target).arg(json)).await
    }

    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError> {
        self.store.ask(cmd("HDEL").arg(self.pauses_of(service)).arg(target.to_string())).await
    }

    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        let all: Vec<(Vec<u8>, Vec<u8>)> = self.store.ask(cmd("HGETALL").arg(self.pauses_of(service))).await?;
        let pause = |(target, json): &(Vec<u8>, Vec<u8>)| pauses::from_json(std::str::from_utf8(target).ok(), json);
        Ok(all.iter().filter_map(pause).collect())
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        let name = format!("{}:ping", self.prefix);
        self.store.ask(cmd("SET").arg(name).arg(1).arg("PX").arg(span_ms(PING_KEPT))).await
    }

    fn timers(&self, service: &str) -> Option<Arc<dyn Timers>> {
        Some(Arc::new(timers::RedisTimers::new(self.store.clone(), &self.prefix, service)))
    }

    fn documents(&self, service: &str) -> Option<Arc<dyn Documents>> {
        Some(Arc::new(documents::RedisDocuments::new(self.store.clone(), &self.prefix, service)))
    }

    async fn with_own_connections(&self) -> Option<Arc<dyn Ledger>> {
        let store = self.store.with_own_connection();
        Some(Arc::new(Self { store, scripts: Scripts::new(), prefix: self.prefix.clone() }))
    }
}

fn number<T: FromStr>(word: &[u8], key: Key) -> Result<T, LedgerError> {
    str::from_utf8(word).ok().and_then(|text| text.parse().ok()).ok_or_else(|| nonsense(key, &[word]))
}

/// What a script says that it does not say, or of an entry that makes no sense. No value of a
/// message is in it: a step's value comes only behind the word for it.
fn nonsense(key: Key, answer: &[&[u8]]) -> LedgerError {
    let said: Vec<_> = answer.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let said = said.join(" ");
    let what = match said.strip_prefix("damaged unknown state: ") {
        Some(state) => entry::unknown_state(state.escape_debug()),
        None => said,
    };
    LedgerError::Damaged(format!("{}: {what}", key.to_hex()))
}
