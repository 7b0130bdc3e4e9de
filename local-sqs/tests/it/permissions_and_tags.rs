//! Permissions, which make a policy, and tags.

use serde_json::{Map, Value, json};

use super::support::Server;

async fn policy(server: &Server, url: &str) -> Option<Value> {
    let policy = server.attributes(url).await["Policy"].as_str().map(str::to_owned);
    policy.map(|text| serde_json::from_str(&text).unwrap())
}

fn grant(url: &str, label: &str, accounts: &[&str], actions: &[&str]) -> Value {
    json!({ "QueueUrl": url, "Label": label, "AWSAccountIds": accounts, "Actions": actions })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_a_statement_of_the_policy() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let arn = server.arn(&url).await;
    let statement = |label: &str, principals: Value, action: Value| json!({ "Sid": label, "Effect": "Allow", "Principal": { "AWS": principals }, "Action": action, "Resource": arn });
    let policy_of = |statements: Value| {
        Some(json!({ "Version": "2008-10-17", "Id": format!("{arn}/SQSDefaultPolicy"), "Statement": statements }))
    };
    let root = |account: &str| format!("arn:aws:iam::{account}:root");
    let (one, two) = ("111111111111", "222222222222");
    server.ok("AddPermission", grant(&url, "both", &[one, two], &["ReceiveMessage"])).await;
    let both = statement("both", json!([root(one), root(two)]), json!("SQS:ReceiveMessage"));
    assert_eq!(policy(&server, &url).await, policy_of(json!([both])));
    server.ok("AddPermission", grant(&url, "one", &[one], &["*", "SendMessage"])).await;
    let one = statement("one", json!(root(one)), json!(["SQS:*", "SQS:SendMessage"]));
    assert_eq!(policy(&server, &url).await, policy_of(json!([both, one])));
    let server = server.restart().await;
    let url = server.url("q");
    server.ok("RemovePermission", json!({ "QueueUrl": url, "Label": "both" })).await;
    assert_eq!(policy(&server, &url).await, policy_of(json!([one])));
    server.ok("RemovePermission", json!({ "QueueUrl": url, "Label": "one" })).await;
    assert_eq!(policy(&server, &url).await, None);
    let message = "Value one for parameter Label is invalid. Reason: can't find label.";
    let request = json!({ "QueueUrl": url, "Label": "one" });
    server.refused("RemovePermission", request, "InvalidParameterValue", message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_refused_for_what_it_grants() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let one: &[&str] = &["111111111111"];
    let eight: &[&str] = &["SendMessage"; 8];
    server.ok("AddPermission", grant(&url, "there", one, &["SendMessage"])).await;
    let value = "InvalidParameterValue";
    for (label, accounts, actions, code, message) in [
        (
            "there",
            one,
            &["SendMessage"][..],
            value,
            "Value there for parameter Label is invalid. Reason: Already exists.",
        ),
        ("a", one, &[], "MissingParameter", "The request must contain the parameter Actions."),
        ("a", &[], &["SendMessage"], value, "Value [] for parameter PrincipalId is invalid. Reason: Unable to verify."),
        ("a", one, eight, "OverLimit", "8 Actions were found, maximum allowed is 7."),
        (
            "a",
            one,
            &["RemovePermission"],
            value,
            "Value SQS:RemovePermission for parameter ActionName is invalid. Reason: Only the queue owner is allowed to \
             invoke this action.",
        ),
        (
            "a",
            one,
            &["SendMessageBatch"],
            value,
            "Value SQS:SendMessageBatch for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL \
             for a list of valid actions.",
        ),
        ("", one, &["SendMessage"], "MissingParameter", "The request must contain the parameter Label."),
        (
            "a b",
            one,
            &["SendMessage"],
            value,
            "Value a b for parameter Label is invalid. Reason: Can only include alphanumeric characters, hyphens, or \
             underscores. 1 to 80 in length",
        ),
    ] {
        server.refused("AddPermission", grant(&url, label, accounts, actions), code, message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_set_listed_and_removed() {
    let server = Server::start().await;
    let tags = json!({ "a": "1", "A": "2", "empty": "" });
    server.ok("CreateQueue", json!({ "QueueName": "q", "tags": tags })).await;
    let url = server.url("q");
    let listed = async || server.ok("ListQueueTags", json!({ "QueueUrl": url })).await;
    assert_eq!(listed().await, json!({ "Tags": tags }));
    server.ok("TagQueue", json!({ "QueueUrl": url, "Tags": { "a": "new" } })).await;
    server.ok("UntagQueue", json!({ "QueueUrl": url, "TagKeys": ["A", "empty", "not there"] })).await;
    assert_eq!(listed().await, json!({ "Tags": { "a": "new" } }));

    let many: Map<String, Value> = (0..50).map(|index| (format!("k{index}"), json!("v"))).collect();
    let value = "InvalidParameterValue";
    for (operation, change, code, message) in [
        ("TagQueue", json!({ "Tags": {} }), "MissingParameter", "The request must contain the parameter Tags."),
        ("TagQueue", json!({ "Tags": many }), value, "Too many tags added for queue q."),
        ("TagQueue", json!({ "Tags": { "": "v" } }), value, "Tag keys must be between 1 and 128 characters in length."),
        (
            "TagQueue",
            json!({ "Tags": { "k": "v".repeat(257) } }),
            value,
            "Tag values must be between 0 and 256 characters in length.",
        ),
        ("UntagQueue", json!({ "TagKeys": [] }), value, "Tag keys must be between 1 and 128 characters in length."),
        ("UntagQueue", json!({}), value, "Tag keys must be between 1 and 128 characters in length."),
    ] {
        let mut request = change;
        request["QueueUrl"] = url.as_str().into();
        server.refused(operation, request, code, message).await;
    }
    assert_eq!(listed().await, json!({ "Tags": { "a": "new" } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_has_so_many_principals_and_bytes_as_in_sqs() {
    let server = Server::start().await;
    let url = server.create("q", json!({})).await;
    let accounts: Vec<String> = (0..51).map(|index| format!("{index:012}")).collect();
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let message = "51 AWSAccountIds were found, maximum allowed is 50.";
    server.refused("AddPermission", grant(&url, "a", &accounts, &["SendMessage"]), "OverLimit", message).await;
    let mut labels = vec![];
    let refused = loop {
        let label = format!("l{}", labels.len());
        let answer = server.json("AddPermission", grant(&url, &label, &accounts[..50], &["SendMessage"])).await;
        if answer.status != 200 {
            break answer.error();
        }
        labels.push(label);
    };
    assert!(refused.0 == "OverLimit" && refused.1.contains("maximum allowed is 8192"), "{refused:?}");
    assert!((2..20).contains(&labels.len()), "{labels:?}");
    assert!(server.attributes(&url).await["Policy"].as_str().unwrap().len() <= 8_192);
}
