//! Names and attributes of queues.

use serde_json::{Value, json};

use super::support::Server;

const NAME: &str = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
const FIFO_NAME: &str = "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must \
                         end with .fifo suffix and be 1 to 80 in length.";

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_refused_for_its_name_or_its_attributes() {
    let server = Server::start().await;
    let fifo = json!({ "FifoQueue": "true" });
    for (name, attributes, code, message) in [
        ("", json!({}), "InvalidParameterValue", NAME),
        ("a/b", json!({}), "InvalidParameterValue", NAME),
        ("a.fifo", json!({}), "InvalidParameterValue", NAME),
        (&"x".repeat(81), json!({}), "InvalidParameterValue", NAME),
        ("a", fifo.clone(), "InvalidParameterValue", FIFO_NAME),
        (".fifo", fifo.clone(), "InvalidParameterValue", FIFO_NAME),
        (&format!("{}.fifo", "x".repeat(76)), fifo, "InvalidParameterValue", FIFO_NAME),
        ("a", json!({ "FifoQueue": "false" }), "InvalidAttributeName", "Unknown Attribute FifoQueue."),
        ("a", json!({ "Nonsense": "1" }), "InvalidAttributeName", "Unknown Attribute Nonsense."),
        (
            "a",
            json!({ "ContentBasedDeduplication": "false" }),
            "InvalidAttributeName",
            "Unknown Attribute ContentBasedDeduplication.",
        ),
        (
            "a",
            json!({ "DeduplicationScope": "queue" }),
            "InvalidAttributeName",
            "You can specify the DeduplicationScope only when FifoQueue is set to true.",
        ),
        (
            "a",
            json!({ "MaximumMessageSize": "1023" }),
            "InvalidAttributeValue",
            "Invalid value for the parameter MaximumMessageSize.",
        ),
        (
            "a",
            json!({ "KmsMasterKeyId": "k", "SqsManagedSseEnabled": "true" }),
            "InvalidAttributeName",
            "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
        ),
    ] {
        server.refused("CreateQueue", json!({ "QueueName": name, "Attributes": attributes }), code, message).await;
    }
    assert_eq!(server.ok("ListQueues", json!({})).await, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_read_in_any_letter_case_and_answered_in_one() {
    let server = Server::start().await;
    for (name, attributes) in [
        ("a.fifo", json!({ "FifoQueue": "True", "ContentBasedDeduplication": "TRUE" })),
        ("a.fifo", json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" })),
        ("b", json!({ "SqsManagedSseEnabled": "FALSE" })),
        ("b", json!({ "SqsManagedSseEnabled": "false" })),
    ] {
        server.create(name, attributes).await;
    }
    let attributes = server.attributes(&server.url("a.fifo")).await;
    assert_eq!((&attributes["FifoQueue"], &attributes["ContentBasedDeduplication"]), (&json!("true"), &json!("true")));
    assert_eq!(server.attributes(&server.url("b")).await["SqsManagedSseEnabled"], "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_that_cannot_be_set_are_refused() {
    let server = Server::start().await;
    let (plain, fifo) = (server.create("plain", json!({})).await, server.create("line.fifo", json!({})).await);
    let dead = server.create("dead", json!({})).await;
    let policy = |target: &str, count: &str| json!({ "RedrivePolicy": format!(r#"{{"deadLetterTargetArn":"{target}","maxReceiveCount":{count}}}"#) });
    let dead = server.arn(&dead).await;
    let reason = |policy: &Value, reason: &str| {
        let policy = policy["RedrivePolicy"].as_str().unwrap();
        format!("Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}")
    };
    let (zero, nowhere) = (policy(&dead, "0"), policy("arn:aws:sqs:us-east-1:000000000000:nowhere", "1"));
    let partly = json!({ "RedrivePolicy": format!(r#"{{"deadLetterTargetArn":"{dead}"}}"#) });
    let (no_arn, other_type) = (policy("dummy", "1"), policy(&dead, "1"));
    let range = "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive.";
    let same_type = "Dead-letter queue must be same type of queue as the source.";
    let mandatory = "Redrive policy does not contain mandatory attribute: maxReceiveCount.";
    let unknown = "Unknown Attribute FifoQueue.";
    let type_change = "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.";
    let value = "InvalidParameterValue";
    for (url, attributes, code, message) in [
        (&plain, json!({ "FifoQueue": "true" }), "InvalidAttributeName", unknown.to_owned()),
        (&plain, json!({ "FifoQueue": "false" }), "InvalidAttributeName", unknown.to_owned()),
        (&fifo, json!({ "FifoQueue": "False" }), "InvalidAttributeValue", type_change.to_owned()),
        (&plain, zero.clone(), value, reason(&zero, range)),
        (&plain, nowhere.clone(), value, reason(&nowhere, "Dead letter target does not exist.")),
        (&plain, partly.clone(), value, reason(&partly, mandatory)),
        (&plain, no_arn.clone(), value, reason(&no_arn, "Invalid value for deadLetterTargetArn.")),
        (&fifo, other_type.clone(), value, reason(&other_type, same_type)),
    ] {
        let request = json!({ "QueueUrl": url, "Attributes": attributes });
        server.refused("SetQueueAttributes", request, code, &message).await;
    }
    server.ok("SetQueueAttributes", json!({ "QueueUrl": fifo, "Attributes": { "FifoQueue": "true" } })).await;
    // A count in text is answered as a number.
    server.ok("SetQueueAttributes", json!({ "QueueUrl": plain, "Attributes": policy(&dead, "\"7\"") })).await;
    let set = server.attributes(&plain).await["RedrivePolicy"].as_str().unwrap().to_owned();
    let expect = json!({ "deadLetterTargetArn": dead, "maxReceiveCount": 7 });
    assert_eq!(serde_json::from_str::<Value>(&set).unwrap(), expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_turns_off_the_other_encryption_and_an_empty_value_removes_one() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let names = ["KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "SqsManagedSseEnabled", "Policy"];
    for (set, expect) in [
        (
            json!({ "KmsMasterKeyId": "k" }),
            json!({ "KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "300", "SqsManagedSseEnabled": "false" }),
        ),
        (
            json!({ "KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300" }),
            json!({ "SqsManagedSseEnabled": "false" }),
        ),
        (json!({ "SqsManagedSseEnabled": "true" }), json!({ "SqsManagedSseEnabled": "true" })),
        (json!({ "Policy": "{}" }), json!({ "SqsManagedSseEnabled": "true", "Policy": "{}" })),
        (json!({ "Policy": "" }), json!({ "SqsManagedSseEnabled": "true" })),
    ] {
        server.ok("SetQueueAttributes", json!({ "QueueUrl": url, "Attributes": set })).await;
        let request = json!({ "QueueUrl": url, "AttributeNames": names });
        assert_eq!(server.ok("GetQueueAttributes", request).await["Attributes"], expect, "{set}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_without_content_are_absent() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    for (operation, request) in [
        ("GetQueueAttributes", json!({ "QueueUrl": url })),
        ("GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": ["KmsMasterKeyId"] })),
        ("ListQueueTags", json!({ "QueueUrl": url })),
        ("ListQueues", json!({ "QueueNamePrefix": "z" })),
        ("ReceiveMessage", json!({ "QueueUrl": url })),
    ] {
        assert_eq!(server.ok(operation, request).await, json!({}), "{operation}");
    }
    // A null is as good as nothing.
    let nulls =
        json!({ "QueueUrl": url, "MessageBody": "b", "MessageAttributes": null, "MessageSystemAttributes": null });
    server.ok("SendMessage", nulls).await;
    let nulls = json!({ "QueueName": "q", "Attributes": null, "tags": null });
    server.ok("CreateQueue", nulls).await;
    let nulls = json!({ "QueueUrl": url, "MessageBody": null });
    let message = "The request must contain the parameter MessageBody.";
    server.refused("SendMessage", nulls, "MissingParameter", message).await;
    let request = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn", ""] });
    server.refused("GetQueueAttributes", request, "InvalidAttributeName", "Unknown Attribute .").await;
}
