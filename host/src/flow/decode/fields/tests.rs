use super::*;

#[test]
fn fields_are_read_from_the_top_of_an_object_and_nowhere_else() {
    let check = |body: &str, name: &str, expect: Option<&str>| {
        let fields = Fields::read(body.as_bytes()).unwrap();
        assert_eq!(fields.text(name).as_deref(), expect, "{body}");
    };
    check(r#"{"type":"t"}"#, "type", Some("t"));
    check(r#"{"a":{"type":"no"},"\u0074ype":"\u0074\n","b":[{"type":"no"}]}"#, "type", Some("t\n"));
    check(r#"{"type":"first","type":"last"}"#, "type", Some("last"));
    check(r#"{"type":7}"#, "type", None);
    check(r#"{"type":null}"#, "type", None);
    check(r#"{"x":1}"#, "type", None);
    for body in ["[]", r#"[{"type":"t"}]"#, r#""type""#, "1", "-1", "1.5", "true", "null", "{}", " {} "] {
        check(body, "type", None);
    }
}

#[test]
fn what_is_no_json_is_refused_wherever_it_goes_wrong() {
    for body in ["", "{", "{}x", r#"{"a":}"#, r#"{"a":[1,}"#, r#"{"type":"t""#, "nul", "\u{7f}", "[1,]", "{'a':1}"] {
        assert!(Fields::read(body.as_bytes()).is_err(), "{body}");
    }
}
