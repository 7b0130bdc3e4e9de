//! Messages of standard queues.

use serde_json::{Value, json};

use super::support::{Server, bodies};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_refused_for_what_is_in_it() {
    let server = Server::start().await;
    let url = server.create("q", json!({ "MaximumMessageSize": "1024" })).await;
    let attribute = |name: &str, data_type: &str, value: &str| json!({ "MessageBody": "b", "MessageAttributes": { name: { "DataType": data_type, "StringValue": value } } });
    let set = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF";
    let id = "can only include alphanumeric and punctuation characters. 1 to 128 in length.";
    let value = "InvalidParameterValue";
    for (message, code, words) in [
        (json!({ "MessageBody": "" }), "MissingParameter", "The request must contain the parameter MessageBody.".to_owned()),
        (
            json!({ "MessageBody": "a\u{8}" }),
            "InvalidMessageContents",
            format!("Invalid binary character '#x8' was found in the message body, the set of allowed characters is {set}"),
        ),
        (
            json!({ "MessageBody": "x".repeat(1_025) }),
            value,
            "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.".to_owned(),
        ),
        (
            json!({ "MessageBody": "b", "DelaySeconds": 901 }),
            value,
            "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.".to_owned(),
        ),
        (
            json!({ "MessageBody": "b", "MessageGroupId": "" }),
            value,
            format!("Value  for parameter MessageGroupId is invalid. Reason: MessageGroupId {id}"),
        ),
        (
            json!({ "MessageBody": "b", "MessageGroupId": "a b" }),
            value,
            format!("Value a b for parameter MessageGroupId is invalid. Reason: MessageGroupId {id}"),
        ),
        (
            attribute("a", "String", ""),
            value,
            "Message (user) attribute 'a' must contain a non-empty value of type 'String'.".to_owned(),
        ),
        (
            attribute("a", "String", "\u{b}"),
            value,
            format!("Invalid binary character '#xB' was found in the message (user) attribute 'a', the set of allowed \
                     characters is {set}"),
        ),
        (
            attribute("a", "Number", "many"),
            value,
            "Can't cast the value of message (user) attribute 'a' to a number.".to_owned(),
        ),
        (
            attribute("a", "Text", "x"),
            value,
            "The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes is \
             Binary, Number, and String."
                .to_owned(),
        ),
        (
            attribute("a!", "String", "x"),
            value,
            "The message attribute name 'a!' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen \
             (-), and period (.) characters."
                .to_owned(),
        ),
        (
            attribute("aWs.a", "String", "x"),
            value,
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for \
             internal use. Additionally, they cannot start or end with '.'."
                .to_owned(),
        ),
    ] {
        let mut request = message;
        request["QueueUrl"] = url.as_str().into();
        server.refused("SendMessage", request, code, &words).await;
    }
    let mut taken = attribute("attr.1øßä", "Number.int", "1");
    taken["QueueUrl"] = url.as_str().into();
    server.ok("SendMessage", taken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_is_refused_for_its_numbers() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    for (name, number, reason) in [
        ("MaxNumberOfMessages", 11, "Must be between 1 and 10, if provided."),
        ("MaxNumberOfMessages", 0, "Must be between 1 and 10, if provided."),
        ("WaitTimeSeconds", 21, "Must be >= 0 and <= 20, if provided."),
        ("WaitTimeSeconds", -1, "Must be >= 0 and <= 20, if provided."),
        ("VisibilityTimeout", 43_201, "Must be between 0 and 43200, if provided."),
    ] {
        let message = format!("Value {number} for parameter {name} is invalid. Reason: {reason}");
        let request = json!({ "QueueUrl": url, name: number });
        server.refused("ReceiveMessage", request, "InvalidParameterValue", &message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn visibility_changes_by_any_receipt_of_a_message_that_is_there() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    server.send(&url, "b").await;
    let change = |handle: &Value, visibility_s: u32| json!({ "QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": visibility_s });
    // The visibility of this one is over.
    let old = server.receive(&url, 1, 0).await.remove(0)["ReceiptHandle"].clone();
    server.ok("ChangeMessageVisibility", change(&old, 600)).await;
    assert!(server.receive(&url, 1, 0).await.is_empty(), "it is hidden again");
    server.ok("ChangeMessageVisibility", change(&old, 0)).await;
    let new = server.receive(&url, 1, 600).await.remove(0)["ReceiptHandle"].clone();
    assert_ne!(old, new);
    // This one is older than the last.
    server.ok("ChangeMessageVisibility", change(&old, 0)).await;
    assert_eq!(server.receive(&url, 1, 600).await.len(), 1);

    server.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
    let reason = "Message does not exist or is not available for visibility timeout change.";
    let message = format!("Value {} for parameter ReceiptHandle is invalid. Reason: {reason}", new.as_str().unwrap());
    server.refused("ChangeMessageVisibility", change(&new, 1), "InvalidParameterValue", &message).await;
    let message = "The input receipt handle is invalid.";
    server.refused("ChangeMessageVisibility", change(&json!("x"), 1), "ReceiptHandleIsInvalid", message).await;
    let request = json!({ "QueueUrl": url, "ReceiptHandle": "garbage" });
    let message = "The input receipt handle \"garbage\" is not a valid receipt handle.";
    server.refused("DeleteMessage", request, "ReceiptHandleIsInvalid", message).await;
    let other = server.create("other", json!({})).await;
    let request = json!({ "QueueUrl": other, "ReceiptHandle": new });
    let message = "The input receipt handle is invalid.";
    server.refused("DeleteMessage", request, "ReceiptHandleIsInvalid", message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn message_attributes_are_answered_as_asked_for() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let text = |text: &str| json!({ "DataType": "String", "StringValue": text });
    let attributes = json!({ "Help.Me": text("Me"), "Hello": text("There"), "General": text("Kenobi") });
    let request = json!({ "QueueUrl": url, "MessageBody": "b", "MessageAttributes": attributes });
    let all_md5 = server.ok("SendMessage", request).await["MD5OfMessageAttributes"].clone();
    assert_eq!(all_md5, "4c360f3fdafd970e05fae2f149d997f5");
    for (asked, expect, md5) in [
        (json!([]), vec![], None),
        (json!(["All"]), vec!["General", "Hello", "Help.Me"], all_md5.as_str()),
        (json!(["*"]), vec!["General", "Hello", "Help.Me"], all_md5.as_str()),
        (json!([".*"]), vec!["General", "Hello", "Help.Me"], all_md5.as_str()),
        (json!(["Hel.*"]), vec!["Hello", "Help.Me"], Some("83fee93c1bcd8b9a5a923ffacdc636c7")),
        (json!(["Foo", "Hello"]), vec!["Hello"], Some("a311262e065454b75da111d535b8dacd")),
        (json!(["Foo", "Help"]), vec![], None),
        (json!(["AWS.", "..foo"]), vec![], None),
    ] {
        let request = json!({ "QueueUrl": url, "VisibilityTimeout": 0, "MessageAttributeNames": asked });
        let message = server.ok("ReceiveMessage", request).await["Messages"][0].clone();
        let names = message["MessageAttributes"].as_object().map(|all| all.keys().map(String::as_str).collect());
        assert_eq!(names.unwrap_or_else(Vec::new), expect, "{asked}");
        assert_eq!(message["MD5OfMessageAttributes"].as_str(), md5, "{asked}");
        assert!(message.get("Attributes").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_header_of_a_send_is_the_messages_unless_it_has_its_own() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let own = json!({ "AWSTraceHeader": { "DataType": "String", "StringValue": "Root=own" } });
    let entries = json!([{ "Id": "1", "MessageBody": "batch" }]);
    for (operation, request, expect) in [
        ("SendMessage", json!({ "QueueUrl": url, "MessageBody": "header" }), "Root=header"),
        ("SendMessage", json!({ "QueueUrl": url, "MessageBody": "own", "MessageSystemAttributes": own }), "Root=own"),
        ("SendMessageBatch", json!({ "QueueUrl": url, "Entries": entries }), "Root=header"),
    ] {
        let target = format!("AmazonSQS.{operation}");
        let headers = [("X-Amz-Target", target.as_str()), ("X-Amzn-Trace-Id", "Root=header")];
        let sent = server.http("POST", "/", &headers, &request.to_string()).await;
        assert_eq!(sent.status, 200, "{}", sent.body);
        let message = server.receive(&url, 1, 600).await.remove(0);
        assert_eq!(message["Attributes"]["AWSTraceHeader"], expect, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_hidden_and_delayed_messages_too() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    for body in ["flying", "waiting"] {
        server.send(&url, body).await;
    }
    server.ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": "delayed", "DelaySeconds": 900 })).await;
    assert_eq!(bodies(&server.receive(&url, 1, 600).await), ["flying"]);
    server.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
    let attributes = server.attributes(&url).await;
    for count in ["", "NotVisible", "Delayed"] {
        assert_eq!(attributes[format!("ApproximateNumberOfMessages{count}")], "0", "{count}");
    }
}
