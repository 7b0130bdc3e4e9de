//! The documents, in a sorted set of their ids and a hash with what they are: one script an
//! operation, by the server's clock.
//!
//! A field of a hash does not expire by itself. Each write looks at two documents by chance, and
//! removes those whose time is over: so of those that are there about half at most are.

use async_trait::async_trait;
use redis::Script;

use super::script::{CLOCK, answer_words};
use super::store::{ScriptCall, Store};
use crate::documents::{Document, Documents, LIST_MAX, Listed, Put};
use crate::ledger::{Fence, LedgerError};
use crate::remote::span_ms;

/// The documents of a service in a Redis server.
pub struct RedisDocuments {
    store: Store,
    get: Script,
    put: Script,
    list: Script,
    /// What all scripts are about. Both names have the same part in braces, so that they live in
    /// one place.
    names: [String; 2],
}

impl RedisDocuments {
    pub fn new(store: Store, prefix: &str, service: &str) -> Self {
        let script = |own: &str| Script::new(&format!("{CLOCK}\n{}\n{own}", include_str!("documents/common.lua")));
        Self {
            store,
            get: script(include_str!("documents/get.lua")),
            put: script(include_str!("documents/put.lua")),
            list: script(include_str!("documents/list.lua")),
            names: ["ids", "documents"].map(|part| format!("{prefix}:documents:{{{service}}}:{part}")),
        }
    }

    fn call(&self) -> ScriptCall {
        ScriptCall::new(self.names.clone())
    }
}

#[async_trait]
impl Documents for RedisDocuments {
    async fn get(&self, id: &str) -> Result<Option<Document>, LedgerError> {
        let mut answer = self.store.run(&self.get, self.call().arg(id)).await?;
        match answer_words(&answer)[..] {
            [] => Ok(None),
            [fence, _] => {
                let fence = Fence(number(id, fence)?);
                Ok(answer.pop().map(|value| Document { fence, value: value.into() }))
            }
            ref answer => Err(nonsense(id, answer)),
        }
    }

    async fn put(&self, put: Put) -> Result<Fence, LedgerError> {
        put.fits()?;
        let expects = put.expects.map(|fence| fence.0.to_string()).unwrap_or_default();
        let call = self.call().arg(&put.id).arg(expects).arg(&*put.value).arg(span_ms(put.kept));
        let answer = self.store.run(&self.put, call).await?;
        match answer_words(&answer)[..] {
            [b"put", fence] => Ok(Fence(number(&put.id, fence)?)),
            [b"stale"] => Err(LedgerError::Stale),
            ref answer => Err(nonsense(&put.id, answer)),
        }
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<Vec<Listed>, LedgerError> {
        let from = match after {
            Some(after) if after >= prefix => format!("({after}"),
            Some(_) | None => format!("[{prefix}"),
        };
        // No UTF-8 has this byte: behind it is no id that begins so.
        let to = [b"[", prefix.as_bytes(), b"\xff"].concat();
        let answer = self.store.run(&self.list, self.call().arg(from).arg(to).arg(limit.min(LIST_MAX))).await?;
        let mut words = answer.into_iter();
        let mut listed = Vec::new();
        while let (Some(id), Some(value)) = (words.next(), words.next()) {
            let id = String::from_utf8(id).map_err(|_| nonsense(prefix, &[b"an id that is no text"]))?;
            listed.push(Listed { id, value: value.into() });
        }
        Ok(listed)
    }
}

fn number(id: &str, word: &[u8]) -> Result<u64, LedgerError> {
    str::from_utf8(word).ok().and_then(|text| text.parse().ok()).ok_or_else(|| nonsense(id, &[word]))
}

/// What a script says that it does not say, or of a document that makes no sense.
fn nonsense(id: &str, answer: &[&[u8]]) -> LedgerError {
    let said: Vec<_> = answer.iter().map(|word| String::from_utf8_lossy(&word[..word.len().min(100)])).collect();
    LedgerError::Damaged(format!("document {id:?}: {}", said.join(" ")))
}
