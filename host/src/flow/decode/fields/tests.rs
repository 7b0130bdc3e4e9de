use super::*;

#[test]
fn fields_are_read_from_the_top_of_an_object_and_nowhere_else() {
    let check = |body: &str, expect: Option<&str>| {
        let fields = Fields::read(body.as_bytes(), false).unwrap();
        assert_eq!(fields.kind().as_deref(), expect, "{body}");
        let keyed = body.replace("type", "idempotency_key").replace("\\u0074ype", "idempotency_key");
        assert_eq!(Fields::read(keyed.as_bytes(), true).unwrap().key().as_deref(), expect, "{keyed}");
    };
    check(r#"{"type":"t"}"#, Some("t"));
    check(r#"{"a":{"type":"no"},"\u0074ype":"\u0074\n","b":[{"type":"no"}]}"#, Some("t\n"));
    check(r#"{"type":"first","type":"last"}"#, Some("last"));
    check(r#"{"type":7}"#, None);
    check(r#"{"type":null}"#, None);
    check(r#"{"x":1}"#, None);
    for body in ["[]", r#"[{"type":"t"}]"#, r#""type""#, "1", "-1", "1.5", "true", "null", "{}", " {} "] {
        check(body, None);
    }
}

#[test]
fn what_is_no_json_is_refused_wherever_it_goes_wrong() {
    for body in ["", "{", "{}x", r#"{"a":}"#, r#"{"a":[1,}"#, r#"{"type":"t""#, "nul", "\u{7f}", "[1,]", "{'a':1}"] {
        assert!(Fields::read(body.as_bytes(), false).is_err(), "{body}");
    }
}
