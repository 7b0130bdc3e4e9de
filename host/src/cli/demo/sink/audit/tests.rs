use super::*;

fn body(sequence: u64, previous: &str, entry: &str) -> (Vec<u8>, String) {
    let hash = link_hash(previous, &RawValue::from_string(entry.to_owned()).expect("JSON"));
    let body = format!(r#"{{"sequence":{sequence},"previous":"{previous}","entry":{entry},"hash":"{hash}"}}"#);
    (body.into_bytes(), hash)
}

#[test]
fn only_the_next_entry_with_its_right_hash_is_taken() {
    let mut audit = Audit::default();
    let (first, hash) = body(1, FIRST_PREVIOUS, r#"{"order_id":"A-1"}"#);
    let (rival, _) = body(1, FIRST_PREVIOUS, r#"{"order_id":"A-2"}"#);
    let (second, second_hash) = body(2, &hash, r#"{"order_id":"A-2"}"#);
    let (gap, _) = body(4, &second_hash, "{}");
    let forged = String::from_utf8(second.clone()).expect("text").replace("A-2", "A-3").into_bytes();
    for (body, key, expect) in [
        (&second, "k2", Append::NotNext),
        (&first, "k1", Append::Done),
        (&first, "k1", Append::Known),
        (&rival, "k2", Append::NotNext),
        (&second, "k2", Append::Done),
        (&gap, "k3", Append::NotNext),
    ] {
        assert_eq!(audit.append(body, Some(key)), expect, "{}", String::from_utf8_lossy(body));
    }
    assert!(matches!(audit.append(&forged, Some("k3")), Append::Wrong(_)));
    assert!(matches!(audit.append(b"{}", Some("k3")), Append::Wrong(_)));
    assert_eq!((audit.head(), audit.verify()), ((2, second_hash.as_str()), Ok(2)));
}

#[test]
fn a_changed_entry_breaks_the_chain() {
    let mut audit = Audit::default();
    let (first, _) = body(1, FIRST_PREVIOUS, r#"{"total":1}"#);
    assert_eq!(audit.append(&first, None), Append::Done);
    audit.links[0].entry = RawValue::from_string(r#"{"total":2}"#.to_owned()).expect("JSON");
    assert_eq!(audit.verify(), Err("audit entry 1 does not follow the one before it".to_owned()));
}
