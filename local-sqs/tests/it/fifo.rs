//! FIFO queues: order, groups, deduplication.

use serde_json::{Value, json};

use super::support::{Server, bodies};

async fn queue(server: &Server, name: &str, messages: &[&str]) -> String {
    let url = server.create(name, json!({})).await;
    for message in messages {
        server.send_to_group(&url, message.split('-').next().unwrap(), message).await;
    }
    url
}

async fn show(server: &Server, url: &str, message: &Value) {
    let request = json!({ "QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0 });
    server.ok("ChangeMessageVisibility", request).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_visible_again_comes_although_a_later_one_of_its_group_is_in_flight() {
    let server = Server::start().await;
    let url = queue(&server, "a.fifo", &["g1-m1", "g1-m2", "g2-m1"]).await;
    let taken = server.receive(&url, 2, 600).await;
    assert_eq!(bodies(&taken), ["g1-m1", "g1-m2"]);
    show(&server, &url, &taken[0]).await;
    assert_eq!(bodies(&server.receive(&url, 3, 600).await), ["g2-m1", "g1-m1"]);

    let url = queue(&server, "b.fifo", &["g-m1", "g-m2", "g-m3"]).await;
    let taken = server.receive(&url, 10, 600).await;
    show(&server, &url, &taken[1]).await;
    assert!(server.receive(&url, 10, 600).await.is_empty(), "the one before it is in flight");
    show(&server, &url, &taken[0]).await;
    assert_eq!(bodies(&server.receive(&url, 10, 600).await), ["g-m1", "g-m2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_take_turns() {
    let server = Server::start().await;
    let url = queue(&server, "a.fifo", &["g1-m1", "g2-m1", "g2-m2", "g3-m1", "g1-m2"]).await;
    assert_eq!(bodies(&server.receive(&url, 3, 0).await), ["g1-m1", "g1-m2", "g2-m1"]);
    assert_eq!(bodies(&server.receive(&url, 10, 0).await), ["g3-m1", "g1-m1", "g1-m2", "g2-m1", "g2-m2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_over_neither_deletes_nor_hides() {
    let server = Server::start().await;
    let url = queue(&server, "a.fifo", &["g-m1"]).await;
    let handle = server.receive(&url, 1, 0).await.remove(0)["ReceiptHandle"].clone();
    let text = handle.as_str().unwrap();
    for (operation, reason) in [
        ("DeleteMessage", "The receipt handle has expired."),
        ("ChangeMessageVisibility", "Message does not exist or is not available for visibility timeout change."),
    ] {
        let request = json!({ "QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 5 });
        let message = format!("Value {text} for parameter ReceiptHandle is invalid. Reason: {reason}");
        server.refused(operation, request, "InvalidParameterValue", &message).await;
    }
    assert_eq!(server.receive(&url, 1, 0).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_forgets_what_was_sent_even_after_a_restart() {
    let server = Server::start().await;
    let url = queue(&server, "a.fifo", &["g-m1"]).await;
    let purge = json!({ "QueueUrl": "a.fifo" });
    server.ok("PurgeQueue", purge.clone()).await;
    server.send_to_group(&url, "g", "g-m1").await;
    assert_eq!(server.receive(&url, 10, 0).await.len(), 1);
    server.ok("PurgeQueue", purge).await;
    let server = server.restart().await;
    let url = server.url("a.fifo");
    server.send_to_group(&url, "g", "g-m1").await;
    server.send_to_group(&url, "g", "g-m1").await;
    assert_eq!(server.receive(&url, 10, 0).await.len(), 1, "and what was sent after it is remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_is_the_queues_and_no_delay_is_not_none() {
    let server = Server::start().await;
    let url = server.create("a.fifo", json!({ "DelaySeconds": "900" })).await;
    let send = |delay_s: u32| json!({ "QueueUrl": url, "MessageBody": "b", "MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": delay_s });
    server.ok("SendMessage", send(0)).await;
    assert!(server.receive(&url, 10, 0).await.is_empty());
    assert_eq!(server.attributes(&url).await["ApproximateNumberOfMessagesDelayed"], "1");
    let message = "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid \
                   for this queue type.";
    server.refused("SendMessage", send(2), "InvalidParameterValue", message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_makes_the_deduplication_id_by_sha_256() {
    let server = Server::start().await;
    let url = server.create("a.fifo", json!({ "ContentBasedDeduplication": "true" })).await;
    let by_content = json!({ "QueueUrl": url, "MessageBody": "first", "MessageGroupId": "g" });
    let sent = server.ok("SendMessage", by_content).await;
    let sha_256 = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
    let by_id = json!({
        "QueueUrl": url, "MessageBody": "second", "MessageGroupId": "h", "MessageDeduplicationId": sha_256,
    });
    let twin = server.ok("SendMessage", by_id).await;
    assert_eq!(twin["SequenceNumber"], sent["SequenceNumber"]);
    let message = server.receive(&url, 10, 0).await.remove(0);
    assert_eq!(message["Attributes"]["MessageDeduplicationId"], sha_256);
    assert_eq!(message["Attributes"]["SequenceNumber"], sent["SequenceNumber"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_deduplication_scope_does_not_count_at_once() {
    let server = Server::start().await;
    for (name, before, after, expect) in
        [("a.fifo", "queue", "messageGroup", 1), ("b.fifo", "messageGroup", "queue", 2)]
    {
        let url = server.create(name, json!({ "DeduplicationScope": before })).await;
        let set = json!({ "QueueUrl": url, "Attributes": { "DeduplicationScope": after } });
        server.ok("SetQueueAttributes", set).await;
        assert_eq!(server.attributes(&url).await["DeduplicationScope"], after);
        server.send_to_group(&url, "g", "same").await;
        server.send_to_group(&url, "h", "same").await;
        assert_eq!(server.receive(&url, 10, 0).await.len(), expect, "from {before} to {after}");
    }
}
