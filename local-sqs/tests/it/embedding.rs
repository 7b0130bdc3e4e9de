//! What the program that embeds the endpoint can ask for, and what it left on disk before.

use serde_json::json;

use super::support::{Server, bodies};

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_the_embedding_program_is_in_every_region() {
    let server = Server::start().await;
    let regional = server.json_as("any", "eu-west-1", "CreateQueue", json!({ "QueueName": "theirs" })).await;
    assert_eq!(regional.status, 200);
    // The second time each is there already; the last belonged to a region.
    for name in ["jobs", "jobs", "line.fifo", "theirs"] {
        server.sqs.create_queue(name).await.unwrap();
    }
    let error = server.sqs.create_queue("no/name").await.unwrap_err().to_string();
    assert!(error.contains("no/name") && error.contains("alphanumeric"), "{error}");
    let server = server.restart().await;
    for region in ["us-east-1", "us-west-2"] {
        for name in ["jobs", "line.fifo", "theirs"] {
            let url = server.json_as("any", region, "GetQueueUrl", json!({ "QueueName": name })).await;
            assert_eq!(url.json(), json!({ "QueueUrl": server.url(name) }), "{region}");
            let request = json!({ "QueueUrl": name, "AttributeNames": ["QueueArn"] });
            let arn = server.json_as("any", region, "GetQueueAttributes", request).await;
            let expect = format!("arn:aws:sqs:{region}:000000000000:{name}");
            assert_eq!(arn.json()["Attributes"]["QueueArn"], expect);
        }
        let made = server.json_as("any", region, "CreateQueue", json!({ "QueueName": "jobs" })).await;
        assert_eq!(made.status, 200, "it is the same one");
    }
    server.send("jobs", "from the east").await;
    let request = json!({ "QueueUrl": server.url("jobs") });
    let received = server.json_as("any", "us-west-2", "ReceiveMessage", request).await.json();
    assert_eq!(received["Messages"][0]["Body"], "from the east");
    let theirs = server.json_as("111111111111", "us-east-1", "GetQueueUrl", json!({ "QueueName": "jobs" })).await;
    assert_eq!(theirs.status, 400, "it is no other account's");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minute_that_sqs_waits_is_waited_for_if_wanted() {
    let server = Server::with(tempfile::tempdir().unwrap(), |mut options| {
        options.waits = true;
        options
    })
    .await;
    let url = server.create("q", json!({})).await;
    server.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
    let answer = server.json("PurgeQueue", json!({ "QueueUrl": url })).await;
    let message = "Only one PurgeQueue operation on q is allowed every 60 seconds.";
    let expect = ("AWS.SimpleQueueService.PurgeQueueInProgress".to_owned(), message.to_owned());
    assert_eq!((answer.status, answer.error()), (403, expect));
    server.ok("DeleteQueue", json!({ "QueueUrl": url })).await;
    let message = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
    let code = "AWS.SimpleQueueService.QueueDeletedRecently";
    server.refused("CreateQueue", json!({ "QueueName": "q" }), code, message).await;
    server.create("other", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_of_every_region_is_waited_for_in_every_region() {
    let server = Server::with(tempfile::tempdir().unwrap(), |mut options| {
        options.waits = true;
        options
    })
    .await;
    server.sqs.create_queue("q").await.unwrap();
    let other = "111111111111";
    for (key_id, operation, region, status) in [
        ("any", "DeleteQueue", "eu-west-1", 200),
        ("any", "CreateQueue", "eu-west-1", 400),
        ("any", "CreateQueue", "us-east-1", 400),
        (other, "CreateQueue", "eu-west-1", 200),
        (other, "DeleteQueue", "eu-west-1", 200),
        (other, "CreateQueue", "eu-west-1", 400),
        (other, "CreateQueue", "us-east-1", 200),
    ] {
        let request = json!({ "QueueName": "q", "QueueUrl": "q" });
        let answer = server.json_as(key_id, region, operation, request).await;
        assert_eq!(answer.status, status, "{operation} in {region} by {key_id}: {}", answer.body);
    }
}

/// A frame of the log, as `log/frame.rs` describes it.
fn frame(records: &str, content: &[u8]) -> Vec<u8> {
    let mut covered = (records.len() as u32).to_le_bytes().to_vec();
    covered.extend_from_slice(records.as_bytes());
    covered.extend_from_slice(content);
    let mut frame = (covered.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&blake3::hash(&covered).as_bytes()[..8]);
    frame.extend_from_slice(&covered);
    frame
}

/// As versions before regions wrote it: queues without a home, dead letters and move tasks that
/// name queues by their names, permissions apart from the policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_before_there_were_regions_is_read() {
    let now_s = 4_000_000_000_u64;
    let queue = |number: u32, name: &str, attributes: &str, permissions: &str| {
        format!(
            r#"{{"q":{{"number":{number},"name":"{name}","attributes":{{"VisibilityTimeout":"30","DelaySeconds":"0","ReceiveMessageWaitTimeSeconds":"0","MessageRetentionPeriod":"345600","MaximumMessageSize":"1048576"{attributes}}},{permissions}"created_s":{now_s},"modified_s":{now_s},"next_seq":1}}}}"#
        )
    };
    let policy = r#","RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-central-1:000000000000:dead\",\"maxReceiveCount\":1}""#;
    let permissions = r#""permissions":{"l":{"accounts":["111111111111"],"actions":["SendMessage"]}},"#;
    let head = r#"{"md5":"92eb5ffee6ae2fec3ad71c777531578f","dead_letter_source":"work"}"#;
    let mut content = (head.len() as u32).to_le_bytes().to_vec();
    content.extend_from_slice(format!("{head}b").as_bytes());
    let put = format!(
        r#"{{"p":{{"q":1,"n":1,"i":"00000000-0000-4000-8000-000000000001","t":{}000,"s":{{"c":2,"f":1,"r":0,"v":0}},"l":{}}}}}"#,
        now_s,
        content.len()
    );
    let task = r#"{"m":{"id":"00000000-0000-4000-8000-000000000002","source":"dead","destination":null,"max_per_second":null,"status":"COMPLETED","moved":3,"to_move":3,"started_ms":1,"failure":null}}"#;
    let mut log = frame(&format!("[{},{}]", queue(1, "dead", "", permissions), queue(2, "work", policy, "")), &[]);
    log.extend(frame(&format!("[{put},{task}]"), &content));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{:020}.log", 1)), log).unwrap();

    let server = Server::start_in(dir).await;
    let (dead, work) = (server.url("dead"), server.url("work"));
    for region in ["us-east-1", "ap-south-1"] {
        let listed = server.json_as("any", region, "ListQueues", json!({})).await.json();
        assert_eq!(listed["QueueUrls"], json!([dead, work]), "{region}");
    }
    let letter = server.receive(&dead, 1, 0).await;
    assert_eq!(bodies(&letter), ["b"]);
    assert_eq!(letter[0]["Attributes"]["DeadLetterQueueSourceArn"], server.arn(&work).await);
    let sources = server.ok("ListDeadLetterSourceQueues", json!({ "QueueUrl": dead })).await;
    assert_eq!(sources["queueUrls"], json!([work]));
    let arn = server.arn(&dead).await;
    let tasks = server.ok("ListMessageMoveTasks", json!({ "SourceArn": arn })).await;
    assert_eq!(tasks["Results"][0]["ApproximateNumberOfMessagesMoved"], 3);
    assert_eq!(tasks["Results"][0]["SourceArn"], arn);
    assert!(server.attributes(&dead).await["Policy"].as_str().unwrap().contains("SQS:SendMessage"));
    // A dead letter goes where it came from.
    server.ok("StartMessageMoveTask", json!({ "SourceArn": arn })).await;
    let request = json!({ "QueueUrl": work, "WaitTimeSeconds": 20 });
    assert_eq!(server.ok("ReceiveMessage", request).await["Messages"][0]["Body"], "b");
}
