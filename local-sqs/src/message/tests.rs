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
fn the_only_system_attribute_is_a_trace_of_some_text() {
    let check =
        |name: &str, json: &str| check("b", &Attributes::new(), &attributes(name, json)).map_err(|error| error.code);
    let of_bytes = |bytes: usize| format!(r#"{{"DataType":"String","StringValue":"{}"}}"#, "x".repeat(bytes));
    assert_eq!(check(TRACE_HEADER, &of_bytes(MAX_TRACE_BYTES)), Ok(()));
    for (name, json) in [
        ("Other", of_bytes(1)),
        (TRACE_HEADER, of_bytes(0)),
        (TRACE_HEADER, of_bytes(MAX_TRACE_BYTES + 1)),
        (TRACE_HEADER, "{}".to_owned()),
        (TRACE_HEADER, r#"{"DataType":"Number","StringValue":"1"}"#.to_owned()),
        (TRACE_HEADER, r#"{"DataType":"Binary","BinaryValue":"AAEC"}"#.to_owned()),
        (TRACE_HEADER, r#"{"DataType":"String","StringValue":"a\u0000"}"#.to_owned()),
    ] {
        assert_eq!(check(name, &json), Err(Code::InvalidParameterValue), "{name} {json}");
    }
}

#[test]
fn an_attribute_has_one_value() {
    for (data_type, both) in [("String", ("x", "AAEC")), ("Binary", ("", "AAEC"))] {
        let json = serde_json::json!({ "DataType": data_type, "StringValue": both.0, "BinaryValue": both.1 });
        let error = serde_json::from_value::<Attribute>(json).unwrap_err().to_string();
        assert!(error.contains("not both"), "{error}");
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
