//! The ledger of many hosts, in a schema of a PostgreSQL database.
//!
//! An operation is one statement, and a transaction of its own that is on the server's disk when it
//! is answered (docs/operate/ledgers.md tells what that means with replicas). The server decides,
//! by its own clock; what it decides stands in `postgres/sql.rs`.

mod error;
mod migrate;
mod sql;
mod store;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_util::task::AbortOnDropHandle;
use wasq_core::message::{Key, MessageId, UnixMs};
use wasq_core::pause::{Pause, Target};

pub use self::error::OpenError;

use self::sql::{Schema, Statements};
use self::store::Store;
use super::entry::{self, DeadIds, IDLE_KEPT};
use super::ledger::one;
use super::remote::{span_ms, until};
use super::{Claim, ClaimRequest, Fence, Finish, Fresh, Ledger, LedgerError, pauses};
use crate::config::PostgresConfig;

/// How often a claim is asked again when another host inserted its key at the same moment.
const CLAIM_TRIES: u32 = 10;
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

    /// All in one statement, as the next ones.
    async fn claim_all(
        &self,
        claims: Vec<&(Key, ClaimRequest)>,
    ) -> Result<Vec<Result<Claim, LedgerError>>, LedgerError> {
        let mut answers: HashMap<Key, Result<Claim, LedgerError>> = HashMap::new();
        for _ in 0..CLAIM_TRIES {
            let left: Vec<_> = claims.iter().filter(|(key, _)| !answers.contains_key(key)).collect();
            if left.is_empty() {
                break;
            }
            let keys: Vec<&[u8]> = left.iter().map(|(key, _)| &key.0[..]).collect();
            let bodies: Vec<&[u8]> = left.iter().map(|(_, request)| &request.body.0[..]).collect();
            let ids: Vec<&[u8]> = left.iter().map(|(_, request)| request.message_id.0.as_bytes()).collect();
            let leases_ms: Vec<i64> = left.iter().map(|(_, request)| span_ms(request.lease)).collect();
            let marks: Vec<i64> = left.iter().map(|(_, request)| mark(&request.message_id)).collect();
            let parameters: [&(dyn ToSql + Sync); 6] = [&keys, &bodies, &ids, &leases_ms, &span_ms(IDLE_KEPT), &marks];
            for row in self.store.query(&self.statements.claim, &parameters).await? {
                let key = row_key(&row)?;
                answers.insert(key, answer(&row, key));
            }
        }
        let met = || LedgerError::Unavailable(format!("{CLAIM_TRIES} claims met another host's at the same moment"));
        Ok(claims.iter().map(|(key, _)| answers.remove(key).unwrap_or_else(|| Err(met()))).collect())
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

/// Asks about several keys in one statement. One that is named again waits for the next, and a
/// damaged entry, which fails the statement for all of them, has each asked for by itself.
async fn in_rounds<P: Clone, T, A>(
    parts: &[P],
    key: fn(&P) -> Key,
    ask: impl Fn(Vec<P>) -> A,
) -> Vec<Result<T, LedgerError>>
where
    A: Future<Output = Result<Vec<Result<T, LedgerError>>, LedgerError>>,
{
    let mut answers: Vec<Option<Result<T, LedgerError>>> = parts.iter().map(|_| None).collect();
    let mut left: Vec<usize> = (0..parts.len()).collect();
    while !left.is_empty() {
        let mut seen = HashSet::new();
        let (round, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|at| seen.insert(key(&parts[*at])));
        left = later;
        let asked: Vec<P> = round.iter().map(|at| parts[*at].clone()).collect();
        let answered = match ask(asked.clone()).await {
            Ok(told) => told,
            Err(LedgerError::Damaged(_)) if asked.len() > 1 => {
                let mut each = Vec::with_capacity(asked.len());
                for part in asked {
                    each.extend(ask(vec![part]).await.unwrap_or_else(|error| vec![Err(error)]));
                }
                each
            }
            Err(error) => asked.iter().map(|_| Err(error.clone())).collect(),
        };
        for (at, answer) in round.into_iter().zip(answered) {
            answers[at] = Some(answer);
        }
    }
    answers.into_iter().map(|answer| answer.expect("each part was in a round")).collect()
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        one(self.claim_batch(&[(key, request.clone())]).await)
    }

    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        let claims: Vec<_> = claims.iter().collect();
        in_rounds(&claims, |(key, _)| *key, |claims| self.claim_all(claims)).await
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

    async fn with_own_connections(&self) -> Option<Arc<dyn Ledger>> {
        let store = self.store.with_own_connections(KEEPER_CONNECTIONS);
        Some(Arc::new(Self { store, statements: self.statements.clone(), _sweep: None }))
    }
}

// The states as the column `state` has them.
const CLAIMED: i16 = 1;
const RELEASED: i16 = 2;
const DONE: i16 = 3;
const DEAD_LETTERED: i16 = 4;

/// A finish in columns.
struct FinishedRow {
    key: Key,
    fence: Fence,
    state: i16,
    ttl: Duration,
    /// The attempt is taken off.
    uncounted: bool,
    forgets_crashes: bool,
    failed_at_ms: Option<i64>,
    message_id: Option<Vec<u8>>,
    mark: Option<i64>,
    discarded: Option<bool>,
    result: Option<Vec<u8>>,
}

impl FinishedRow {
    fn of(key: Key, fence: Fence, finish: Finish) -> Self {
        let plain = |state, ttl| Self {
            key,
            fence,
            state,
            ttl,
            uncounted: false,
            forgets_crashes: false,
            failed_at_ms: None,
            message_id: None,
            mark: None,
            discarded: None,
            result: None,
        };
        match finish {
            Finish::Done { result, discarded, ttl } => Self { discarded: Some(discarded), result, ..plain(DONE, ttl) },
            Finish::Failed { at: UnixMs(at) } => {
                let failed_at_ms = Some(i64::try_from(at).unwrap_or(i64::MAX));
                Self { failed_at_ms, forgets_crashes: true, ..plain(RELEASED, IDLE_KEPT) }
            }
            Finish::Released { ran } => Self { uncounted: true, forgets_crashes: ran, ..plain(RELEASED, IDLE_KEPT) },
            Finish::DeadLettered { message_id, ttl } => {
                let mark = Some(mark(&message_id));
                let message_id = Some(message_id.0.into_bytes());
                Self { message_id, mark, forgets_crashes: true, ..plain(DEAD_LETTERED, ttl) }
            }
        }
    }
}

/// A claim's answer as the statement gives it.
fn answer(row: &Row, key: Key) -> Result<Claim, LedgerError> {
    match get::<&str>(row, "ruling")? {
        "fresh" => Ok(Claim::Fresh(Fresh {
            attempt: count(row, "attempts", key)?,
            crashes: count(row, "crashes", key)?,
            replays: count(row, "replays", key)?,
            fence: Fence(natural(get(row, "fence")?, "fence", key)?),
            first_failed_at: nullable::<i64>(row, "first_failed_at_ms")?
                .map(|at| natural(at, "first_failed_at_ms", key).map(UnixMs))
                .transpose()?,
            is_new: get(row, "is_new")?,
        })),
        "done" => Ok(Claim::Done { same_message: get(row, "same_message")? }),
        "dead-lettered" => Ok(Claim::DeadLettered),
        "busy" => Ok(Claim::Busy { remaining: until(get(row, "remaining_ms")?) }),
        "conflict" => Ok(Claim::Conflict),
        ruling => Err(match ruling.strip_prefix("state ") {
            Some(state) => unknown_state(key, state),
            None => LedgerError::Damaged(format!("{}: a claim was {ruling} and not made", key.to_hex())),
        }),
    }
}

/// What stands for a message among the dead.
fn mark(id: &MessageId) -> i64 {
    i64::from_be_bytes(DeadIds::mark(id))
}

/// A fence that no column can hold is one that no entry has.
fn column(fence: Fence) -> i64 {
    i64::try_from(fence.0).unwrap_or(-1)
}

fn row_key(row: &Row) -> Result<Key, LedgerError> {
    let bytes: &[u8] = get(row, "key")?;
    bytes.try_into().map(Key).map_err(|_| LedgerError::Damaged(format!("a key has {} bytes", bytes.len())))
}

fn unknown_state(key: Key, state: impl std::fmt::Display) -> LedgerError {
    LedgerError::Damaged(format!("{}: {}", key.to_hex(), entry::unknown_state(state)))
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, LedgerError> {
    nullable(row, column)?.ok_or_else(|| LedgerError::Damaged(format!("{column} is null")))
}

/// A column of another type is no entry's damage: the tables are not those that this version knows.
fn nullable<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<Option<T>, LedgerError> {
    row.try_get(column).map_err(|error| {
        let reason = error::reason(&error);
        LedgerError::Unavailable(format!("the tables in PostgreSQL are not this version's: {column}: {reason}"))
    })
}

fn natural<T: TryFrom<i64>>(value: i64, column: &str, key: Key) -> Result<T, LedgerError> {
    value.try_into().map_err(|_| LedgerError::Damaged(format!("{}: {column} is {value}", key.to_hex())))
}

fn count(row: &Row, column: &str, key: Key) -> Result<u32, LedgerError> {
    natural(get(row, column)?, column, key)
}
