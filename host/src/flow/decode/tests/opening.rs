//! What is opened before a type is looked for, and what is not.

use bytes::Bytes;
use serde_json::json;

use super::*;

#[test]
fn a_pointer_is_found_in_whatever_it_is_and_its_body_takes_its_place() {
    let pointer_text = r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]"#;
    let sns = |inner: &str| json!({ "Type": "Notification", "TopicArn": "t", "Message": inner }).to_string();
    let event = format!(r#"{{"id":"e","detail-type":"t","source":"s","detail":{pointer_text}}}"#);
    for outer in [pointer_text.to_owned(), sns(pointer_text), sns(&sns(pointer_text)), event.clone(), sns(&event)] {
        let found = super::super::pointer(&delivery(&outer, &[]), &queue(Envelope::Auto)).unwrap();
        let (object, opened) = found.unwrap_or_else(|| panic!("{outer}"));
        assert_eq!(object.to_string(), "s3://b/k");
        let whole = opened.wrapped(Bytes::from_static(br#"{"type":"t","n":1.0}"#)).unwrap();
        let whole = std::str::from_utf8(&whole).unwrap();
        assert_eq!(message(&delivery(whole, &[]), &queue(Envelope::Auto)).unwrap().body, r#"{"type":"t","n":1.0}"#);
        let bytes = opened.wrapped(Bytes::from_static(b"\xff"));
        assert_eq!(bytes.is_some(), outer == pointer_text, "only a body that is in nothing need not be text");
    }
    let found = |body: &str, envelope| super::super::pointer(&delivery(body, &[]), &queue(envelope));
    assert!(found(&sns(pointer_text), Envelope::Plain).unwrap().is_none());
    assert!(found("{}", Envelope::Auto).unwrap().is_none());
    assert!(found(&pointer_text.replace("s3Key", "key"), Envelope::Plain).is_err());
}

#[test]
fn a_byte_order_mark_before_json_is_skipped() {
    for envelope in [Envelope::Plain, Envelope::Auto] {
        let message = message(&delivery("\u{feff}{\"type\":\"t\"}", &[]), &queue(envelope)).unwrap();
        assert_eq!((message.kind.0.as_str(), message.body.as_ref()), ("t", br#"{"type":"t"}"#.as_ref()));
    }
    let text = message(&delivery("\u{feff}text", &[("type", "t")]), &queue(Envelope::Plain)).unwrap();
    assert_eq!(text.body, "\u{feff}text".as_bytes());
}

#[test]
fn a_plain_queue_opens_nothing_and_says_what_it_could_open() {
    let event = r#"{"detail-type":"placed","detail":{}}"#;
    let error = message(&delivery(event, &[]), &queue(Envelope::Plain)).unwrap_err();
    assert!(error.contains("envelope = \"auto\""), "{error}");
    let pointer = r#"["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"b","s3Key":"k"}]"#;
    for envelope in [Envelope::Plain, Envelope::Auto] {
        let error = message(&delivery(pointer, &[]), &queue(envelope)).unwrap_err();
        assert!(error.contains("claim_check_bucket"), "{error}");
    }
    assert_eq!(message(&delivery(event, &[("type", "t")]), &queue(Envelope::Plain)).unwrap().body, event.as_bytes());
}
