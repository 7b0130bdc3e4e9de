//! The tables, made and brought up to date by whichever host comes first.

use std::time::Duration;

use deadpool_postgres::Transaction;
use tokio_postgres::Error;

use super::error::{OpenError, reason};
use super::sql::Schema;
use super::store::Store;

/// What makes each version out of the one before. A version that was released is never changed.
const VERSIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
];
/// What hosts lock in the database while they bring tables up to date: "wasq".
const LOCK: i64 = 0x7761_7371;
/// How long that may take, with the wait for other hosts that do it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Brings the tables in `schema` up to date. They may be in use; many hosts may do it at once.
///
/// # Errors
/// [`OpenError::Newer`] if they are newer than this host knows.
pub async fn migrate(store: &Store, schema: &Schema) -> Result<(), OpenError> {
    let work = async {
        while let Some(version) = missing(store, schema).await? {
            apply(store, schema, version).await?;
        }
        Ok(())
    };
    let late = |_| unreachable(store, format!("its tables were not up to date within {TIMEOUT:?}"));
    tokio::time::timeout(TIMEOUT, work).await.map_err(late)?
}

/// The version that comes next, if one does.
async fn missing(store: &Store, schema: &Schema) -> Result<Option<usize>, OpenError> {
    let mut client = store.connect().await.map_err(|reason| unreachable(store, reason))?;
    let look = async {
        let transaction = client.transaction().await?;
        version(&transaction, schema).await
    };
    let found = look.await.map_err(|error| unreachable(store, reason(&error)))?;
    let known = VERSIONS.len();
    if found > known {
        return Err(OpenError::Newer {
            endpoint: store.endpoint().to_owned(),
            schema: schema.name().to_owned(),
            found,
            known,
        });
    }
    Ok((found < known).then_some(found + 1))
}

/// Makes `version`, unless another host has done so meanwhile.
async fn apply(store: &Store, schema: &Schema, version: usize) -> Result<(), OpenError> {
    let migrating = |reason| {
        let (endpoint, schema) = (store.endpoint().to_owned(), schema.name().to_owned());
        OpenError::Migrate { endpoint, schema, version, reason }
    };
    let mut client = store.connect().await.map_err(migrating)?;
    let work = async {
        let transaction = client.transaction().await?;
        let timeout_ms = TIMEOUT.as_millis();
        let lock = format!("SET LOCAL statement_timeout = {timeout_ms}; SELECT pg_advisory_xact_lock({LOCK})");
        transaction.batch_execute(&lock).await?;
        let found = self::version(&transaction, schema).await?;
        if found >= version {
            return Ok(());
        }
        if found == 0 {
            found_schema(&transaction, schema).await?;
        }
        transaction.batch_execute(&VERSIONS[version - 1].replace("{schema}", &schema.to_string())).await?;
        transaction.batch_execute(&format!("INSERT INTO {schema}.migrations VALUES ({version})")).await?;
        transaction.commit().await
    };
    work.await.map_err(|error: Error| migrating(reason(&error)))
}

/// Makes the schema, unless somebody with more rights has, and the table that tells its version.
async fn found_schema(transaction: &Transaction<'_>, schema: &Schema) -> Result<(), Error> {
    let look = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    let there: bool = transaction.query_one(look, &[&schema.name()]).await?.try_get(0)?;
    if !there {
        transaction.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
    }
    let table = "(version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())";
    transaction.batch_execute(&format!("CREATE TABLE {schema}.migrations {table}")).await
}

/// The version of the tables; 0 if there are none.
async fn version(transaction: &Transaction<'_>, schema: &Schema) -> Result<usize, Error> {
    // Looked up in the catalog's tables: the quicker `to_regclass` may answer from before the lock.
    let look = "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
                               WHERE relname = 'migrations' AND nspname = $1)";
    let there: bool = transaction.query_one(look, &[&schema.name()]).await?.try_get(0)?;
    if !there {
        return Ok(0);
    }
    let newest = format!("SELECT coalesce(max(version), 0) FROM {schema}.migrations");
    let version: i32 = transaction.query_one(&newest, &[]).await?.try_get(0)?;
    // A negative one is not ours; it is refused as one that this host does not know.
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn unreachable(store: &Store, reason: String) -> OpenError {
    OpenError::Unreachable { endpoint: store.endpoint().to_owned(), reason }
}
