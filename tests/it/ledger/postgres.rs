//! What the ledger in PostgreSQL promises beyond the contract: its tables are made once, it sweeps,
//! it survives its server, and it keeps its password to itself.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio_postgres::NoTls;
use wasq::config::{PostgresConfig, Secret};
use wasq_core::message::Key;
use wasq_ledgers::postgres::{OpenError, PostgresLedger};
use wasq_ledgers::{Claim, Ledger, LedgerError};
use wasq_tests::servers::{PASSWORD, Server};

use super::contract::damaged::Damage;
use super::contract::{
    ENDED, LONG, claim, contract, damage_contract, done, finish, fresh, new_key, request, shared_contract,
};
use super::outage::outage;
use crate::support::servers::{postgres, started};

contract!(contract_of_postgres, crate::ledger::postgres::open_shared);
shared_contract!(shared_contract_of_postgres, crate::ledger::postgres::open_two);
damage_contract!(damage_contract_of_postgres, crate::ledger::postgres::open_to_damage);

/// How long a test waits for what has to come.
const SOON: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

pub async fn open_shared() -> (Arc<dyn Ledger>, ()) {
    (Arc::new(open(&config(postgres(), "contract")).await), ())
}

pub async fn open_two() -> (Arc<dyn Ledger>, Arc<dyn Ledger>, ()) {
    let config = config(postgres(), "contract");
    (Arc::new(open(&config).await), Arc::new(open(&config).await), ())
}

pub async fn open_to_damage() -> (Arc<dyn Ledger>, Damage) {
    let ledger: Arc<dyn Ledger> = Arc::new(open(&config(postgres(), "contract_damaged")).await);
    let same = ledger.clone();
    let damage = move |key: Key| {
        async move {
            let damage = format!(
                "ALTER TABLE contract_damaged.entries DROP CONSTRAINT IF EXISTS entries_state_check;
                 UPDATE contract_damaged.entries SET state = 9 WHERE key = '\\x{}'",
                key.to_hex()
            );
            sql(postgres()).await.batch_execute(&damage).await.expect("it answers");
            (same, None)
        }
        .boxed()
    };
    (ledger, Box::new(damage))
}

pub fn config(server: &Server, schema: &str) -> PostgresConfig {
    PostgresConfig { url: Some(Secret(server.url())), schema: schema.into(), max_connections: 4 }
}

pub async fn open(config: &PostgresConfig) -> PostgresLedger {
    PostgresLedger::open(config).await.expect("the ledger opens")
}

/// A connection of the test's own.
pub async fn sql(server: &Server) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.expect("the server answers");
    tokio::spawn(connection);
    client
}

async fn refused(config: &PostgresConfig) -> OpenError {
    let Err(error) = PostgresLedger::open(config).await else { panic!("it must not open") };
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    error
}

#[tokio::test]
async fn ten_hosts_that_start_at_once_make_the_tables_once() {
    let config = config(postgres(), "ten_at_once");
    let opened = futures::future::join_all((0..10).map(|_| open(&config))).await;
    let key = new_key();
    let fence = fresh(&opened[0], key, LONG).await.fence;
    finish(&opened[9], key, fence, done(LONG)).await;
    let made = "SELECT count(*) FROM ten_at_once.migrations";
    let made: i64 = sql(postgres()).await.query_one(made, &[]).await.expect("it answers").get(0);
    assert_eq!(made, 4);
}

#[tokio::test]
async fn tables_that_are_newer_are_refused() {
    let config = config(postgres(), "newer");
    drop(open(&config).await);
    sql(postgres()).await.batch_execute("INSERT INTO newer.migrations VALUES (99)").await.expect("it answers");
    let error = refused(&config).await;
    assert!(matches!(error, OpenError::Newer { found: 99, known: 4, .. }), "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
}

/// An operator may make the schema, and give the host no more than it needs.
#[tokio::test]
async fn tables_that_are_there_need_no_right_to_make_them() {
    let mut config = config(postgres(), "made_before");
    drop(open(&config).await);
    let grant = format!(
        "CREATE ROLE lesser LOGIN PASSWORD '{PASSWORD}';
         GRANT USAGE ON SCHEMA made_before TO lesser;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA made_before TO lesser;
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA made_before TO lesser"
    );
    sql(postgres()).await.batch_execute(&grant).await.expect("it answers");
    config.url = Some(Secret(postgres().url().replace("postgres:pa55", "lesser:pa55")));
    let ledger = open(&config).await;
    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    ledger.put_step(key, fence, "step", b"value").await.expect("ours");
    finish(&ledger, key, fence, done(LONG)).await;
    ledger.ping().await.expect("it can record");

    config.schema = "not_made_before".into();
    let error = refused(&config).await;
    assert!(matches!(error, OpenError::Migrate { version: 1, .. }), "{error}");
    assert!(error.to_string().contains("permission denied"), "{error}");
}

#[tokio::test]
async fn what_has_expired_is_swept_out() {
    let config = config(postgres(), "swept");
    let ledger = open(&config).await;
    let client = sql(postgres()).await;
    let (expired, kept) = (new_key(), new_key());
    for key in [expired, kept] {
        let fence = fresh(&ledger, key, LONG).await.fence;
        ledger.put_step(key, fence, "step", b"value").await.expect("ours");
        ledger.put_envelope(&key.to_hex(), b"{}", if key == kept { LONG } else { ENDED }).await.expect("it records");
    }
    client
        .batch_execute(&format!(
            "UPDATE swept.entries SET removable_at_ms = 0, lease_until_ms = 0 WHERE key = '\\x{}'; UPDATE swept.sweep SET due_ms = 0",
            expired.to_hex()
        ))
        .await
        .expect("it answers");
    drop(ledger);
    // A host looks when it starts.
    let ledger = open(&config).await;
    let rows = "SELECT (SELECT count(*) FROM swept.entries), (SELECT count(*) FROM swept.steps),
                       (SELECT count(*) FROM swept.envelopes)";
    tokio::time::timeout(SOON, async {
        loop {
            let row = client.query_one(rows, &[]).await.expect("it answers");
            if (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)) == (1, 1, 1) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
    .expect("what has expired goes, and nothing else");
    assert!(matches!(claim(&ledger, kept, LONG).await, Claim::Busy { .. }));
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_damage() {
    let ledger = open(&config(postgres(), "damaged")).await;
    let key = new_key();
    let fence = fresh(&ledger, key, ENDED).await.fence;
    let damage =
        "ALTER TABLE damaged.entries DROP CONSTRAINT entries_state_check; UPDATE damaged.entries SET crashes = -7";
    sql(postgres()).await.batch_execute(damage).await.expect("it answers");
    let answer = ledger.claim(key, &request("body", "message", LONG)).await;
    assert!(matches!(&answer, Err(LedgerError::Damaged(what)) if what.contains("crashes")), "{answer:?}");
    sql(postgres()).await.batch_execute("UPDATE damaged.entries SET state = 9").await.expect("it answers");
    let answer = ledger.finish(key, fence, done(LONG)).await;
    assert!(matches!(answer, Err(LedgerError::Damaged(_) | LedgerError::Stale)), "{answer:?}");
}

/// As by a page that the server cannot read: the statement that extends all of them fails.
#[tokio::test]
async fn an_entry_at_which_the_statement_fails_does_not_keep_others_from_their_extension() {
    let ledger = open(&config(postgres(), "unreadable")).await;
    let keys = [new_key(), new_key(), new_key()];
    let mut claims = Vec::new();
    for key in keys {
        claims.push((key, fresh(&ledger, key, LONG).await.fence));
    }
    let damage = format!(
        "CREATE FUNCTION unreadable.fails() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN RAISE EXCEPTION USING ERRCODE = ''data_corrupted'', MESSAGE = ''an unreadable page''; END';
         CREATE TRIGGER fails BEFORE UPDATE ON unreadable.entries FOR EACH ROW
             WHEN (OLD.key = '\\x{}') EXECUTE FUNCTION unreadable.fails()",
        keys[1].to_hex()
    );
    sql(postgres()).await.batch_execute(&damage).await.expect("it answers");
    let answers = ledger.extend(&claims, LONG).await;
    assert!(matches!(&answers[..], [Ok(true), Err(LedgerError::Damaged(_)), Ok(true)]), "{answers:?}");
}

/// All entries have it, so that it is none's damage.
#[tokio::test]
async fn a_column_of_another_type_is_an_outage_and_says_so() {
    let ledger = open(&config(postgres(), "another_type")).await;
    let change = "ALTER TABLE another_type.entries ALTER COLUMN attempts TYPE numeric";
    sql(postgres()).await.batch_execute(change).await.expect("it answers");
    let answer = ledger.claim(new_key(), &request("body", "message", LONG)).await;
    assert!(matches!(&answer, Err(LedgerError::Unavailable(reason)) if reason.contains("attempts")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_or_dies_is_unavailable_until_it_is_back() {
    let mut server = started(Server::postgres());
    let ledger = open(&config(&server, "wasq")).await;
    outage(&ledger, &mut server, Server::stop, Server::cont).await;
    outage(&ledger, &mut server, Server::kill, Server::restart).await;
}

#[tokio::test]
async fn what_is_wrong_with_the_config_is_said_without_its_secret() {
    let good = config(postgres(), "wasq");
    let with_url = |url: &str| PostgresConfig { url: Some(Secret(url.into())), ..good.clone() };
    let port = postgres().port();
    let password_refused = format!("postgres://nobody:{PASSWORD}@127.0.0.1:{port}/postgres");
    let check = async |config: PostgresConfig, expect: &str| {
        let error = refused(&config).await.to_string();
        assert!(error.contains(expect), "{error:?}, wanted {expect:?}");
    };
    check(with_url(&password_refused), "password authentication failed").await;
    check(with_url(&format!("postgres://u:{PASSWORD}@127.0.0.1:1/db")), "127.0.0.1:1/db").await;
    check(with_url(&format!("postgres://u:x@{PASSWORD}?{PASSWORD}@h/db")), "postgres://USER").await;
    check(with_url(&format!("u:{PASSWORD}@127.0.0.1/db")), "postgres://").await;
    check(with_url(&format!("postgres://u:{PASSWORD}@h/db?sslmode=verify-full")), "sslmode").await;
    check(with_url(&format!("{}?sslmode=require", postgres().url())), "TLS").await;
    check(PostgresConfig { schema: "x\"y".into(), ..good.clone() }, "schema").await;
    check(PostgresConfig { max_connections: 0, ..good.clone() }, "1 to 100").await;
    check(PostgresConfig { url: None, ..good.clone() }, "WASQ_LEDGER_URL").await;
    assert!(!format!("{good:?}").contains(PASSWORD));
}
