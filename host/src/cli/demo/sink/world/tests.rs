use super::*;

#[test]
fn the_id_is_found_wherever_a_service_has_it() {
    let check = |body: &str, expect: Option<&str>| assert_eq!(id_in_body(body.as_bytes()).as_deref(), expect, "{body}");
    check(r#"{"order_id":"A-1001"}"#, Some("A-1001"));
    check(r#"{"sequence":1,"entry":{"order_id":"A-1002"}}"#, Some("A-1002"));
    check(r#"{"subject":"Your order A-1003 is on its way"}"#, Some("A-1003"));
    check(r#"{"event":"order_completed","at":"2026-01-02T03:04:05Z"}"#, Some("2026-01-02T03:04:05Z"));
    check(r#"{"subject":"Hello"}"#, None);
    check("", None);
}

#[test]
fn each_place_takes_only_what_it_is_for() {
    let mut world = World::default();
    for (method, path, body, expect) in [
        ("POST", "/mail/messages", "{}", 201),
        ("POST", "/mail/messages", "hello", 422),
        ("GET", "/mail/messages", "", 404),
        ("POST", "/inventory/storefront/reservations", "{}", 201),
        ("POST", "/inventory/elsewhere/reservations", "{}", 404),
        ("PUT", "/storage/receipts/A-1001.pdf", "%PDF-1.7", 201),
        ("PUT", "/storage/receipts/A-1001.pdf", "text", 422),
        ("PUT", "/storage/thumbnails/img-1/64.jpg", "text", 422),
        ("GET", "/images/img-1.png", "", 200),
        ("GET", "/audit/head", "", 200),
        ("POST", "/audit/entries", "{}", 422),
    ] {
        let body = Bytes::from(body);
        let answer = world.answer(&Call { method, path, idempotency_key: None, body: &body });
        assert_eq!(answer.status.as_u16(), expect, "{method} {path}");
    }
}
