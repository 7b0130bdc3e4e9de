use super::*;

fn render(template: &str, body: &str) -> Option<String> {
    KeyTemplate::try_from(template.to_owned()).unwrap().render(body.as_bytes(), &Attributes::new())
}

#[test]
fn renders_pointers_and_refuses_what_is_not_there() {
    let check = |body: &str, expect: Option<&str>| {
        assert_eq!(render("r:{/a/b}-{/n}", body).as_deref(), expect, "{body}");
    };
    check(r#"{"a":{"b":"x"},"n":"7"}"#, Some("r:1:x-1:7"));
    check(r#"{"a":{"b":"\u00e9|"},"n":""}"#, Some("r:3:é|-0:"));
    check(r#" { "n" : true , "a" : { "b" : -7.50 } } "#, Some("r:=5:-7.50-=4:true"));
    check(r#"{"a":{"b":"x"}}"#, None);
    check(r#"{"a":{"b":[]},"n":7}"#, None);
    check(r#"{"a":{"b":null},"n":7}"#, None);
    check(r#"{"a":{"b":"\ud800"},"n":7}"#, None);
    check(r#"{"a":{"b":"x"},"n":7"#, None);
    check("[]", None);
    for bad in ["", "fixed", "{a}", "{/a"] {
        assert!(KeyTemplate::try_from(bad.to_owned()).is_err(), "{bad:?}");
    }
}

#[test]
fn what_is_shown_has_the_values_alone() {
    let template = KeyTemplate::try_from("{/tenant}/{/plan}".to_owned()).unwrap();
    let plain = |body: &str| template.render_plain(body.as_bytes(), &Attributes::new());
    assert_eq!(plain(r#"{"tenant":"acme","plan":7}"#).as_deref(), Some("acme/7"));
    assert_eq!(plain(r#"{"tenant":"acme"}"#), None);
}

#[test]
fn values_that_are_written_differently_make_different_keys() {
    let values = [
        "12345678901234567890123",
        "12345678901234567890124",
        "\"12345678901234567890123\"",
        "1",
        "\"1\"",
        "\"=1:1\"",
        "1.0",
        "1e0",
        "1e400",
        "true",
        "\"true\"",
        "\"\"",
    ];
    let keys: std::collections::BTreeSet<_> =
        values.iter().map(|value| render("o:{/id}", &format!("{{\"id\":{value}}}")).expect(value)).collect();
    assert_eq!(keys.len(), values.len(), "{keys:?}");
}

#[test]
fn attributes_are_parts_of_a_key_and_their_data_types_are_told_apart() {
    use wasq_core::message::AttributeValue;
    let template = KeyTemplate::try_from("{attribute:tenant}/{/id}".to_owned()).unwrap();
    let of = |data_type: &str, value: AttributeData| {
        let value = AttributeValue { data_type: data_type.to_owned(), value };
        template.render(br#"{"id":7}"#, &[("tenant".to_owned(), value)].into())
    };
    let text = |text: &str| AttributeData::Text(text.to_owned());
    assert_eq!(of("String", text("acme")).as_deref(), Some("4:acme/=1:7"));
    let all = [
        of("String", text("1")),
        of("Number", text("1")),
        of("Number.int", text("1.0")),
        of("Binary", AttributeData::Binary(b"1"[..].into())),
        of("String", text("#1:MQ==")),
    ];
    assert_eq!(all.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{all:?}");
    assert_eq!(template.render(br#"{"id":7}"#, &Attributes::new()), None);
    assert_eq!(template.render(b"text", &[("tenant".to_owned(), AttributeValue::string("x"))].into()), None);
    let alone = KeyTemplate::try_from("{attribute:tenant}".to_owned()).unwrap();
    assert!(alone.render(b"no JSON", &[("tenant".to_owned(), AttributeValue::string("x"))].into()).is_some());
}
