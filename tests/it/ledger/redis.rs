//! What the ledger in Redis promises beyond the contract: it refuses a server that forgets, it
//! survives its server, it leaves nothing behind, and it keeps its password to itself.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use wasq::config::{RedisConfig, Secret};
use wasq_core::message::Key;
use wasq_ledgers::redis::{OpenError, RedisLedger};
use wasq_ledgers::{Claim, Finish, Ledger, LedgerError};
use wasq_tests::servers::{PASSWORD, Server};

use super::contract::damaged::Damage;
use super::contract::{LONG, claim, contract, damage_contract, done, finish, fresh, new_key, request, shared_contract};
use super::outage::outage;
use crate::support::servers::{redis, started};

contract!(contract_of_redis, crate::ledger::redis::open_shared);
shared_contract!(shared_contract_of_redis, crate::ledger::redis::open_two);
damage_contract!(damage_contract_of_redis, crate::ledger::redis::open_to_damage);

/// How long a test waits for what has to come.
const SOON: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

pub async fn open_shared() -> (Arc<dyn Ledger>, ()) {
    (Arc::new(open(&config(redis(), "contract")).await), ())
}

pub async fn open_two() -> (Arc<dyn Ledger>, Arc<dyn Ledger>, ()) {
    let config = config(redis(), "contract");
    (Arc::new(open(&config).await), Arc::new(open(&config).await), ())
}

pub async fn open_to_damage() -> (Arc<dyn Ledger>, Damage) {
    let ledger: Arc<dyn Ledger> = open_shared().await.0;
    let same = ledger.clone();
    let damage = move |key: Key| {
        async move {
            let name = format!("contract:{{{}}}:entry", key.to_hex());
            let mut damage = ::redis::cmd("HSET");
            damage.arg(name).arg("state").arg("asleep");
            damage.exec_async(&mut client(redis()).await).await.expect("it answers");
            (same, None)
        }
        .boxed()
    };
    (ledger, Box::new(damage))
}

pub fn config(server: &Server, prefix: &str) -> RedisConfig {
    RedisConfig { url: Some(Secret(server.url())), prefix: prefix.into() }
}

pub async fn open(config: &RedisConfig) -> RedisLedger {
    RedisLedger::open(config).await.expect("the ledger opens")
}

/// A connection of the test's own.
pub async fn client(server: &Server) -> ::redis::aio::MultiplexedConnection {
    let client = ::redis::Client::open(server.url()).expect("the URL is right");
    client.get_multiplexed_async_connection().await.expect("the server answers")
}

/// The names in the server that begin so.
async fn names(client: &mut ::redis::aio::MultiplexedConnection, prefix: &str) -> Vec<String> {
    ::redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(client).await.expect("it answers")
}

async fn refused(config: &RedisConfig) -> OpenError {
    let Err(error) = RedisLedger::open(config).await else { panic!("it must not open") };
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    error
}

#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let server = started(Server::redis_with(&["--maxmemory-policy", policy]));
        let error = refused(&config(&server, "wasq")).await;
        assert!(matches!(&error, OpenError::Evicts { policy: found, .. } if found == policy), "{error}");
        assert!(error.to_string().contains("noeviction"), "{error}");
    }
}

/// As on managed servers.
#[tokio::test]
async fn a_server_that_forbids_config_is_taken() {
    let server = started(Server::redis_with(&["--rename-command", "CONFIG", ""]));
    let ledger = open(&config(&server, "wasq")).await;
    ledger.ping().await.expect("it can record");
}

/// A full server does not record, says so, and is well again when there is room.
#[tokio::test]
async fn a_full_server_acknowledges_nothing_and_heals() {
    let server = started(Server::redis());
    let ledger = open(&config(&server, "wasq")).await;
    let (key, other) = (new_key(), new_key());
    let fence = fresh(&ledger, key, LONG).await.fence;
    let mut client = client(&server).await;
    let mut limit = async |bytes: &str| {
        let set = ::redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec_async(&mut client).await;
        set.expect("it answers");
    };
    limit("1").await;
    for outcome in [
        ledger.ping().await,
        ledger.finish(key, fence, done(LONG)).await,
        ledger.put_step(key, fence, "step", b"value").await,
        ledger.claim(other, &request("body", "message", LONG)).await.map(drop),
    ] {
        assert!(matches!(&outcome, Err(LedgerError::Unavailable(reason)) if reason.contains("OOM")), "{outcome:?}");
    }
    limit("0").await;
    assert!(matches!(claim(&ledger, key, LONG).await, Claim::Busy { .. }), "nothing was half done");
    finish(&ledger, key, fence, done(LONG)).await;
    assert_eq!(fresh(&ledger, other, LONG).await.attempt, 1);
}

#[tokio::test]
async fn everything_goes_by_itself() {
    let ledger = open(&config(redis(), "goes")).await;
    let mut client = client(redis()).await;
    // What has ended stays a minute longer; what has not ended has an end all the same.
    let (ended, idle) = (3_600..=3_660, 1_209_600..=1_209_660);
    let letter = Finish::DeadLettered { message_id: wasq_core::message::MessageId("message".into()), ttl: LONG };
    for (ends, goes_in_s) in [
        (Some(done(LONG)), &ended),
        (Some(letter), &ended),
        (Some(Finish::Released { ran: true }), &idle),
        (None, &idle),
    ] {
        let key = new_key();
        let fence = fresh(&ledger, key, LONG).await.fence;
        ledger.put_step(key, fence, "step", b"value").await.expect("ours");
        let steps_go = ends == Some(done(LONG));
        if let Some(ends) = ends {
            finish(&ledger, key, fence, ends).await;
        }
        let names = names(&mut client, &format!("goes:{{{}}}", key.to_hex())).await;
        assert_eq!(names.len(), if steps_go { 1 } else { 2 }, "{names:?}");
        for name in names {
            let ttl_ms: i64 = ::redis::cmd("PTTL").arg(&name).query_async(&mut client).await.expect("it answers");
            let ttl_s = (ttl_ms + 999) / 1_000;
            // A minute for a busy machine.
            assert!((goes_in_s.start() - 60..=*goes_in_s.end()).contains(&ttl_s), "{name} goes in {ttl_s} s");
        }
    }
    ledger.put_envelope("letter", b"{}", Duration::from_millis(100)).await.expect("it records");
    let gone = async {
        while !names(&mut client, "goes:envelope").await.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("it goes");
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_is_damage() {
    let ledger = open(&config(redis(), "damaged")).await;
    let mut client = client(redis()).await;
    let checks: [(&str, &[&str]); 4] = [
        ("crashes", &["HSET", "crashes", "-7"]),
        ("fence", &["HSET", "fence", "many"]),
        ("state", &["HSET", "state", "asleep"]),
        ("body is missing", &["HDEL", "body"]),
    ];
    for (expect, damage) in checks {
        let key = new_key();
        fresh(&ledger, key, LONG).await;
        let name = format!("damaged:{{{}}}:entry", key.to_hex());
        let mut command = ::redis::cmd(damage[0]);
        command.arg(&name).arg(&damage[1..]);
        command.exec_async(&mut client).await.expect("it answers");
        let answer = ledger.claim(key, &request("body", "message", LONG)).await;
        assert!(matches!(&answer, Err(LedgerError::Damaged(what)) if what.contains(expect)), "{answer:?}");
    }
    let key = new_key();
    let name = format!("damaged:{{{}}}:entry", key.to_hex());
    ::redis::cmd("SET").arg(&name).arg("no hash").exec_async(&mut client).await.expect("it answers");
    let answer = ledger.claim(key, &request("body", "message", LONG)).await;
    assert!(matches!(answer, Err(LedgerError::Damaged(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_or_dies_is_unavailable_until_it_is_back() {
    let mut server = started(Server::redis());
    let ledger = open(&config(&server, "wasq")).await;
    outage(&ledger, &mut server, Server::stop, Server::cont).await;
    outage(&ledger, &mut server, Server::kill, Server::restart).await;
}

#[tokio::test]
async fn what_is_wrong_with_the_config_is_said_without_its_secret() {
    let good = config(redis(), "wasq");
    let with_url = |url: &str| RedisConfig { url: Some(Secret(url.into())), ..good.clone() };
    let check = async |config: RedisConfig, expect: &str| {
        let error = refused(&config).await.to_string();
        assert!(error.contains(expect), "{error:?}, wanted {expect:?}");
    };
    let port = redis().port();
    check(with_url(&format!("redis://:{PASSWORD}x@127.0.0.1:{port}")), &format!("127.0.0.1:{port}/0")).await;
    check(with_url(&format!("redis://:{PASSWORD}@127.0.0.1:1/3")), "127.0.0.1:1/3").await;
    check(with_url(&format!("redis://:{PASSWORD}@127.0.0.1:{port}/{PASSWORD}")), "redis://USER").await;
    check(with_url(&format!("http://:{PASSWORD}@127.0.0.1:{port}")), "redis://USER").await;
    check(with_url(&redis().url().replace("redis://", "rediss://")), "127.0.0.1").await;
    check(RedisConfig { prefix: "a{b".into(), ..good.clone() }, "prefix").await;
    check(RedisConfig { url: None, ..good.clone() }, "WASQ_LEDGER_URL").await;
}
