//! Message move tasks.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::support::Server;

/// A queue whose messages are dead after one receipt, with one that is dead, and the dead-letter
/// queue's ARN.
async fn with_dead_letter(server: &Server) -> (String, String) {
    let dead = server.create("dead", json!({})).await;
    let arn = server.arn(&dead).await;
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 1 }).to_string();
    let url = server.create("work", json!({ "RedrivePolicy": policy })).await;
    server.send(&url, "b").await;
    assert_eq!(server.receive(&url, 1, 0).await.len(), 1);
    assert_eq!(server.receive(&url, 1, 0).await.len(), 0);
    (url, arn)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_a_handle_that_can_be_read() {
    let server = Server::start().await;
    let (url, arn) = with_dead_letter(&server).await;
    let sources = server.ok("ListDeadLetterSourceQueues", json!({ "QueueUrl": server.url("dead") })).await;
    assert_eq!(sources, json!({ "queueUrls": [url] }));
    let letter = server.receive(&server.url("dead"), 1, 0).await.remove(0);
    assert_eq!(letter["Attributes"]["DeadLetterQueueSourceArn"], server.arn(&url).await);

    let started = server.ok("StartMessageMoveTask", json!({ "SourceArn": arn })).await;
    let handle = BASE64.decode(started["TaskHandle"].as_str().unwrap()).unwrap();
    let handle: Value = serde_json::from_slice(&handle).unwrap();
    assert_eq!(handle["sourceArn"], arn);
    assert_eq!(handle["taskId"].as_str().unwrap().len(), 36);
    let request = json!({ "QueueUrl": url, "WaitTimeSeconds": 20 });
    assert_eq!(server.ok("ReceiveMessage", request).await["Messages"][0]["Body"], "b");
    let listed = server.ok("ListMessageMoveTasks", json!({ "SourceArn": arn })).await["Results"][0].clone();
    assert_eq!((&listed["SourceArn"], listed.get("DestinationArn")), (&json!(arn), None));
    assert_eq!(listed["ApproximateNumberOfMessagesToMove"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_refused_for_what_it_names() {
    let server = Server::start().await;
    let (url, arn) = with_dead_letter(&server).await;
    let no_source = server.arn(&url).await;
    let nowhere = "arn:aws:sqs:us-east-1:000000000000:nowhere";
    let handle = |arn: &str| {
        BASE64.encode(json!({ "taskId": "10f57157-fc38-4da9-a113-4de7e12d05aa", "sourceArn": arn }).to_string())
    };
    let exists =
        |parameter: &str| format!("The resource that you specified for the {parameter} parameter doesn't exist.");
    let (value, not_found) = ("InvalidParameterValue", "ResourceNotFoundException");
    for (operation, request, status, code, message) in [
        (
            "StartMessageMoveTask",
            json!({ "SourceArn": no_source }),
            400,
            value,
            "Source queue must be configured as a Dead Letter Queue.".to_owned(),
        ),
        ("StartMessageMoveTask", json!({ "SourceArn": nowhere }), 404, not_found, exists("SourceArn")),
        (
            "StartMessageMoveTask",
            json!({ "SourceArn": arn, "DestinationArn": nowhere }),
            404,
            not_found,
            exists("DestinationArn"),
        ),
        (
            "CancelMessageMoveTask",
            json!({ "TaskHandle": "foobared" }),
            400,
            value,
            "Value for parameter TaskHandle is invalid.".to_owned(),
        ),
        ("CancelMessageMoveTask", json!({ "TaskHandle": handle(nowhere) }), 404, not_found, exists("SourceArn")),
        (
            "CancelMessageMoveTask",
            json!({ "TaskHandle": handle(&arn) }),
            404,
            not_found,
            "Task does not exist.".to_owned(),
        ),
    ] {
        let answer = server.json(operation, request.clone()).await;
        assert_eq!((answer.status, answer.error()), (status, (code.to_owned(), message)), "{operation} {request}");
    }
}
