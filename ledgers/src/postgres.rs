//! The ledger of many hosts, in a schema of a PostgreSQL database.
//!
//! An operation is one statement, and a transaction of its own that is on the server's disk when it
//! is answered (docs/operate/ledgers.md tells what that means with replicas). The server decides,
//! by its own clock; what it decides stands in `postgres/sql.rs`.

mod document_sql;
mod documents;
mod error;
mod migrate;
mod rounds;
mod rows;
mod sql;
mod store;
mod sweep;
mod timer_sql;
mod timers;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_util::task::AbortOnDropHandle;
use wasq_core::message::Key;
use wasq_core::pause::{Pause, Target};

pub use self::error::OpenError;

use self::rounds::in_rounds;
use self::rows::{
    CLAIMED, DEAD_LETTERED, DONE, FinishedRow, RELEASED, answer, column, completed, get, mark, nullable, row_key,
    unknown_state,
};
use self::sql::{Schema, Statements};
use self::store::Store;
use super::entry::{DeadIds, IDLE_KEPT};
use super::ledger::one;
use super::remote::span_ms;
use super::{Claim, ClaimRequest, Completion, Ended, Fence, Finish, Ledger, LedgerError, pauses};
use crate::config::PostgresConfig;
use crate::documents::Documents;
use crate::timers::Timers;

/// How often a claim or a completion is asked again when another host inserted its key at the same
/// moment.
const INSERT_TRIES: u32 = 10;
/// Connections of each lease keeper's own handle. Its extensions are short, and come after one
/// another.
const KEEPER_CONNECTIONS: usize = 1;

/// The ledger in a PostgreSQL database. It sweeps out what has expired until it is dropped.
///
/// An operation is answered within 5 s, or fails as [`LedgerError::Unavailable`]. One that failed
/// so, or whose future was dropped, may have been done: a claim then keeps its key busy until its
/// lease ends, and a finish may be said again.
pub struct PostgresLedger {
    store: Store,
    statements: Arc<Statements>,
    /// The keepers' handles leave it to the host's own.
    _sweep: Option<AbortOnDropHandle<()>>,
}

impl PostgresLedger {
    /// Connects, makes the tables or brings them up to date, and begins to sweep.
    ///
    /// # Errors
    /// [`OpenError`] says what to change. None of its texts has the URL's password.
    pub async fn open(config: &PostgresConfig) -> Result<Self, OpenError> {
        let schema = Schema::parse(&config.schema)?;
        let store = Store::new(config)?;
        migrate::migrate(&store, &schema).await?;
        let statements = Arc::new(Statements::of(&schema));
        let sweep = sweep::start(store.clone(), statements.clone());
        Ok(Self { store, statements, _sweep: Some(sweep) })
    }

    /// All in one statement, as the next ones. A key has no answer when another host inserted it at
    /// the same moment.
    async fn claim_all(&self, claims: Vec<&(Key, ClaimRequest)>) -> Answers<Claim> {
        let keys: Vec<&[u8]> = claims.iter().map(|(key, _)| &key.0[..]).collect();
        let bodies: Vec<&[u8]> = claims.iter().map(|(_, request)| &request.body.0[..]).collect();
        let ids: Vec<&[u8]> = claims.iter().map(|(_, request)| request.message_id.0.as_bytes()).collect();
        let leases_ms: Vec<i64> = claims.iter().map(|(_, request)| span_ms(request.lease)).collect();
        let marks: Vec<i64> = claims.iter().map(|(_, request)| mark(&request.message_id)).collect();
        let parameters: [&(dyn ToSql + Sync); 6] = [&keys, &bodies, &ids, &leases_ms, &span_ms(IDLE_KEPT), &marks];
        let rows = self.store.query(&self.statements.claim, &parameters).await?;
        rows.iter().map(|row| row_key(row).map(|key| (key, answer(row, key)))).collect()
    }

    async fn complete_all(&self, completions: Vec<&(Key, Completion)>) -> Answers<()> {
        let keys: Vec<&[u8]> = completions.iter().map(|(key, _)| &key.0[..]).collect();
        let bodies: Vec<&[u8]> = completions.iter().map(|(_, end)| &end.body.0[..]).collect();
        let ids: Vec<&[u8]> = completions.iter().map(|(_, end)| end.message_id.0.as_bytes()).collect();
        let ttls_ms: Vec<i64> = completions.iter().map(|(_, end)| span_ms(end.ttl)).collect();
        let discarded: Vec<bool> = completions.iter().map(|(_, end)| end.discarded).collect();
        let results: Vec<Option<&[u8]>> = completions.iter().map(|(_, end)| end.result.as_deref()).collect();
        let marks: Vec<i64> = completions.iter().map(|(_, end)| mark(&end.message_id)).collect();
        let parameters: [&(dyn ToSql + Sync); 7] = [&keys, &bodies, &ids, &ttls_ms, &discarded, &results, &marks];
        let rows = self.store.query(&self.statements.complete, &parameters).await?;
        rows.iter().map(|row| row_key(row).and_then(|key| Ok((key, completed(key, get(row, "ruling")?))))).collect()
    }

    async fn known_all(&self, keys: &[Key]) -> Result<HashSet<Key>, LedgerError> {
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key.0[..]).collect();
        let rows = self.store.query(&self.statements.known, &[&keys]).await?;
        rows.iter().map(row_key).collect()
    }

    async fn extend_all(
        &self,
        claims: Vec<(Key, Fence)>,
        lease: Duration,
    ) -> Result<Vec<Result<bool, LedgerError>>, LedgerError> {
        let keys: Vec<&[u8]> = claims.iter().map(|(key, _)| &key.0[..]).collect();
        let fences: Vec<i64> = claims.iter().map(|&(_, fence)| column(fence)).collect();
        let rows = self.store.query(&self.statements.extend, &[&keys, &fences, &span_ms(lease)]).await?;
        let states: HashMap<(&[u8], i64), i16> = rows
            .iter()
            .map(|row| Ok(((get(row, "key")?, get(row, "fence")?), get(row, "state")?)))
            .collect::<Result<_, LedgerError>>()?;
        let answers = claims.iter().zip(keys.iter().zip(&fences)).map(|((key, _), (bytes, fence))| {
            match states.get(&(*bytes, *fence)) {
                None => Ok(false),
                Some(&CLAIMED) => Ok(true),
                Some(state) => Err(unknown_state(*key, state)),
            }
        });
        Ok(answers.collect())
    }

    async fn finish_all(&self, ends: Vec<&FinishedRow>) -> Result<Vec<Result<(), LedgerError>>, LedgerError> {
        fn all<'e, T>(ends: &[&'e FinishedRow], column: impl Fn(&'e FinishedRow) -> T) -> Vec<T> {
            ends.iter().map(|end| column(end)).collect()
        }
        let parameters: [&(dyn ToSql + Sync); 12] = [
            &all(&ends, |end| &end.key.0[..]),
            &all(&ends, |end| column(end.fence)),
            &all(&ends, |end| end.state),
            &all(&ends, |end| span_ms(end.ttl)),
            &all(&ends, |end| end.uncounted),
            &all(&ends, |end| end.failed_at_ms),
            &all(&ends, |end| end.message_id.as_deref()),
            &all(&ends, |end| end.discarded),
            &all(&ends, |end| end.result.as_deref()),
            &all(&ends, |end| end.mark),
            &(DeadIds::MAX as i32),
            &all(&ends, |end| end.forgets_crashes),
        ];
        let rows = self.store.query(&self.statements.finish, &parameters).await?;
        let states: HashMap<Key, i16> =
            rows.iter().map(|row| Ok((row_key(row)?, get(row, "state")?))).collect::<Result<_, LedgerError>>()?;
        let answers = ends.iter().map(|end| match states.get(&end.key) {
            Some(&CLAIMED) => Ok(()),
            // It was said before.
            Some(state) if *state == end.state => Ok(()),
            Some(&(RELEASED | DONE | DEAD_LETTERED)) | None => Err(LedgerError::Stale),
            Some(state) => Err(unknown_state(end.key, state)),
        });
        Ok(answers.collect())
    }
}

fn of<T>((key, _): &(Key, T)) -> Key {
    *key
}

/// What a statement answers about each key.
type Answers<T> = Result<HashMap<Key, Result<T, LedgerError>>, LedgerError>;

/// Asks about several keys until each has an answer.
async fn until_all_are_answered<P: Copy, T, A>(
    parts: Vec<P>,
    key: fn(P) -> Key,
    ask: impl Fn(Vec<P>) -> A,
) -> Result<Vec<Result<T, LedgerError>>, LedgerError>
where
    A: Future<Output = Answers<T>>,
{
    let mut answers = HashMap::new();
    for _ in 0..INSERT_TRIES {
        let left: Vec<P> = parts.iter().copied().filter(|part| !answers.contains_key(&key(*part))).collect();
        if left.is_empty() {
            break;
        }
        answers.extend(ask(left).await?);
    }
    let met = || LedgerError::Unavailable(format!("{INSERT_TRIES} writes met another host's at the same moment"));
    Ok(parts.iter().map(|part| answers.remove(&key(*part)).unwrap_or_else(|| Err(met()))).collect())
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        one(self.claim_batch(&[(key, request.clone())]).await)
    }

    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        let claims: Vec<_> = claims.iter().collect();
        let ask = |claims| until_all_are_answered(claims, of, |claims| self.claim_all(claims));
        in_rounds(&claims, |(key, _)| *key, ask).await
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        in_rounds(claims, |(key, _)| *key, |claims| self.extend_all(claims, lease)).await
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        one(self.finish_batch(vec![(key, fence, finish)]).await)
    }

    async fn finish_batch(&self, ends: Vec<(Key, Fence, Finish)>) -> Vec<Result<(), LedgerError>> {
        let ends: Vec<_> = ends.into_iter().map(|(key, fence, finish)| FinishedRow::of(key, fence, finish)).collect();
        let ends: Vec<_> = ends.iter().collect();
        in_rounds(&ends, |end| end.key, |ends| self.finish_all(ends)).await
    }

    async fn known_batch(&self, keys: &[Key]) -> Vec<Result<bool, LedgerError>> {
        match self.known_all(keys).await {
            Ok(known) => keys.iter().map(|key| Ok(known.contains(key))).collect(),
            Err(error) => vec![Err(error); keys.len()],
        }
    }

    async fn complete_batch(&self, completions: Vec<(Key, Completion)>) -> Vec<Result<(), LedgerError>> {
        let completions: Vec<_> = completions.iter().collect();
        let ask = |all| until_all_are_answered(all, of, |completions| self.complete_all(completions));
        in_rounds(&completions, |(key, _)| *key, ask).await
    }

    async fn ended(&self, key: Key) -> Result<Option<Ended>, LedgerError> {
        let Some(row) = self.store.query_opt(&self.statements.ended, &[&&key.0[..]]).await? else { return Ok(None) };
        match get::<i16>(&row, "state")? {
            CLAIMED | RELEASED => Ok(None),
            DONE => {
                let (result, discarded) = (nullable(&row, "result")?, get(&row, "discarded")?);
                Ok(Some(Ended::Done { result, discarded }))
            }
            DEAD_LETTERED => Ok(Some(Ended::DeadLettered)),
            state => Err(unknown_state(key, state)),
        }
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let fence = column(fence);
        let parameters: [&(dyn ToSql + Sync); 3] = [&&key.0[..], &fence, &name.as_bytes()];
        let row = self.store.query_opt(&self.statements.get_step, &parameters).await?.ok_or(LedgerError::Stale)?;
        match get::<i16>(&row, "state")? {
            CLAIMED => nullable(&row, "value"),
            RELEASED | DONE | DEAD_LETTERED => Err(LedgerError::Stale),
            state => Err(unknown_state(key, state)),
        }
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        let fence = column(fence);
        let parameters: [&(dyn ToSql + Sync); 4] = [&&key.0[..], &fence, &name.as_bytes(), &value];
        self.store.query_opt(&self.statements.put_step, &parameters).await?.map(drop).ok_or(LedgerError::Stale)
    }

    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError> {
        self.store.query(&self.statements.put_envelope, &[&id.as_bytes(), &json, &span_ms(ttl)]).await.map(drop)
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let row = self.store.query_opt(&self.statements.get_envelope, &[&id.as_bytes()]).await?;
        row.map(|row| get(&row, "json")).transpose()
    }

    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        let (target, json) = (pause.target.to_string(), pauses::to_json(pause));
        let parameters: [&(dyn ToSql + Sync); 3] = [&service.as_bytes(), &target.as_bytes(), &json.as_bytes()];
        self.store.query(&self.statements.put_pause, &parameters).await.map(drop)
    }

    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError> {
        let target = target.to_string();
        let parameters: [&(dyn ToSql + Sync); 2] = [&service.as_bytes(), &target.as_bytes()];
        self.store.query(&self.statements.remove_pause, &parameters).await.map(drop)
    }

    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        let rows = self.store.query(&self.statements.pauses, &[&service.as_bytes()]).await?;
        let pause = |row: &Row| -> Result<Option<Pause>, LedgerError> {
            let target: &[u8] = get(row, "target")?;
            Ok(pauses::from_json(std::str::from_utf8(target).ok(), get(row, "json")?))
        };
        rows.iter().filter_map(|row| pause(row).transpose()).collect()
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.store.query(&self.statements.ping, &[]).await.map(drop)
    }

    fn timers(&self, service: &str) -> Option<Arc<dyn Timers>> {
        Some(Arc::new(timers::PostgresTimers::new(self.store.clone(), self.statements.clone(), service)))
    }

    fn documents(&self, service: &str) -> Option<Arc<dyn Documents>> {
        Some(Arc::new(documents::PostgresDocuments::new(self.store.clone(), self.statements.clone(), service)))
    }

    async fn with_own_connections(&self) -> Option<Arc<dyn Ledger>> {
        let store = self.store.with_own_connections(KEEPER_CONNECTIONS);
        Some(Arc::new(Self { store, statements: self.statements.clone(), _sweep: None }))
    }
}
