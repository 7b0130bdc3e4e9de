use super::super::client::Client;
use super::*;

#[tokio::test]
async fn calls_are_remembered_with_what_they_were_about() {
    let sink = Sink::start().await.expect("a sink");
    let client = Client::new(&sink.url());
    let body = serde_json::json!({"to": "z@example.com", "order_id": "A-1001"}).to_string();
    assert_eq!(client.post("/mail/messages", "key-1", body.clone()).await.expect("an answer").0, 201);
    assert_eq!(client.post("/mail/messages", "key-1", body.clone()).await.expect("an answer").0, 201);
    assert_eq!(client.post("/nothing/here", "key-2", body.clone()).await.expect("an answer").0, 404);
    let first = &sink.effects()[0];
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/mail/messages"));
    assert_eq!((first.idempotency_key.as_deref(), first.id.as_deref()), (Some("key-1"), Some("A-1001")));
    assert_eq!((first.body_bytes, &first.body_blake3), (body.len(), &blake3::hash(body.as_bytes()).to_string()));
    assert_eq!((sink.count("/mail", None), sink.count("/mail", Some("A-1001"))), (2, 2), "it does not deduplicate");
    assert_eq!((sink.count("/mail", Some("A-1")), sink.count("/nothing", None), sink.calls("/")), (0, 0, 3));
    sink.shutdown().await.expect("a clean stop");
}

#[tokio::test]
async fn it_fails_as_told_and_heals() {
    let sink = Sink::start().await.expect("a sink");
    let client = Client::new(&sink.url());
    let mut statuses = Vec::new();
    sink.fail("/partner", 503, Some(7), None);
    sink.fail("/analytics", 500, None, Some(1));
    for path in ["/partner/webhooks/orders", "/analytics/events", "/analytics/events"] {
        statuses.push(client.post(path, "key", "{}".to_owned()).await.expect("an answer").0);
    }
    sink.heal("/partner");
    statuses.push(client.post("/partner/webhooks/orders", "key", "{}".to_owned()).await.expect("an answer").0);
    assert_eq!(statuses, [503, 500, 201, 201]);
    assert_eq!((sink.calls("/partner"), sink.count("/partner", None)), (2, 1));
}

#[tokio::test]
async fn waiting_ends_with_the_call_that_was_waited_for() {
    let sink = Sink::start().await.expect("a sink");
    sink.set_latency("/mail", Duration::from_millis(1));
    let client = Client::new(&sink.url());
    let call = client.post("/mail/messages", "key", "{}".to_owned());
    let (answer, ()) = tokio::join!(call, sink.wait_until(|effects| effects.len() == 1));
    assert_eq!(answer.expect("an answer").0, 201);
}
