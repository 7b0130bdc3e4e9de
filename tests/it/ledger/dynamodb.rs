//! The ledger in DynamoDB, against two servers that share no code, and what it promises beyond the
//! contract: its time is the server's, a write whose answer got lost counts once, and a call costs
//! what the documents say. The contract holds with the SDK alone, too.

mod direct;
pub mod proxy;
pub mod servers;
mod tables;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use futures::FutureExt;
use wasq::config::{AwsConfig, DynamodbConfig};
use wasq_core::aws::sdk_config;
use wasq_core::clock;
use wasq_core::message::{Key, MessageId, UnixMs};
use wasq_ledgers::dynamodb::{DynamodbLedger, OpenError};
use wasq_ledgers::{Claim, ClaimRequest, Finish, Ledger, LedgerError};

use self::proxy::{Proxy, Trouble};
use self::servers::Server;
use super::contract::damaged::Damage;
use super::contract::{
    ENDED, LONG, claim, contract, damage_contract, done, extend, finish, fresh, new_key, request, shared_contract,
};
use crate::support::until;

contract!(contract_of_dynamodb_on_moto, crate::ledger::dynamodb::open_on_moto);
contract!(contract_of_dynamodb_on_dynalite, crate::ledger::dynamodb::open_on_dynalite);
shared_contract!(shared_contract_of_dynamodb_on_moto, crate::ledger::dynamodb::open_two_on_moto);
shared_contract!(shared_contract_of_dynamodb_on_dynalite, crate::ledger::dynamodb::open_two_on_dynalite);

damage_contract!(damage_contract_of_dynamodb_on_moto, crate::ledger::dynamodb::open_to_damage_on_moto);
damage_contract!(damage_contract_of_dynamodb_on_dynalite, crate::ledger::dynamodb::open_to_damage_on_dynalite);

contract!(contract_of_dynamodb_by_the_sdk_on_moto, crate::ledger::dynamodb::open_by_the_sdk_on_moto);
contract!(contract_of_dynamodb_by_the_sdk_on_dynalite, crate::ledger::dynamodb::open_by_the_sdk_on_dynalite);

/// A lease that ends while a test waits.
const SHORT: Duration = Duration::from_secs(6);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How much later than its length a lease may end for others: two bounds on a time that is known to
/// the second.
const LEASE_GRACE: Duration = Duration::from_secs(3);
/// How long a call may take whose server does not answer, with what a busy machine adds.
const NO_ANSWER: Duration = Duration::from_secs(15);

pub async fn open_on_moto() -> (Arc<dyn Ledger>, ()) {
    (Arc::new(open(&servers::moto().url()).await), ())
}

pub async fn open_on_dynalite() -> (Arc<dyn Ledger>, ()) {
    (Arc::new(open(&servers::dynalite().url()).await), ())
}

pub async fn open_by_the_sdk_on_moto() -> (Arc<dyn Ledger>, ()) {
    (Arc::new(open_by_the_sdk(&servers::moto().url()).await), ())
}

pub async fn open_by_the_sdk_on_dynalite() -> (Arc<dyn Ledger>, ()) {
    (Arc::new(open_by_the_sdk(&servers::dynalite().url()).await), ())
}

pub async fn open_two_on_moto() -> (Arc<dyn Ledger>, Arc<dyn Ledger>, ()) {
    (open_on_moto().await.0, open_on_moto().await.0, ())
}

pub async fn open_two_on_dynalite() -> (Arc<dyn Ledger>, Arc<dyn Ledger>, ()) {
    (open_on_dynalite().await.0, open_on_dynalite().await.0, ())
}

pub async fn open_to_damage_on_moto() -> (Arc<dyn Ledger>, Damage) {
    open_to_damage(servers::moto().url()).await
}

pub async fn open_to_damage_on_dynalite() -> (Arc<dyn Ledger>, Damage) {
    open_to_damage(servers::dynalite().url()).await
}

async fn open_to_damage(url: String) -> (Arc<dyn Ledger>, Damage) {
    let ledger: Arc<dyn Ledger> = Arc::new(open(&url).await);
    let same = ledger.clone();
    let damage = move |key: Key| {
        async move {
            change(&url, key, "state", AttributeValue::S("asleep".into())).await;
            (same, None)
        }
        .boxed()
    };
    (ledger, Box::new(damage))
}

/// Sets an attribute of a key's entry behind the ledger.
async fn change(url: &str, key: Key, name: &str, value: AttributeValue) {
    let call = client(url).await.update_item().table_name("wasq-ledger");
    let call = call.key("key", AttributeValue::B(Blob::new(key.0))).key("item", AttributeValue::S("entry".into()));
    let call = call.update_expression("SET #name = :value").expression_attribute_names("#name", name);
    call.expression_attribute_values(":value", value).send().await.expect("the server answers");
}

fn config(url: &str, table: &str, create: bool) -> (DynamodbConfig, AwsConfig) {
    (DynamodbConfig { table: table.into(), create, endpoint_url: Some(url.into()) }, AwsConfig::default())
}

async fn try_open(url: &str, table: &str, create: bool) -> Result<DynamodbLedger, OpenError> {
    let (config, aws) = config(url, table, create);
    DynamodbLedger::open(&config, &aws).await
}

/// The table that all tests on a server share.
pub async fn open(url: &str) -> DynamodbLedger {
    try_open(url, "wasq-ledger", true).await.expect("the ledger opens")
}

/// The same, with every call made by the SDK.
async fn open_by_the_sdk(url: &str) -> DynamodbLedger {
    let (config, aws) = config(url, "wasq-ledger", true);
    DynamodbLedger::open(&config, &AwsConfig { sdk_only: true, ..aws }).await.expect("the ledger opens")
}

/// The SDK's client, to look behind the ledger.
pub async fn client(url: &str) -> Client {
    Client::new(&sdk_config(&AwsConfig { endpoint_url: Some(url.into()), region: None, ..AwsConfig::default() }).await)
}

/// All items of a key.
async fn items(url: &str, key: Key) -> Vec<std::collections::HashMap<String, AttributeValue>> {
    let query = client(url).await.query().table_name("wasq-ledger").key_condition_expression("#key = :key");
    let query = query.expression_attribute_names("#key", "key");
    let query = query.expression_attribute_values(":key", AttributeValue::B(Blob::new(key.0)));
    query.send().await.expect("the server answers").items.expect("there are items")
}

fn is_unavailable<T: std::fmt::Debug>(answer: Result<T, LedgerError>, parts: &[&str]) {
    match answer {
        Err(LedgerError::Unavailable(reason)) => {
            for part in parts {
                assert!(reason.contains(part), "{reason:?} does not say {part:?}");
            }
        }
        answer => panic!("expected no answer in time, got {answer:?}"),
    }
}

/// docs/operate/ledger-dynamodb.md says what each costs.
#[tokio::test]
async fn each_operation_makes_as_few_calls_as_it_can() {
    for (server, busy) in [
        (servers::moto().address(), &["PutItem"][..]),
        // It does not say what stands in the way of a write.
        (servers::dynalite().address.clone(), &["PutItem", "GetItem"]),
    ] {
        let proxy = Proxy::new(&server);
        let ledger = open(&proxy.url()).await;
        let (key, other, third) = (new_key(), new_key(), new_key());
        let third_fence = fresh(&ledger, third, LONG).await.fence;
        proxy.actions();
        let fence = fresh(&ledger, key, LONG).await.fence;
        assert_eq!(proxy.actions(), ["PutItem"], "a first claim");
        claim(&ledger, key, LONG).await;
        assert_eq!(proxy.actions(), busy, "a claim of a held key");
        ledger.put_step(key, fence, "charge", b"receipt").await.unwrap();
        assert_eq!(proxy.actions(), ["UpdateItem"], "a small step");
        ledger.get_step(key, fence, "charge").await.unwrap();
        assert_eq!(proxy.actions(), ["GetItem"], "reading it");
        ledger.put_step(key, fence, "pdf", &[7; 2000]).await.unwrap();
        assert_eq!(proxy.actions(), ["PutItem", "UpdateItem"], "a long step");
        ledger.get_step(key, fence, "pdf").await.unwrap();
        assert_eq!(proxy.actions(), ["GetItem", "GetItem"], "reading it");
        let second = fresh(&ledger, other, LONG).await.fence;
        proxy.actions();
        extend(&ledger, &[(key, fence), (other, second)], LONG).await;
        assert_eq!(proxy.actions(), ["UpdateItem"; 2], "extending two claims");
        finish(&ledger, key, fence, done(LONG)).await;
        assert_eq!(proxy.actions(), ["UpdateItem"], "a finish");
        claim(&ledger, key, LONG).await;
        assert_eq!(proxy.actions(), busy, "a claim of what is done");
        finish(&ledger, other, second, Finish::Failed { at: UnixMs(1) }).await;
        proxy.actions();
        fresh(&ledger, other, LONG).await;
        assert_eq!(proxy.actions(), [busy, &["UpdateItem"]].concat(), "a second attempt, by another message");
        let again = async |key, expected: &[&str], what| {
            let again = request("body", "message", LONG);
            ledger.claim(key, &ClaimRequest { is_redelivery: true, ..again }).await.unwrap();
            assert_eq!(proxy.actions(), expected, "{what}");
        };
        again(other, &[&["UpdateItem"], &busy[1..]].concat(), "a redelivery of what is held").await;
        again(key, &[&["UpdateItem"], &busy[1..]].concat(), "a redelivery of what is done").await;
        finish(&ledger, third, third_fence, Finish::Failed { at: UnixMs(1) }).await;
        proxy.actions();
        again(third, &["UpdateItem"], "a second attempt").await;
        again(new_key(), &["UpdateItem", "GetItem", "PutItem"], "a redelivery of what was never claimed").await;
        ledger.ping().await.unwrap();
        assert_eq!(proxy.actions(), ["PutItem"], "a ping");
    }
}

/// The hosts' wall clock stands an hour away from the server's.
#[tokio::test]
async fn a_wall_clock_that_is_an_hour_off_takes_no_live_lease() {
    for off_s in [-3600, 3600] {
        let proxy = Proxy::new(&servers::dynalite().address);
        proxy.make(Trouble::ClockOff(off_s));
        let (holder, taker) = (open(&proxy.url()).await, open(&proxy.url()).await);
        let key = new_key();
        let lease = Duration::from_secs(60);
        fresh(&holder, key, lease).await;
        let Claim::Busy { remaining } = claim(&taker, key, lease).await else { panic!("the lease is live") };
        assert!(remaining <= lease && remaining > lease / 2, "{remaining:?}");
    }
}

#[tokio::test]
async fn a_lease_ends_for_another_host_and_its_holder_is_refused() {
    let url = servers::dynalite().url();
    let (slow, quick) = (open(&url).await, open(&url).await);
    let key = new_key();
    let began = clock::now();
    let stale = fresh(&slow, key, SHORT).await.fence;
    assert!(matches!(claim(&quick, key, LONG).await, Claim::Busy { .. }));
    let mut looks = 0;
    let taken = loop {
        match claim(&quick, key, LONG).await {
            Claim::Fresh(fresh) => break fresh,
            Claim::Busy { remaining } => {
                assert!(remaining <= SHORT, "{remaining:?}");
                // Counted in looks: a machine that stands still takes none.
                looks += 1;
                assert!(LOOK * looks <= SHORT + LEASE_GRACE, "it is held after {looks} looks");
                tokio::time::sleep(LOOK).await;
            }
            other => panic!("it is claimed: {other:?}"),
        }
    };
    assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
    assert_eq!((taken.attempt, taken.crashes), (2, 1));
    assert!(matches!(slow.finish(key, stale, done(LONG)).await, Err(LedgerError::Stale)));
    assert!(matches!(slow.put_step(key, stale, "step", b"late").await, Err(LedgerError::Stale)));
    assert_eq!(extend(&slow, &[(key, stale)], LONG).await, [false]);
    finish(&quick, key, taken.fence, done(LONG)).await;
}

#[tokio::test]
async fn one_of_many_hosts_takes_over_what_another_left() {
    for url in [servers::moto().url(), servers::dynalite().url()] {
        let key = new_key();
        fresh(&open(&url).await, key, ENDED).await;
        let mut claims = tokio::task::JoinSet::new();
        for ledger in futures::future::join_all((0..8).map(|_| open(&url))).await {
            for _ in 0..4 {
                let ledger = ledger.clone();
                claims.spawn(async move { claim(&ledger, key, LONG).await });
            }
        }
        let answers = claims.join_all().await;
        let won: Vec<_> = answers.iter().filter(|answer| !matches!(answer, Claim::Busy { .. })).collect();
        assert!(matches!(won[..], [Claim::Fresh(fresh)] if fresh.crashes == 1), "{won:?}");
    }
}

/// Leases that end at once: everybody wins, one after the other.
#[tokio::test]
async fn claims_that_race_are_counted_one_by_one() {
    for url in [servers::moto().url(), servers::dynalite().url()] {
        let key = new_key();
        let mut claims = tokio::task::JoinSet::new();
        for ledger in futures::future::join_all((0..5).map(|_| open(&url))).await {
            claims.spawn(async move { fresh(&ledger, key, ENDED).await });
        }
        let mut won = claims.join_all().await;
        won.sort_unstable_by_key(|fresh| fresh.attempt);
        assert_eq!(
            won.iter().map(|fresh| (fresh.attempt, fresh.crashes)).collect::<Vec<_>>(),
            [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]
        );
        assert!(won.is_sorted_by(|one, next| one.fence < next.fence), "{won:?}");
    }
}

/// The SDK tries again what the server has done already.
#[tokio::test]
async fn a_write_whose_answer_is_lost_counts_once() {
    for server in [servers::moto().address(), servers::dynalite().address.clone()] {
        for trouble in [Trouble::LosesAnswers(1), Trouble::LosesAnswers(2), Trouble::CutsAnswers(1)] {
            let proxy = Proxy::new(&server);
            let ledger = open(&proxy.url()).await;
            let lossy = || proxy.make(trouble.clone());
            let key = new_key();
            lossy();
            let first = fresh(&ledger, key, LONG).await;
            assert_eq!((first.attempt, first.crashes), (1, 0), "a first claim");
            lossy();
            ledger.put_step(key, first.fence, "charge", b"receipt").await.expect("the claim is ours");
            lossy();
            finish(&ledger, key, first.fence, Finish::Released { ran: true }).await;
            lossy();
            let second = fresh(&ledger, key, LONG).await;
            assert_eq!(
                (second.attempt, second.crashes),
                (1, 0),
                "the release is taken off once, and the claim is counted once"
            );
            finish(&ledger, key, second.fence, Finish::Failed { at: UnixMs(1) }).await;
            lossy();
            let redelivered = ClaimRequest { is_redelivery: true, ..request("body", "message", LONG) };
            let Ok(Claim::Fresh(third)) = ledger.claim(key, &redelivered).await else { panic!("it is ours") };
            assert_eq!((third.attempt, third.crashes, third.first_failed_at), (2, 0, Some(UnixMs(1))));
            lossy();
            let letter = Finish::DeadLettered { message_id: MessageId("message".into()), ttl: LONG };
            finish(&ledger, key, third.fence, letter).await;
            assert_eq!(claim(&ledger, key, LONG).await, Claim::DeadLettered);
        }
    }
}

#[tokio::test]
async fn a_step_of_256_kib_is_kept_and_a_stale_one_does_not_touch_it() {
    for url in [servers::moto().url(), servers::dynalite().url()] {
        let ledger = open(&url).await;
        let key = new_key();
        let stale = fresh(&ledger, key, ENDED).await.fence;
        let ours = fresh(&ledger, key, LONG).await.fence;
        let value: Vec<u8> = (0..256 * 1024).map(|i| (i % 251) as u8).collect();
        ledger.put_step(key, ours, "pdf", &value).await.unwrap();
        assert!(matches!(ledger.put_step(key, stale, "pdf", &vec![0; value.len()]).await, Err(LedgerError::Stale)));
        assert_eq!(ledger.get_step(key, ours, "pdf").await.unwrap().as_deref(), Some(&value[..]));
        let large = ledger.put_step(key, ours, "pdf", &vec![0; 400 * 1024]).await;
        assert!(matches!(&large, Err(LedgerError::TooLarge(what)) if what.contains("409600")), "{large:?}");
        assert_eq!(ledger.get_step(key, ours, "pdf").await.unwrap().as_deref(), Some(&value[..]));
    }
}

/// DynamoDB removes items on its own: the value of a step must not go before the entry that points
/// to it.
#[tokio::test]
async fn a_long_step_outlasts_its_dead_letter() {
    let url = servers::dynalite().url();
    let ledger = open(&url).await;
    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    ledger.put_step(key, fence, "pdf", &[7; 2000]).await.unwrap();
    let ttl = Duration::from_secs(90 * 24 * 60 * 60);
    finish(&ledger, key, fence, Finish::DeadLettered { message_id: MessageId("message".into()), ttl }).await;
    let expires: Vec<u64> = items(&url, key)
        .await
        .iter()
        .map(|item| item["expires_at"].as_n().expect("it is a number").parse().expect("it is whole"))
        .collect();
    let [entry, step] = expires[..] else { panic!("an entry and a step: {expires:?}") };
    assert!(step > entry && entry * 1000 > clock::unix_ms().0 + ttl.as_millis() as u64, "{expires:?}");
}

#[tokio::test]
async fn a_server_that_dies_is_unavailable_and_serves_again_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().expect("the path is UTF-8");
    let first = wasq_tests::servers::free_port().expect("one is free").to_string();
    let server = Server::dynalite(&[&first, path]);
    let (url, address) = (server.url(), server.address.clone());
    let ledger = open(&url).await;
    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    server.kill();
    let asked = clock::now();
    is_unavailable(ledger.claim(new_key(), &request("body", "message", LONG)).await, &["wasq-ledger"]);
    is_unavailable(ledger.finish(key, fence, done(LONG)).await, &["wasq-ledger"]);
    is_unavailable(ledger.ping().await, &["wasq-ledger"]);
    assert!(asked.elapsed() < NO_ANSWER, "{:?}", asked.elapsed());

    let port = address.rsplit(':').next().expect("it has a port");
    let _server = Server::dynalite(&[port, path]);
    until("the ledger can record again", || async { ledger.ping().await.is_ok() }).await;
    assert!(matches!(claim(&ledger, key, LONG).await, Claim::Busy { .. }), "the claim is still there");
    finish(&ledger, key, fence, done(LONG)).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let proxy = Proxy::new(&servers::dynalite().address);
    let ledger = open(&proxy.url()).await;
    proxy.make(Trouble::Silence);
    let asked = clock::now();
    is_unavailable(ledger.ping().await, &["PutItem", "wasq-ledger", "no answer in time"]);
    assert!(asked.elapsed() < NO_ANSWER, "{:?}", asked.elapsed());
    proxy.make(Trouble::None);
    ledger.ping().await.expect("it answers again");
}
