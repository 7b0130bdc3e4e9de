//! The calls that every message takes are made without the SDK's machinery, by what the SDK's own
//! calls have shown. Each of them must be what the SDK would have sent, and whatever goes wrong
//! must end as it would with the SDK.

pub mod gate;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use wasq_core::aws::AwsConfig;
use wasq_queues::sqs::Sqs;
use wasq_queues::{Outgoing, Queue};

use crate::cli::binary::client;
use crate::support::until;

const HOUR: Duration = Duration::from_secs(3_600);

use gate::*;

#[tokio::test]
async fn with_sdk_only_every_call_is_the_sdks() {
    let gate = Gate::start().await;
    let config = AwsConfig { endpoint_url: Some(gate.url()), sdk_only: true, ..AwsConfig::default() };
    let queue = Sqs::connect(&config).await.queue(&format!("{}/123456789012/jobs", gate.url())).await.unwrap();
    for _ in 0..3 {
        receive(&queue).await.unwrap();
    }
    assert_eq!(gate.seen(), vec![seen("ReceiveMessage", By::Sdk, 200); 3]);
}

#[tokio::test]
async fn the_sdk_makes_the_first_call_and_one_a_minute() {
    let gate = Gate::start().await;
    let queue = gate.queue(static_credentials()).await;
    for _ in 0..3 {
        receive(&queue).await.unwrap();
    }
    let ours = seen("ReceiveMessage", By::Us, 200);
    let theirs = seen("ReceiveMessage", By::Sdk, 200);
    assert_eq!(gate.seen(), [theirs.clone(), ours.clone(), ours.clone()]);

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    for _ in 0..2 {
        receive(&queue).await.unwrap();
    }
    assert_eq!(gate.seen(), [theirs, ours]);
}

/// moto verifies each signature with botocore.
#[tokio::test]
async fn another_hand_finds_our_signatures_right() {
    let server = client("moto_server", ["--port", "0"]).spawn();
    let line = server.line("Running on http://").await;
    let behind = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
    let (id, secret) = user_with_all_rights(&behind).await;
    let gate = Gate::before(Some(behind.clone())).await;

    let stranger = Credentials::new(&id, "not the secret", None, None, "test");
    let stranger = Sqs::new(&sdk_config(&gate.url(), stranger).await);
    let host = Sqs::new(&sdk_config(&gate.url(), Credentials::new(&id, &secret, None, None, "test")).await);
    host.client().create_queue().queue_name("jobs").send().await.unwrap();
    post(Request::post(format!("{behind}/moto-api/reset-auth")), "0").await;
    stranger.queue("jobs").await.map(|_| ()).unwrap_err();
    assert_eq!(gate.seen().pop(), Some(seen("GetQueueUrl", By::Sdk, 403)), "moto looks at signatures");

    let queue = host.queue("jobs").await.unwrap();
    gate.seen();
    let body = r#"{"text":"\"quoted\" ü 😀 \u0001 ~ / + %20"}"#;
    let message = Outgoing {
        body: body.into(),
        attributes: [("type".to_owned(), wasq_core::message::AttributeValue::string("a b/ü"))].into(),
        delay_s: 0,
        group: None,
        deduplication_id: None,
    };
    queue.send(&[message.clone(), message]).await.into_iter().for_each(|sent| drop(sent.unwrap()));
    let deliveries = receive(&queue).await.unwrap();
    assert_eq!(deliveries.len(), 2);
    for delivery in &deliveries {
        assert_eq!(delivery.body, body);
        assert_eq!(delivery.attributes["type"].text(), Some("a b/ü"));
        assert_eq!(delivery.receive_count, 1);
        assert!(delivery.sent_at.0 > 0);
    }
    let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
    let changes: Vec<_> = receipts.iter().map(|receipt| (receipt.clone(), 60)).collect();
    queue.change_visibility(&changes).await.into_iter().for_each(Result::unwrap);
    queue.delete(&receipts).await.into_iter().for_each(Result::unwrap);
    let expected = [
        seen("SendMessageBatch", By::Sdk, 200),
        seen("ReceiveMessage", By::Us, 200),
        seen("ChangeMessageVisibilityBatch", By::Us, 200),
        seen("DeleteMessageBatch", By::Us, 200),
    ];
    assert_eq!(gate.seen(), expected);
}

/// Makes a user who may do all, and its key.
pub async fn user_with_all_rights(moto: &str) -> (String, String) {
    let policy =
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }] });
    let iam = "AWS4-HMAC-SHA256 Credential=any/20200101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0";
    let ask = async |form: Vec<(&str, &str)>| {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post(moto).header(AUTHORIZATION, iam);
        post(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded"), &form).await
    };
    ask(vec![("Action", "CreateUser"), ("UserName", "host"), ("Version", "2010-05-08")]).await;
    ask(vec![
        ("Action", "PutUserPolicy"),
        ("UserName", "host"),
        ("PolicyName", "all"),
        ("PolicyDocument", &policy.to_string()),
        ("Version", "2010-05-08"),
    ])
    .await;
    let answer = ask(vec![("Action", "CreateAccessKey"), ("UserName", "host"), ("Version", "2010-05-08")]).await;
    let element = |name: &str| {
        let start = answer.split_once(&format!("<{name}>")).unwrap().1;
        start.split_once(&format!("</{name}>")).unwrap().0.to_owned()
    };
    (element("AccessKeyId"), element("SecretAccessKey"))
}

pub async fn post(request: http::request::Builder, body: &str) -> String {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Bytes = to_bytes(Body::new(answer.into_body()), usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_clock_that_goes_wrong_is_corrected_as_the_sdk_does_and_followed() {
    let gate = Gate::start().await;
    let queue = gate.queue(static_credentials()).await;
    let receipts = [wasq_core::message::Receipt("r".into())];
    queue.delete(&receipts).await;
    queue.delete(&receipts).await;
    let call = |by, status| seen("DeleteMessageBatch", by, status);
    assert_eq!(gate.seen(), [call(By::Sdk, 200), call(By::Us, 200)]);

    *gate.state.ahead.lock().unwrap() = HOUR;
    queue.delete(&receipts).await;
    assert_eq!(gate.seen(), [call(By::Us, 403), call(By::Sdk, 403), call(By::Sdk, 200)]);
    queue.delete(&receipts).await;
    assert_eq!(gate.seen(), [call(By::Us, 200)], "signed by the service's clock");
}

#[tokio::test]
async fn a_batch_that_does_not_come_back_well_is_made_again_by_the_sdk() {
    let gate = Gate::start().await;
    let queue = gate.queue(static_credentials()).await;
    receive(&queue).await.unwrap();
    gate.seen();
    let call = |by, status| seen("DeleteMessageBatch", by, status);
    for (status, body) in [
        (StatusCode::OK, r#"{"Successful":[{"Id":"0""#),
        (StatusCode::OK, r#"{"Successful":"none"}"#),
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"__type":"ServiceUnavailable"}"#),
        (StatusCode::FORBIDDEN, r#"{"__type":"com.amazonaws.sqs#InvalidClientTokenId"}"#),
    ] {
        gate.order(status, body);
        gate.order(StatusCode::OK, r#"{"Successful":[{"Id":"0"}],"Failed":[]}"#);
        let answers = queue.delete(&[wasq_core::message::Receipt("r".into())]).await;
        assert!(matches!(answers[..], [Ok(())]), "{body}: {answers:?}");
        assert_eq!(gate.seen(), [call(By::Us, status.as_u16()), call(By::Sdk, 200)], "{body}");
    }
}

#[tokio::test]
async fn a_call_that_its_caller_gave_up_is_followed_by_one_of_the_sdks() {
    let gate = Gate::start().await;
    let queue = gate.queue(static_credentials()).await;
    receive(&queue).await.unwrap();
    gate.seen();
    gate.state.silent.store(true, Ordering::Relaxed);
    let receipts = [wasq_core::message::Receipt("r".into())];
    let arrived = until("the call has arrived", || async { !gate.state.seen.lock().unwrap().is_empty() });
    tokio::select! {
        answers = queue.delete(&receipts) => panic!("nobody answers: {answers:?}"),
        () = arrived => {}
    }
    assert_eq!(gate.seen(), [seen("DeleteMessageBatch", By::Us, 0)]);

    gate.state.silent.store(false, Ordering::Relaxed);
    gate.order(StatusCode::OK, r#"{"Successful":[{"Id":"0"}],"Failed":[]}"#);
    queue.delete(&receipts).await.remove(0).unwrap();
    assert_eq!(gate.seen(), [seen("DeleteMessageBatch", By::Sdk, 200)]);
}

#[tokio::test]
async fn a_receive_is_made_once_and_fails_in_the_sdks_words() {
    let gate = Gate::start().await;
    let queue = gate.queue(static_credentials()).await;
    let call = |by, status| seen("ReceiveMessage", by, status);
    for (status, body) in [
        (StatusCode::OK, r#"{"Messages":[{"MessageId":"m""#),
        (StatusCode::OK, r#"{"Messages":"none"}"#),
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"__type":"ServiceUnavailable","message":"later"}"#),
        (StatusCode::INTERNAL_SERVER_ERROR, r#"{"__type":"com.amazonaws.sqs#InternalFailure"}"#),
        (StatusCode::FORBIDDEN, r#"{"__type":"com.amazonaws.sqs#AccessDeniedException","Message":"no"}"#),
        (StatusCode::BAD_REQUEST, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}"#),
        (StatusCode::BAD_REQUEST, "<html>"),
    ] {
        receive(&queue).await.unwrap();
        gate.seen();
        gate.order(status, body);
        let ours = receive(&queue).await.unwrap_err();
        assert_eq!(gate.seen(), [call(By::Us, status.as_u16())], "{body}");
        gate.order(status, body);
        let theirs = receive(&queue).await.unwrap_err();
        assert_eq!(gate.seen(), [call(By::Sdk, status.as_u16())], "the SDK's way next: {body}");
        assert_eq!(std::mem::discriminant(&ours), std::mem::discriminant(&theirs), "{ours:?}, {theirs:?}");
        assert_eq!(ours.code(), theirs.code());
        // What cannot be read is told of in words of one's own.
        if ours.code() != "Unknown" {
            assert_eq!(ours.to_string(), theirs.to_string());
        }
    }
}

#[tokio::test]
async fn an_answer_is_read_as_the_sdk_reads_it() {
    let gate = Gate::start().await;
    let queue = gate.queue(static_credentials()).await;
    let answers = [
        r#"{"Messages":null}"#,
        r#"{"Messages":[{"MessageId":"m","ReceiptHandle":"r","Body":"\u00fc\"\\\ud83d\ude00","Attributes":{"SentTimestamp":"1523232000000",
            "ApproximateReceiveCount":"7","MessageGroupId":"g","MessageDeduplicationId":"d","AWSTraceHeader":"Root=1-5759e988-bd862e3fe1be46a994272793",
            "SenderId":"AIDA"},"MessageAttributes":{"b":{"DataType":"Binary.x","BinaryValue":"AP8="},"n":{"DataType":"Number","StringValue":"1"}},
            "MD5OfBody":"x","MD5OfMessageAttributes":"y"}]}"#,
        r#"{"Messages":[{"MessageId":"m","ReceiptHandle":"r","Body":""}],"More":{"than":["is","known"]}}"#,
    ];
    for answer in answers {
        let mut read = Vec::new();
        for by in [By::Sdk, By::Us] {
            if by == By::Sdk {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(61)).await;
                tokio::time::resume();
            }
            gate.order(StatusCode::OK, answer);
            let deliveries = receive(&queue).await.unwrap();
            assert_eq!(gate.seen(), [seen("ReceiveMessage", by, 200)]);
            read.push(
                deliveries
                    .into_iter()
                    .map(|delivery| {
                        let received_at = wasq_core::clock::now();
                        format!("{:?}", wasq_core::message::Delivery { received_at, ..delivery })
                            .split(", received_at")
                            .next()
                            .unwrap()
                            .to_owned()
                    })
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(read[0], read[1]);
    }
}

#[tokio::test]
async fn credentials_near_their_end_are_not_used_and_new_ones_are() {
    #[derive(Debug, Default)]
    struct Rotating(AtomicUsize);
    impl ProvideCredentials for Rotating {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let (id, left) = match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => ("AKIDFIRST", Duration::from_secs(5)),
                _ => ("AKIDSECOND", HOUR),
            };
            let credentials = Credentials::new(id, "secret", Some("token".into()), Some(now() + left), "test");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }
    let gate = Gate::start().await;
    let queue = gate.queue(Rotating::default()).await;
    for _ in 0..3 {
        receive(&queue).await.unwrap();
    }
    let call = |by| seen("ReceiveMessage", by, 200);
    assert_eq!(gate.seen(), [call(By::Sdk), call(By::Sdk), call(By::Us)]);
    assert_eq!(*gate.state.keys.lock().unwrap(), ["AKIDFIRST", "AKIDSECOND", "AKIDSECOND"]);
}
