//! The host against an SQS that is not ours: moto's server.

use std::path::Path;
use std::time::Duration;

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use serde_json::json;
use tempfile::TempDir;
use wasq::config::Config;
use wasq::host::Host;
use wasq_queues::Queue;
use wasq_queues::sqs::{Sqs, SqsQueue};

use crate::cli::binary::{Running, client, wasq};
use crate::support::{Plugin, Sink, until};

/// moto with the queues `jobs` and `jobs-dlq`, and a host on it with a probe that takes two
/// attempts.
struct Moto {
    endpoint: String,
    sqs: Sqs,
    queue: SqsQueue,
    dlq: SqsQueue,
    host: Host,
    config: Config,
    sink: Sink,
    dir: TempDir,
    _server: Running,
}

impl Moto {
    async fn start() -> Self {
        Self::with_ledger(|dir| format!("{{ store = 'local', path = '{}/ledger' }}", dir.display())).await
    }

    /// With the ledger that the config says, given a directory.
    async fn with_ledger(ledger: impl FnOnce(&Path) -> String) -> Self {
        Self::with(ledger, "").await
    }

    /// With more lines for the queue `jobs`, and what stands behind them.
    async fn with(ledger: impl FnOnce(&Path) -> String, queue_lines: &str) -> Self {
        let server = client("moto_server", ["--port", "0"]).spawn();
        let line = server.line("Running on http://").await;
        let endpoint = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await;
        std::fs::create_dir(dir.path().join("plugins")).unwrap();
        Plugin::probe("probe")
            .manifest("max_body = '8MiB'\n[retry]\nmax_attempts = 2\ninitial_interval = '0s'\n")
            .install(&dir.path().join("plugins"), &sink);
        let text = format!(
            "plugins_dir = '{at}/plugins'\ngrant_all = true\ndrain_s = 5\nledger = {ledger}\n\
             aws = {{ endpoint_url = '{endpoint}' }}\nadmin = {{ listen = '127.0.0.1:0' }}\n\
             egress = {{ open_hosts = ['{sink}'] }}\n[queues.jobs]\nwait = '1s'\nvisibility = '10s'\n{queue_lines}\n",
            at = dir.path().display(),
            ledger = ledger(dir.path()),
            sink = sink.host(),
        );
        let config = Config::parse(&text, Path::new("wasq.toml")).unwrap();
        let sqs = Sqs::connect(&config.aws).await;
        for name in ["jobs-dlq", "mails"] {
            sqs.client().create_queue().queue_name(name).send().await.unwrap();
        }
        let dlq = sqs.queue("jobs-dlq").await.unwrap();
        let arn = &dlq.attributes().await.unwrap()["QueueArn"];
        let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 1000 }).to_string();
        let create = sqs.client().create_queue().queue_name("jobs");
        create.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
        let queue = sqs.queue("jobs").await.unwrap();
        let host = Host::start(config.clone()).await.unwrap();
        Self { endpoint, sqs, queue, dlq, host, config, sink, dir, _server: server }
    }

    async fn send(&self, order: serde_json::Value) {
        let kind = MessageAttributeValue::builder().data_type("String").string_value("probe").build().unwrap();
        let send = self.sqs.client().send_message().queue_url(self.queue.url()).message_body(order.to_string());
        send.message_attributes("type", kind).send().await.unwrap();
    }

    /// Waits until so many are in the DLQ and none in the queue.
    async fn settled(&self, dead: &str) {
        until(&format!("the queue is empty, and {dead} in the DLQ"), || async {
            let (queue, dlq) = (self.queue.attributes().await.unwrap(), self.dlq.attributes().await.unwrap());
            let empty = |suffix| queue[&format!("ApproximateNumberOfMessages{suffix}")] == "0";
            empty("") && empty("NotVisible") && empty("Delayed") && dlq["ApproximateNumberOfMessages"] == dead
        })
        .await;
    }

    async fn end(self) {
        self.host.shutdown(std::future::pending()).await;
    }
}

#[tokio::test]
async fn messages_are_handled_and_deleted_and_a_retry_comes_again() {
    let moto = Moto::start().await;
    moto.sink.answers("again", [json!({ "do": "retry", "reason": "not yet", "after_ms": 1000 })]);
    for _ in 0..12 {
        moto.send(moto.sink.ask("work")).await;
    }
    moto.send(moto.sink.ask("again")).await;
    moto.settled("0").await;
    assert_eq!(moto.sink.count("work"), 12);
    let attempts: Vec<_> = moto.sink.calls("again").iter().map(|call| call.report["attempt"].clone()).collect();
    assert_eq!(attempts, [1, 2]);
    moto.end().await;
}

#[tokio::test]
async fn a_reject_is_dead_lettered_with_its_envelope_and_replayed() {
    let moto = Moto::start().await;
    moto.sink.answers("order", [json!({ "do": "reject", "reason": "no such order" })]);
    moto.send(moto.sink.ask("order")).await;
    moto.settled("1").await;

    let admin = moto.host.admin_addr().to_string();
    let dlq = |arguments: &[&str]| {
        let target = ["--queue", "jobs", "--endpoint-url", &moto.endpoint, "--admin", &admin];
        wasq(["dlq"].iter().chain(arguments).chain(&target)).env("WASQ_CONFIG", "/nowhere/wasq.toml")
    };
    let listed = dlq(&["ls", "--json"]).check(0, &[]).await.json();
    let letter = &listed[0]["letter"];
    assert_eq!((&letter["class"], &letter["reason"]), (&"reject".into(), &"no such order".into()));
    assert_eq!((&letter["queue"], &letter["attempts"]), (&"jobs".into(), &1.into()));
    assert_eq!(listed[0]["body"], moto.sink.ask("order").to_string());
    assert_eq!(listed[0]["attributes"]["type"], "probe");

    let groups = dlq(&["groups", "--json"]).check(0, &[]).await.json();
    assert_eq!((&groups[0]["count"], &groups[0]["example"]["reason"]), (&1.into(), &"no such order".into()));
    let exported = dlq(&["export", "--class", "reject"]).check(0, &["1 exported"]).await;
    assert_eq!(exported.json()["attributes"]["type"], json!({ "type": "String", "value": "probe" }));

    dlq(&["replay", "--all", "--canary", "1", "--settle", "0s"])
        .check(0, &["1 replayed, 0 failed again, 0 left"])
        .await;
    until("the replay runs", || async { moto.sink.count("order") == 2 }).await;
    moto.settled("0").await;
    let keys: Vec<_> = moto.sink.calls("order").iter().map(|call| call.report["key"].clone()).collect();
    assert_eq!(keys[0], keys[1], "a replay keeps its key");
    moto.end().await;
}

#[tokio::test]
async fn what_sqs_moved_to_the_dlq_is_listed_mended_and_discarded() {
    let moto = Moto::start().await;
    let arn = &moto.dlq.attributes().await.unwrap()["QueueArn"];
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 1 }).to_string();
    let create = moto.sqs.client().create_queue().queue_name("hasty");
    create.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    let hasty = moto.sqs.queue("hasty").await.unwrap();
    for _ in 0..2 {
        let send = moto.sqs.client().send_message().queue_url(hasty.url()).message_body(r#"{"do":"nothing"}"#);
        let kind = MessageAttributeValue::builder().data_type("String").string_value("probe").build().unwrap();
        send.message_attributes("type", kind).send().await.unwrap();
    }
    until("SQS has moved them", || async {
        hasty.receive(10, Duration::ZERO, Duration::ZERO).await.unwrap();
        moto.dlq.attributes().await.unwrap()["ApproximateNumberOfMessages"] == "2"
    })
    .await;
    let admin = moto.host.admin_addr().to_string();
    let dlq = |arguments: &[&str]| {
        let target = ["--endpoint-url", &moto.endpoint, "--admin", &admin];
        wasq(["dlq"].iter().chain(arguments).chain(&target)).env("WASQ_CONFIG", "/nowhere/wasq.toml")
    };
    let listed = dlq(&["ls", "--class", "moved-by-sqs", "--json"]).check(0, &[]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    dlq(&["replay", "--all"]).check(1, &["several sources", "hasty", "jobs", "--to"]).await;
    let (first, second) = (listed[0]["id"].as_str().unwrap(), listed[1]["id"].as_str().unwrap());
    let mended = moto.sink.ask("mended").to_string();
    dlq(&["edit", first, "--body", &mended, "--to", "jobs"]).check(0, &["1 replayed"]).await;
    until("it runs", || async { moto.sink.count("mended") == 1 }).await;
    dlq(&["discard", second, "--yes"]).check(0, &["1 discarded"]).await;
    moto.settled("0").await;
    moto.end().await;
}

#[tokio::test]
async fn a_lease_is_extended_while_its_handler_runs() {
    let moto = Moto::start().await;
    let hold = moto.sink.hold("slow");
    moto.send(moto.sink.ask("slow")).await;
    until("it runs", || async { moto.sink.count("slow") == 1 }).await;
    // Longer than the visibility that it was received with.
    let other = moto.queue.receive(1, Duration::from_secs(12), Duration::from_secs(1)).await.unwrap();
    assert!(other.is_empty(), "it is hidden from other consumers while it runs");
    drop(hold);
    moto.settled("0").await;
    assert_eq!(moto.sink.count("slow"), 1);
    moto.end().await;
}

#[tokio::test]
async fn the_ledger_may_be_in_dynamodb() {
    let moto = Moto::with_ledger(|_| "{ store = 'dynamodb', create = true }".into()).await;
    moto.sink.answers("again", [json!({ "do": "retry", "reason": "not yet", "after_ms": 1000 })]);
    moto.sink.answers("order", [json!({ "do": "reject", "reason": "no such order" })]);
    for name in ["work", "again", "order"] {
        moto.send(moto.sink.ask(name)).await;
    }
    moto.settled("1").await;
    let attempts = |name| moto.sink.calls(name).iter().map(|call| call.report["attempt"].clone()).collect::<Vec<_>>();
    assert_eq!(
        (attempts("work"), attempts("again"), attempts("order")),
        (vec![1.into()], vec![1.into(), 2.into()], vec![1.into()])
    );

    let aws = wasq::config::AwsConfig {
        endpoint_url: Some(moto.endpoint.clone()),
        region: None,
        ..wasq::config::AwsConfig::default()
    };
    let dynamodb = aws_sdk_dynamodb::Client::new(&wasq_core::aws::sdk_config(&aws).await);
    let entries = dynamodb.scan().table_name("wasq-ledger").send().await.unwrap().items.unwrap();
    let mut states: Vec<_> =
        entries.iter().filter_map(|entry| Some(entry.get("state")?.as_s().unwrap().as_str())).collect();
    states.sort_unstable();
    assert_eq!(states, ["dead-lettered", "done", "done"]);
    moto.end().await;
}

/// A ledger of the test's own.
fn local(dir: &Path) -> String {
    format!("{{ store = 'local', path = '{}/ledger' }}", dir.display())
}

impl Moto {
    /// The library's client in Python. The answer is what it printed, and how many objects are in
    /// the bucket.
    async fn extended_client(&self, queue: &str, command: &[&str]) -> (String, String) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/extended_client.py");
        let arguments = [&[script, self.endpoint.as_str(), "acme-big", queue], command].concat();
        let ran = client("python", arguments).run().await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let objects = ran.err.lines().find_map(|line| line.strip_prefix("objects: ")).expect("it counts them");
        (ran.out.trim().to_owned(), objects.to_owned())
    }
}

const CLAIM_CHECK: &str = "claim_check_bucket = 'acme-big'\ndelete_payload = true\n[outlets.nowhere]\nurl = 'mails'\nclaim_check_bucket = 'acme-big'";

#[tokio::test]
async fn a_message_of_five_megabytes_comes_and_goes_by_s3_as_the_extended_client_library_has_it() {
    let moto = Moto::with(local, CLAIM_CHECK).await;
    let file = moto.dir.path().join("body.json");
    let send = async |order: &serde_json::Value| {
        std::fs::write(&file, order.to_string()).unwrap();
        moto.extended_client("jobs", &["send", file.to_str().unwrap()]).await
    };
    let (_, objects) =
        send(&json!({ "do": "http", "url": moto.sink.url("large"), "pad": "x".repeat(5_000_000) })).await;
    assert_eq!(objects, "1", "the body is in the bucket");
    moto.settled("0").await;
    assert_eq!(moto.sink.count("large"), 1, "the handler has read the body");

    let mail = json!({ "pad": "y".repeat(600_000) });
    let order = json!({
        "do": "outbox", "queue": "nowhere", "kind": "mail_due", "body": mail, "count": 1, "then": { "do": "done" },
    });
    send(&order).await;
    moto.settled("0").await;
    let (received, objects) = moto.extended_client("mails", &["receive"]).await;
    let received: serde_json::Value = serde_json::from_str(&received).unwrap();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(mail.to_string());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(received, json!({ "sha256": digest, "type": "mail_due" }));
    assert_eq!(objects, "0", "what is done is deleted from the bucket");
    moto.end().await;
}

#[tokio::test]
async fn a_pointer_to_another_bucket_is_dead_lettered_and_a_wanted_topic_is_confirmed() {
    let topic = "arn:aws:sns:us-east-1:123456789012:orders";
    let lines = "claim_check_bucket = 'acme-big'\nenvelope = 'auto'\nconfirm_subscriptions = true\n\
                 topics = ['arn:aws:sns:us-east-1:123456789012:*']";
    let moto = Moto::with(local, lines).await;
    let make = "import boto3, sys; boto3.client('sns', endpoint_url=sys.argv[1], region_name='us-east-1', \
                aws_access_key_id='x', aws_secret_access_key='x').create_topic(Name='orders')";
    client("python", ["-c", make, &moto.endpoint]).check(0, &[]).await;
    moto.send(
        json!(["software.amazon.payloadoffloading.PayloadS3Pointer", { "s3BucketName": "secrets", "s3Key": "k" }]),
    )
    .await;
    moto.settled("1").await;
    moto.send(json!({ "Type": "SubscriptionConfirmation", "MessageId": "m", "TopicArn": topic, "Token": "t", "Message": "You" }))
        .await;
    moto.settled("1").await;
    let exits: Vec<_> = moto.host.services().stats.snapshot().iter().flat_map(|line| line.exits.clone()).collect();
    let count = |class: &str| exits.iter().filter(|(name, _)| *name == class).map(|(_, count)| count).sum::<u64>();
    assert_eq!((count("invalid"), count("notice"), count("done")), (1, 1, 0), "{exits:?}");
    moto.end().await;
}

#[tokio::test]
async fn a_message_whose_body_is_not_in_its_bucket_is_given_up_behind_its_last_wait() {
    let moto = Moto::with(local, "claim_check_bucket = 'acme-big'").await;
    let Moto { endpoint, sqs, queue, dlq, host, config, sink: _sink, dir: _dir, _server } = moto;
    host.shutdown(std::future::pending()).await;
    let make = "import boto3, sys; boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', \
                aws_access_key_id='x', aws_secret_access_key='x').create_bucket(Bucket='acme-big')";
    client("python", ["-c", make, &endpoint]).check(0, &[]).await;
    let pointer =
        json!(["software.amazon.payloadoffloading.PayloadS3Pointer", { "s3BucketName": "acme-big", "s3Key": "gone" }]);
    sqs.client().send_message().queue_url(queue.url()).message_body(pointer.to_string()).send().await.unwrap();
    // As often as a host waits for it.
    for _ in 0..3 {
        let receive = sqs.client().receive_message().queue_url(queue.url()).visibility_timeout(0);
        assert_eq!(receive.send().await.unwrap().messages().len(), 1);
    }
    let host = Host::start(config).await.unwrap();
    until("its letter is in the DLQ", || async {
        dlq.attributes().await.unwrap()["ApproximateNumberOfMessages"] == "1"
    })
    .await;
    let letters = sqs.client().receive_message().queue_url(dlq.url()).message_attribute_names("wasq");
    let letters = letters.send().await.unwrap();
    let letter = letters.messages()[0].message_attributes().unwrap()["wasq"].string_value().unwrap().to_owned();
    assert!(letter.contains(r#""class":"reject""#) && letter.contains("s3://acme-big/gone"), "{letter}");
    assert_eq!(letters.messages()[0].body(), Some(pointer.to_string().as_str()), "the pointer stays, for a replay");
    host.shutdown(std::future::pending()).await;
}
