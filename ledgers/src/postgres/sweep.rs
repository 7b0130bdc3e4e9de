//! The sweep: removes what has expired, a few pages at a time, by one host at a time.
//!
//! It walks over the table's pages in their order on the disk, so that entries need no index on the
//! time at which they may go. Where it stands is in the database: all hosts together walk once.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::error::reason;
use super::sql::Statements;
use super::store::Store;

/// Pages of 8 KiB in one turn: some 3,000 entries.
const PAGES: i64 = 128;
/// Envelopes, and documents, that one turn removes at most.
const ENVELOPES: i64 = 1_000;
/// From one turn to the next while there is more: 5 MiB of the table are read a second.
const PACE: Duration = Duration::from_millis(200);
/// From the end of the table to its next beginning.
const REST: Duration = Duration::from_secs(10 * 60);
/// How often a host looks whether there is something to do.
const LOOK: Duration = Duration::from_secs(60);
/// How long a turn may take.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Sweeps until the handle is dropped.
pub fn start(store: Store, statements: Arc<Statements>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let turn = tokio::time::timeout(TURN_TIMEOUT, turn(&store, &statements));
            let pause = match turn.await.unwrap_or_else(|_| Err(format!("no answer within {TURN_TIMEOUT:?}"))) {
                Ok(true) => PACE,
                Ok(false) => LOOK,
                Err(error) => {
                    let endpoint = store.endpoint();
                    tracing::warn!(
                        endpoint,
                        error,
                        "what has expired in the ledger was not removed; trying again later"
                    );
                    LOOK
                }
            };
            tokio::time::sleep(pause).await;
        }
    }))
}

/// One turn, if it is ours. Whether there is more to do at once.
async fn turn(store: &Store, statements: &Statements) -> Result<bool, String> {
    let mut client = store.connect().await?;
    let work = async {
        let transaction = client.transaction().await?;
        let statement = transaction.prepare_cached(&statements.sweep_turn).await?;
        let Some(turn) = transaction.query_opt(&statement, &[]).await? else { return Ok(false) };
        let (page, pages): (i64, i64) = (turn.try_get("page")?, turn.try_get("pages")?);
        let next = page + PAGES;
        let statement = transaction.prepare_cached(&statements.sweep_entries).await?;
        transaction.execute(&statement, &[&page, &next]).await?;
        let statement = transaction.prepare_cached(&statements.sweep_envelopes).await?;
        let envelopes = transaction.execute(&statement, &[&ENVELOPES]).await?;
        let statement = transaction.prepare_cached(&statements.sweep_documents).await?;
        let documents = transaction.execute(&statement, &[&ENVELOPES]).await?;
        let at_end = next >= pages;
        let more = !at_end || i64::try_from(envelopes.max(documents)).is_ok_and(|removed| removed == ENVELOPES);
        let (from, pause) = (if at_end { 0 } else { next }, if more { PACE } else { REST });
        let pause_ms = i64::try_from(pause.as_millis()).expect("a pause is short");
        let statement = transaction.prepare_cached(&statements.sweep_next).await?;
        transaction.execute(&statement, &[&from, &pause_ms]).await?;
        transaction.commit().await?;
        Ok(more)
    };
    work.await.map_err(|error: tokio_postgres::Error| reason(&error))
}
