//! Regions and accounts: whose queue a name, a URL or an ARN means.

use serde_json::{Value, json};

use super::support::Server;

const ONE: &str = "111111111111";

/// Creates a queue as somebody, and gives its URL.
async fn create(server: &Server, key_id: &str, region: &str, name: &str) -> String {
    let answer = server.json_as(key_id, region, "CreateQueue", json!({ "QueueName": name })).await;
    answer.json()["QueueUrl"].as_str().unwrap().to_owned()
}

async fn names(server: &Server, key_id: &str, region: &str) -> Vec<String> {
    let listed = server.json_as(key_id, region, "ListQueues", json!({})).await.json();
    let urls = listed["QueueUrls"].as_array().cloned().unwrap_or_default();
    urls.iter().map(|url| url.as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_belongs_to_the_region_and_account_of_its_creation() {
    let server = Server::start().await;
    create(&server, "any", "us-east-1", "east").await;
    create(&server, "any", "us-west-2", "west").await;
    let theirs = create(&server, ONE, "us-east-1", "theirs").await;
    assert_eq!(theirs, format!("{}/{ONE}/theirs", server.sqs.endpoint_url()));
    for (key_id, region, expect) in [
        ("any", "us-east-1", &["east"][..]),
        ("AKIDEXAMPLE", "us-west-2", &["west"]),
        ("000000000000", "us-west-2", &["west"]),
        ("any", "eu-west-1", &[]),
        (ONE, "us-east-1", &["theirs"]),
        (ONE, "us-west-2", &[]),
    ] {
        assert_eq!(names(&server, key_id, region).await, expect, "{key_id} {region}");
        for name in ["east", "west", "theirs"] {
            let answer = server.json_as(key_id, region, "GetQueueUrl", json!({ "QueueName": name })).await;
            assert_eq!(answer.status == 200, expect.contains(&name), "{key_id} {region} {name}");
        }
    }
    let of_owner = json!({ "QueueName": "theirs", "QueueOwnerAWSAccountId": ONE });
    assert_eq!(server.ok("GetQueueUrl", of_owner).await["QueueUrl"], theirs);
    let attributes = server.attributes(&theirs).await;
    assert_eq!(attributes["QueueArn"], format!("arn:aws:sqs:us-east-1:{ONE}:theirs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_finds_the_requests_region_first_and_then_the_only_queue() {
    let server = Server::start().await;
    let only = create(&server, "any", "us-east-1", "only").await;
    let both = create(&server, "any", "us-east-1", "both").await;
    assert_eq!(create(&server, "any", "us-west-2", "both").await, both, "the URL says no region");
    let send = |url: &str, body: &str| json!({ "QueueUrl": url, "MessageBody": body });
    for (key_id, region, url, status) in [
        ("any", "eu-west-1", &only, 200),
        (ONE, "eu-west-1", &only, 200),
        ("any", "us-west-2", &both, 200),
        ("any", "eu-west-1", &both, 400),
    ] {
        let answer = server.json_as(key_id, region, "SendMessage", send(url, region)).await;
        assert_eq!(answer.status, status, "{key_id} {region} {url}: {}", answer.body);
    }
    let receive = json!({ "QueueUrl": both });
    assert_eq!(server.json_as("any", "us-east-1", "ReceiveMessage", receive.clone()).await.json(), json!({}));
    let west = server.json_as("any", "us-west-2", "ReceiveMessage", receive).await.json();
    assert_eq!(west["Messages"][0]["Body"], "us-west-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_queue_is_of_its_sources_region_and_account() {
    let server = Server::start().await;
    create(&server, "any", "us-east-1", "dead").await;
    create(&server, "any", "us-west-2", "dead").await;
    server.sqs.create_queue("everywhere").await.unwrap();
    let set = async |region: &str, of: &str, name: &str| {
        let policy =
            json!({ "deadLetterTargetArn": format!("arn:aws:sqs:{of}:000000000000:{name}"), "maxReceiveCount": 1 });
        let attributes = json!({ "RedrivePolicy": policy.to_string() });
        let request = json!({ "QueueName": format!("to-{name}-of-{of}"), "Attributes": attributes });
        server.json_as("any", region, "CreateQueue", request).await
    };
    for (region, of, name, status) in [
        ("us-east-1", "us-east-1", "dead", 200),
        ("us-east-1", "us-west-2", "dead", 400),
        ("us-east-1", "eu-west-1", "dead", 400),
        ("us-east-1", "us-east-1", "everywhere", 200),
        ("us-east-1", "eu-west-1", "everywhere", 200),
    ] {
        let answer = set(region, of, name).await;
        assert_eq!(answer.status, status, "{region} {of} {name}: {}", answer.body);
    }
    for (region, expect) in [("us-east-1", 1), ("us-west-2", 0)] {
        let request = json!({ "QueueUrl": server.url("dead") });
        let sources = server.json_as("any", region, "ListDeadLetterSourceQueues", request).await.json();
        assert_eq!(sources["queueUrls"].as_array().unwrap().len(), expect, "{region}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn homes_outlive_a_restart_and_a_deletion_takes_one_of_them() {
    let server = Server::start().await;
    for region in ["us-east-1", "us-west-2"] {
        create(&server, "any", region, "q").await;
    }
    let server = server.restart().await;
    let arn = async |region: &str| -> Value {
        let request = json!({ "QueueUrl": "q", "AttributeNames": ["QueueArn"] });
        server.json_as("any", region, "GetQueueAttributes", request).await.json()["Attributes"]["QueueArn"].clone()
    };
    assert_eq!(arn("us-west-2").await, "arn:aws:sqs:us-west-2:000000000000:q");
    let deleted = server.json_as("any", "us-west-2", "DeleteQueue", json!({ "QueueUrl": server.url("q") })).await;
    assert_eq!(deleted.status, 200);
    assert!(names(&server, "any", "us-west-2").await.is_empty());
    assert_eq!(names(&server, "any", "us-east-1").await, ["q"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_url_and_no_arn_of_another_account_finds_a_queue_of_every_region() {
    let server = Server::start().await;
    for name in ["work", "dead"] {
        server.sqs.create_queue(name).await.unwrap();
    }
    let dead = |account: &str| format!("arn:aws:sqs:us-east-1:{account}:dead");
    let attributes = |account: &str| {
        let policy = json!({ "deadLetterTargetArn": dead(account), "maxReceiveCount": 1 }).to_string();
        json!({ "QueueUrl": server.url("work"), "Attributes": { "RedrivePolicy": policy } })
    };
    server.ok("SetQueueAttributes", attributes("000000000000")).await;
    let url = format!("{}/{ONE}/work", server.sqs.endpoint_url());
    for (key_id, operation, request) in [
        ("any", "SendMessage", json!({ "QueueUrl": url, "MessageBody": "b" })),
        (ONE, "SendMessage", json!({ "QueueUrl": "work", "MessageBody": "b" })),
        (ONE, "DeleteQueue", json!({ "QueueUrl": "work" })),
        ("any", "SetQueueAttributes", attributes(ONE)),
        ("any", "StartMessageMoveTask", json!({ "SourceArn": dead(ONE) })),
        ("any", "StartMessageMoveTask", json!({ "SourceArn": dead("000000000000"), "DestinationArn": dead(ONE) })),
        ("any", "ListMessageMoveTasks", json!({ "SourceArn": dead(ONE) })),
    ] {
        let answer = server.json_as(key_id, "us-east-1", operation, request.clone()).await;
        assert!(answer.status >= 400, "{operation} {request} by {key_id}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_two_regions_have_becomes_no_third_queue() {
    let server = Server::start().await;
    for (key_id, region) in [("any", "us-west-2"), ("any", "eu-west-1"), (ONE, "us-east-1")] {
        create(&server, key_id, region, "q").await;
    }
    let error = server.sqs.create_queue("q").await.unwrap_err().to_string();
    assert!(error.contains("`q`") && error.contains("eu-west-1, us-west-2 has a queue"), "{error}");
    assert!(names(&server, "any", "us-east-1").await.is_empty());
    let deleted = server.json_as("any", "us-west-2", "DeleteQueue", json!({ "QueueUrl": server.url("q") })).await;
    assert_eq!(deleted.status, 200);
    server.sqs.create_queue("q").await.unwrap();
    assert_eq!(names(&server, "any", "us-east-1").await, ["q"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_region_is_the_default_one() {
    let server = Server::start().await;
    let long = "x".repeat(33);
    for (index, region) in ["", "EU-WEST-1", "eu west", "eu:west", "é", &long].into_iter().enumerate() {
        let name = format!("q{index}");
        create(&server, "any", region, &name).await;
        let arn = server.arn(&server.url(&name)).await;
        assert_eq!(arn, format!("arn:aws:sqs:us-east-1:000000000000:{name}"), "{region:?}");
    }
    create(&server, "any", &long[1..], "of-32").await;
    assert_eq!(names(&server, "any", &long[1..]).await, ["of-32"]);
}
