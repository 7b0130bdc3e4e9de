//! Batches: refused as a whole, and in part.

use serde_json::{Value, json};

use super::support::Server;

const ID: &str = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 \
                  letters long.";

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_refused_for_its_entries() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let code = |name: &str| format!("AWS.SimpleQueueService.{name}");
    for operation in ["SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"] {
        let entry = |id: &str| json!({ "Id": id, "MessageBody": "b", "ReceiptHandle": "r", "VisibilityTimeout": 1 });
        let many = |count: usize| (0..count).map(|id| entry(&id.to_string())).collect::<Value>();
        for (entries, expect, message) in [
            (
                json!([]),
                "EmptyBatchRequest",
                format!("There should be at least one {operation}RequestEntry in the request."),
            ),
            (
                many(11),
                "TooManyEntriesInBatchRequest",
                "Maximum number of entries per request are 10. You have sent 11.".to_owned(),
            ),
            (json!([entry("")]), "InvalidBatchEntryId", ID.to_owned()),
            (json!([entry("a:b")]), "InvalidBatchEntryId", ID.to_owned()),
            (json!([entry(&"x".repeat(81))]), "InvalidBatchEntryId", ID.to_owned()),
            (
                json!([entry("1"), entry("2"), entry("2"), entry("1")]),
                "BatchEntryIdsNotDistinct",
                "Id 2 repeated.".to_owned(),
            ),
        ] {
            server.refused(operation, json!({ "QueueUrl": url, "Entries": entries }), &code(expect), &message).await;
        }
    }
    let entries = json!([{ "Id": "1", "MessageBody": "x".repeat(1_048_576) }, { "Id": "2", "MessageBody": "x" }]);
    let message = "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.";
    let request = json!({ "QueueUrl": url, "Entries": entries });
    server.refused("SendMessageBatch", request, &code("BatchRequestTooLong"), message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_in_part_says_only_what_there_is_to_say() {
    let server = Server::start().await;
    let url = server.create("q", json!({ "MaximumMessageSize": "1024" })).await;
    let long = "x".repeat(1_025);
    let send = |entries: Value| json!({ "QueueUrl": url, "Entries": entries });
    let keys = |answer: &Value| answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let good = json!({ "Id": "good", "MessageBody": "b" });
    let bad = json!({ "Id": "bad", "MessageBody": long });
    let all_good = server.ok("SendMessageBatch", send(json!([good]))).await;
    assert_eq!(keys(&all_good), ["Successful"]);
    let part = server.ok("SendMessageBatch", send(json!([good, bad]))).await;
    assert_eq!(keys(&part), ["Failed", "Successful"]);
    let words = "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.";
    let failed = json!([{ "Id": "bad", "SenderFault": true, "Code": "InvalidParameterValue", "Message": words }]);
    assert_eq!(part["Failed"], failed);
    let all_bad = server.ok("SendMessageBatch", send(json!([bad]))).await;
    assert_eq!(keys(&all_bad), ["Failed"]);

    let handle = server.receive(&url, 1, 600).await.remove(0)["ReceiptHandle"].clone();
    let entries = json!([{ "Id": "1", "ReceiptHandle": "fake" }, { "Id": "2", "ReceiptHandle": handle }]);
    let answer = server.ok("DeleteMessageBatch", send(entries)).await;
    assert_eq!(answer["Successful"], json!([{ "Id": "2" }]));
    let words = "The input receipt handle \"fake\" is not a valid receipt handle.";
    let failed = json!([{ "Id": "1", "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": words }]);
    assert_eq!(answer["Failed"], failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_entry_without_its_ids_fails_a_fifo_batch() {
    let server = Server::start().await;
    let url = server.create("q.fifo", json!({})).await;
    let good = json!({ "Id": "1", "MessageBody": "b", "MessageGroupId": "g", "MessageDeduplicationId": "d" });
    for (bad, message) in [
        (
            json!({ "Id": "2", "MessageBody": "b", "MessageDeduplicationId": "e" }),
            "The request must contain the parameter MessageGroupId.",
        ),
        (
            json!({ "Id": "2", "MessageBody": "b", "MessageGroupId": "g" }),
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
        ),
    ] {
        let request = json!({ "QueueUrl": url, "Entries": [good, bad] });
        server.refused("SendMessageBatch", request, "InvalidParameterValue", message).await;
        assert!(server.receive(&url, 10, 0).await.is_empty(), "nothing was sent");
    }
    // Alone, the first has another code.
    let request = json!({ "QueueUrl": url, "MessageBody": "b", "MessageDeduplicationId": "e" });
    let message = "The request must contain the parameter MessageGroupId.";
    server.refused("SendMessage", request, "MissingParameter", message).await;
}
