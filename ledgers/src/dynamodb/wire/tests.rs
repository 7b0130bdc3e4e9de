use bytes::Bytes;

use super::*;

fn answer(status: u16, body: &str) -> DirectAnswer {
    DirectAnswer { status, headers: Default::default(), body: Bytes::from(body.to_owned()) }
}

fn every_type() -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let bytes = |bytes: &[u8]| Blob::new(bytes);
    Item::from([
        ("s".to_owned(), text("\"quoted\" ü 😀 \u{1}")),
        ("n".to_owned(), AttributeValue::N("18446744073709551615".into())),
        ("b".to_owned(), AttributeValue::B(bytes(&[0, 255, 62, 63]))),
        ("bool".to_owned(), AttributeValue::Bool(true)),
        ("null".to_owned(), AttributeValue::Null(true)),
        ("l".to_owned(), AttributeValue::L(vec![text(""), AttributeValue::L(vec![])])),
        ("m".to_owned(), AttributeValue::M([("inner".to_owned(), AttributeValue::B(bytes(b"")))].into())),
        ("ss".to_owned(), AttributeValue::Ss(vec!["a".into()])),
        ("ns".to_owned(), AttributeValue::Ns(vec!["1.5".into()])),
        ("bs".to_owned(), AttributeValue::Bs(vec![bytes(b"x"), bytes(b"yz")])),
    ])
}

#[test]
fn attributes_of_every_type_are_read_as_they_are_written() {
    let json = serde_json::to_string(&Attributes(&every_type())).unwrap();
    for part in [r#""n":{"N":"18446744073709551615"}"#, r#""b":{"B":"AP8+Pw=="}"#, r#""bs":{"BS":["eA==","eXo="]}"#] {
        assert!(json.contains(part), "{json}");
    }
    for name in ["Item", "Attributes"] {
        let Ok(Answer::Done(Some(item))) = read(&answer(200, &format!(r#"{{"{name}":{json}}}"#))) else {
            panic!("{json}")
        };
        assert_eq!(item, every_type());
    }
}

#[test]
fn a_refused_condition_is_an_answer_and_every_other_error_is_not() {
    let refused = |item: &str| {
        let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        read(&answer(400, &format!(r#"{{"__type":"{code}","message":"The conditional request failed"{item}}}"#)))
    };
    assert!(matches!(refused(""), Ok(Answer::Refused(None))));
    let Ok(Answer::Refused(Some(item))) = refused(r#","Item":{"fence":{"N":"7"}}"#) else { panic!("it has an item") };
    assert_eq!(item, Item::from([("fence".to_owned(), AttributeValue::N("7".into()))]));

    assert!(matches!(read(&answer(200, "{}")), Ok(Answer::Done(None))));
    for (status, body) in [
        (200, ""),
        (200, "{"),
        (200, "null"),
        (200, r#"{"Item":{"fence":{"N":"7""#),
        (200, r#"{"Item":{"fence":{"N":7}}}"#),
        (200, r#"{"Item":{"fence":{"Q":"7"}}}"#),
        (200, r#"{"Item":{"fence":{"B":"-"}}}"#),
        (400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#),
        (400, "{}"),
        (500, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}"#),
        (503, "<html>"),
    ] {
        assert!(read(&answer(status, body)).is_err(), "{status} {body}");
    }
}
