//! The ledger's calls on items are made without the SDK's machinery, by what the SDK's own calls
//! have shown. Each of them must be what the SDK would have sent, and whatever goes wrong must end
//! as it would with the SDK.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use http::StatusCode;

use super::*;
use crate::cli::binary;
use crate::direct_calls::gate::{By, Gate, Seen, now, sdk_config, seen, static_credentials};
use crate::direct_calls::{post, user_with_all_rights};

const HOUR: Duration = Duration::from_secs(3_600);

async fn gate() -> Gate {
    Gate::before(Some(servers::dynalite().url())).await
}

async fn try_open_as(
    gate: &Gate,
    credentials: impl ProvideCredentials + 'static,
    sdk_only: bool,
) -> Result<DynamodbLedger, OpenError> {
    let (config, aws) = config(&gate.url(), "wasq-ledger", true);
    let shared = sdk_config(&gate.url(), credentials).await;
    DynamodbLedger::open_as(&shared, &config, AwsConfig { sdk_only, ..aws }).await
}

/// The ledger behind a gate that has seen nothing yet.
async fn open_as(gate: &Gate, credentials: impl ProvideCredentials + 'static) -> DynamodbLedger {
    let ledger = try_open_as(gate, credentials, false).await.expect("the ledger opens");
    gate.seen();
    ledger
}

fn ours(operation: &str) -> Seen {
    seen(operation, By::Us, 200)
}

fn theirs(operation: &str) -> Seen {
    seen(operation, By::Sdk, 200)
}

async fn a_minute_later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn the_sdk_makes_the_first_call_and_one_a_minute() {
    let gate = gate().await;
    let ledger = try_open_as(&gate, static_credentials(), false).await.expect("the ledger opens");
    assert!(gate.seen().iter().all(|call| call.by == By::Sdk));
    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    ledger.put_step(key, fence, "charge", b"receipt").await.unwrap();
    assert_eq!(ledger.get_step(key, fence, "charge").await.unwrap().as_deref(), Some(&b"receipt"[..]));
    assert_eq!(extend(&ledger, &[(key, fence)], LONG).await, [true]);
    finish(&ledger, key, fence, done(LONG)).await;
    assert_eq!(gate.seen(), ["PutItem", "UpdateItem", "GetItem", "UpdateItem", "UpdateItem"].map(ours));

    a_minute_later().await;
    let fence = fresh(&ledger, new_key(), LONG).await.fence;
    assert!(matches!(ledger.finish(new_key(), fence, done(LONG)).await, Err(LedgerError::Stale)));
    assert_eq!(gate.seen(), [theirs("PutItem"), seen("UpdateItem", By::Us, 400), ours("GetItem")]);
}

#[tokio::test]
async fn with_sdk_only_every_call_is_the_sdks() {
    let gate = gate().await;
    let ledger = try_open_as(&gate, static_credentials(), true).await.expect("the ledger opens");
    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    finish(&ledger, key, fence, done(LONG)).await;
    assert!(matches!(claim(&ledger, key, LONG).await, Claim::Done { .. }));
    assert!(gate.seen().iter().all(|call| call.by == By::Sdk));
}

/// moto verifies each signature with botocore.
#[tokio::test]
async fn another_hand_finds_our_signatures_right() {
    let server = binary::client("moto_server", ["--port", "0"]).spawn();
    let line = server.line("Running on http://").await;
    let behind = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
    let (id, secret) = user_with_all_rights(&behind).await;
    let gate = Gate::before(Some(behind.clone())).await;
    let ledger = open_as(&gate, Credentials::new(&id, &secret, None, None, "test")).await;
    post(http::Request::post(format!("{behind}/moto-api/reset-auth")), "0").await;

    let stranger = Credentials::new(&id, "not the secret", None, None, "test");
    let refused = try_open_as(&gate, stranger, false).await.err().expect("moto looks at signatures").to_string();
    assert!(refused.contains("DescribeTable"), "{refused}");
    gate.seen();

    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    assert!(matches!(claim(&ledger, key, LONG).await, Claim::Busy { .. }), "its item is in the refusal");
    let name = "\"quoted\" ü 😀 \u{1} ~ / + %20";
    let value: Vec<u8> = (0..=255).collect();
    ledger.put_step(key, fence, name, &value).await.unwrap();
    assert_eq!(ledger.get_step(key, fence, name).await.unwrap(), Some(value));
    finish(&ledger, key, fence, done(LONG)).await;
    let calls = ["PutItem", "UpdateItem", "GetItem", "UpdateItem"].map(ours);
    let [claimed, calls @ ..] = calls;
    assert_eq!(gate.seen(), [&[claimed, seen("PutItem", By::Us, 400)][..], &calls].concat());
}

#[tokio::test]
async fn a_clock_that_goes_wrong_is_corrected_as_the_sdk_does_and_followed() {
    let gate = gate().await;
    let ledger = open_as(&gate, static_credentials()).await;
    *gate.state.ahead.lock().unwrap() = HOUR;
    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    let late = |by| seen("PutItem", by, 403);
    assert_eq!(gate.seen(), [late(By::Us), late(By::Sdk), theirs("PutItem")]);
    finish(&ledger, key, fence, done(LONG)).await;
    assert_eq!(gate.seen(), [ours("UpdateItem")], "signed by the service's clock");
}

/// Whether or not the call was done that is answered so.
#[tokio::test]
async fn a_call_that_does_not_come_back_well_is_made_again_by_the_sdk_and_counts_once() {
    let gate = gate().await;
    let ledger = open_as(&gate, static_credentials()).await;
    for (status, body) in [
        (StatusCode::OK, ""),
        (StatusCode::OK, r#"{"Attributes":{"fence""#),
        (StatusCode::OK, r#"{"Attributes":"none"}"#),
        (StatusCode::BAD_REQUEST, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#),
        (StatusCode::BAD_REQUEST, r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException"}"#),
        (StatusCode::FORBIDDEN, r#"{"__type":"com.amazon.coral.service#ExpiredTokenException"}"#),
        (StatusCode::INTERNAL_SERVER_ERROR, r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#),
        (StatusCode::SERVICE_UNAVAILABLE, "<html>"),
    ] {
        let key = new_key();
        let call = |operation, by, status: StatusCode| seen(operation, by, status.as_u16());
        gate.order(status, body);
        let first = fresh(&ledger, key, LONG).await;
        assert_eq!(gate.seen(), [call("PutItem", By::Us, status), theirs("PutItem")], "{status} {body}");
        gate.order(status, body);
        finish(&ledger, key, first.fence, Finish::Released { ran: true }).await;
        assert_eq!(gate.seen(), [call("UpdateItem", By::Us, status), theirs("UpdateItem")], "{status} {body}");

        let other = new_key();
        gate.lose(status, body);
        let second = fresh(&ledger, other, LONG).await;
        let repeated = |operation| [call(operation, By::Us, status), seen(operation, By::Sdk, 400), theirs("GetItem")];
        assert_eq!(gate.seen(), repeated("PutItem"), "{status} {body}");
        gate.lose(status, body);
        finish(&ledger, other, second.fence, Finish::Failed { at: UnixMs(1) }).await;
        assert_eq!(gate.seen(), repeated("UpdateItem"), "{status} {body}");

        let (first, second) = (fresh(&ledger, key, LONG).await, fresh(&ledger, other, LONG).await);
        assert_eq!((first.attempt, first.crashes, second.attempt, second.crashes), (1, 0, 2, 0), "{status} {body}");
        gate.seen();
    }
}

#[tokio::test]
async fn throttling_is_waited_out_and_told_of_as_by_the_sdk() {
    let gate = gate().await;
    let (ledger, by_the_sdk) =
        (open_as(&gate, static_credentials()).await, try_open_as(&gate, static_credentials(), true).await.unwrap());
    gate.seen();
    const THROTTLED: &str =
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate of requests exceeds"}"#;
    let mut said = Vec::new();
    for (ledger, calls) in [(&ledger, 4), (&by_the_sdk, 3)] {
        for _ in 0..calls {
            gate.order(StatusCode::BAD_REQUEST, THROTTLED);
        }
        said.push(ledger.claim(new_key(), &request("body", "message", LONG)).await.unwrap_err().to_string());
        assert_eq!(gate.seen().len(), calls);
    }
    assert!(said[0].contains("ThrottlingException: Rate of requests exceeds"), "{}", said[0]);
    assert_eq!(said[0], said[1]);
    fresh(&ledger, new_key(), LONG).await;
    fresh(&ledger, new_key(), LONG).await;
    assert_eq!(gate.seen(), [theirs("PutItem"), ours("PutItem")]);
}

#[tokio::test]
async fn a_call_that_its_caller_gave_up_is_followed_by_one_of_the_sdks() {
    let gate = gate().await;
    let ledger = open_as(&gate, static_credentials()).await;
    gate.state.silent.store(true, Ordering::Relaxed);
    let arrived = until("the call has arrived", || async { !gate.state.seen.lock().unwrap().is_empty() });
    tokio::select! {
        claim = claim(&ledger, new_key(), LONG) => panic!("nobody answers: {claim:?}"),
        () = arrived => {}
    }
    assert_eq!(gate.seen(), [seen("PutItem", By::Us, 0)]);
    gate.state.silent.store(false, Ordering::Relaxed);
    fresh(&ledger, new_key(), LONG).await;
    assert_eq!(gate.seen(), [theirs("PutItem")]);
}

#[tokio::test]
async fn credentials_near_their_end_are_not_used_and_new_ones_are() {
    #[derive(Debug, Default)]
    struct Rotating {
        given: AtomicUsize,
        long: AtomicBool,
    }
    impl ProvideCredentials for &'static Rotating {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let id = format!("AKID{}", self.given.fetch_add(1, Ordering::Relaxed));
            let left = if self.long.load(Ordering::Relaxed) { HOUR } else { Duration::from_secs(5) };
            let credentials = Credentials::new(id, "secret", Some("token".into()), Some(now() + left), "test");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }
    let gate = gate().await;
    let rotating: &'static Rotating = Box::leak(Box::default());
    let ledger = open_as(&gate, rotating).await;
    ledger.ping().await.unwrap();
    rotating.long.store(true, Ordering::Relaxed);
    gate.state.keys.lock().unwrap().clear();
    for _ in 0..2 {
        ledger.ping().await.unwrap();
    }
    assert_eq!(gate.seen(), [theirs("PutItem"), theirs("PutItem"), ours("PutItem")]);
    let newest = format!("AKID{}", rotating.given.load(Ordering::Relaxed) - 1);
    assert_eq!(*gate.state.keys.lock().unwrap(), [newest.clone(), newest]);
}
