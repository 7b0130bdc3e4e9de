use super::*;

fn attributes(name: &str, json: &str) -> Attributes {
    Attributes::from([(name.to_owned(), serde_json::from_str(json).unwrap())])
}

#[test]
fn content_reads_back() {
    let head = Head {
        md5: "m".into(),
        attributes: attributes("a", r#"{"DataType":"Binary.png","BinaryValue":"AAEC"}"#),
        dedup_id: Some("d".into()),
        ..Head::default()
    };
    let content = Content { head, body: "héllo".into() };
    assert_eq!(Content::decode(content.encode()), Some(content));
    assert_eq!(Content::decode(vec![9, 0, 0, 0]), None);
}

#[test]
fn bad_attributes_are_refused() {
    let check = |name: &str, json: &str| check("b", &attributes(name, json), &Attributes::new());
    assert_eq!(check("ok.name-1_", r#"{"DataType":"Number.int","StringValue":"-1.5e3"}"#), Ok(()));
    let text = r#"{"DataType":"String","StringValue":"x"}"#;
    for name in ["", ".a", "a.", "a..b", "aws.x", "Amazon.x", "a b", "§"] {
        assert_eq!(check(name, text).unwrap_err().code, Code::InvalidParameterValue, "{name}");
    }
    for json in [
        r#"{"DataType":"String","StringValue":""}"#,
        r#"{"DataType":"Number","StringValue":"many"}"#,
        r#"{"DataType":"Binary","StringValue":"x"}"#,
        r#"{"DataType":"Text","StringValue":"x"}"#,
        r#"{"StringValue":"x"}"#,
    ] {
        assert_eq!(check("a", json).unwrap_err().code, Code::InvalidParameterValue, "{json}");
    }
}

#[test]
fn size_counts_bodies_names_types_and_values() {
    let attributes = attributes("ab", r#"{"DataType":"String","StringValue":"xyz"}"#);
    assert_eq!(size("éé", &attributes), 4 + 2 + 6 + 3);
    let none = Attributes::new();
    assert!(check_size(&"x".repeat(MAX_MESSAGE_BYTES), &none, MAX_MESSAGE_BYTES, false).is_ok());
    assert!(check_size(&"x".repeat(MAX_MESSAGE_BYTES + 1), &none, MAX_MESSAGE_BYTES, false).is_err());
    assert_eq!(check("a\0", &none, &none).unwrap_err().code, Code::InvalidMessageContents);
    assert_eq!(check("", &none, &none).unwrap_err().code, Code::MissingParameter);
}
