//! What `deploy/` ships, deployed: the CloudFormation template on moto's CloudFormation, and the
//! host on what it made.
//!
//! moto's CloudFormation knows the queues, the table, the roles and all of ECS; alarms and scaling
//! it passes over, which are the linters'. moto starts no task: the host is the binary, with the
//! config that the task definition gives it.

mod alarms;
mod compose;
mod helm;
mod kubernetes;
mod lint;
mod terraform;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::binary::{Running, Wasq, client, wasq};
use crate::support::{Plugin, Sink, hosts, until};

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/cloudformation.yaml");

/// What an action of a policy is on, by the policy's statement.
type Actions = BTreeMap<String, BTreeSet<String>>;

/// moto with the template deployed in it.
struct Deployed {
    endpoint: String,
    dir: TempDir,
    sink: Sink,
    _server: Running,
}

impl Deployed {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = client("moto_server", ["--port", "0"]).env("MOTO_RECORDER_FILEPATH", dir.path().join("calls"));
        let server = server.spawn();
        let line = server.line("Running on http://").await;
        let endpoint = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        let sink = Sink::start().await;
        std::fs::create_dir(dir.path().join("plugins")).unwrap();
        Plugin::probe("probe")
            .manifest("[retry]\nmax_attempts = 2\ninitial_interval = '0s'\n")
            .install(&dir.path().join("plugins"), &sink);
        let this = Self { endpoint, dir, sink, _server: server };
        this.deploy().await;
        this
    }

    async fn deploy(&self) {
        let first = |of: &'static str, field: &'static str| async move {
            self.aws(&["ec2", of]).await.as_object().unwrap().values().next().unwrap()[0][field].clone()
        };
        let more = format!(
            "grant_all = true\naws = {{ endpoint_url = '{}' }}\nadmin = {{ listen = '127.0.0.1:0' }}\n\
             egress = {{ open_hosts = ['{}'] }}\n\
             schedules = {{ yearly = {{ cron = '@yearly', queue = 'shop-jobs', type = 'probe', body = '{}' }} }}",
            self.endpoint,
            self.sink.host(),
            self.sink.ask("tick")
        );
        let parameters = json!({
            "Service": "shop",
            "Image": "wasq:test",
            "Vpc": first("describe-vpcs", "VpcId").await,
            "Subnets": first("describe-subnets", "SubnetId").await,
            "QueueConfig": "wait = '1s', visibility = '20s'",
            "MoreConfig": more,
        });
        let parameters = parameters.as_object().unwrap().iter();
        let parameters: Vec<_> =
            parameters.map(|(key, value)| json!({ "ParameterKey": key, "ParameterValue": value })).collect();
        let file = self.dir.path().join("parameters.json");
        std::fs::write(&file, json!(parameters).to_string()).unwrap();
        let (template, parameters) = (format!("file://{TEMPLATE}"), format!("file://{}", file.display()));
        let create = ["cloudformation", "create-stack", "--stack-name", "shop", "--capabilities", "CAPABILITY_IAM"];
        self.aws(&[&create[..], &["--template-body", &template, "--parameters", &parameters]].concat()).await;
        let stacks = self.aws(&["cloudformation", "describe-stacks", "--stack-name", "shop"]).await;
        assert_eq!(stacks["Stacks"][0]["StackStatus"], "CREATE_COMPLETE");
    }

    /// The AWS CLI's answer.
    async fn aws(&self, arguments: &[&str]) -> Value {
        let ran = client("python3", ["-m", "awscli", "--endpoint-url", &self.endpoint].iter().chain(arguments))
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .check(0, &[])
            .await;
        if ran.out.trim().is_empty() { Value::Null } else { ran.json() }
    }

    async fn task(&self) -> Value {
        self.aws(&["ecs", "describe-task-definition", "--task-definition", "shop"]).await["taskDefinition"].take()
    }

    /// The host with the task's own config; only the directories are the test's, and the queue is
    /// sampled at once.
    async fn host(&self) -> Running {
        let task = self.task().await;
        let environment = task["containerDefinitions"][0]["environment"].as_array().unwrap();
        let config = environment.iter().find(|variable| variable["name"] == "WASQ_TOML").unwrap();
        let dir = self.dir.path().display();
        let text = config["value"].as_str().unwrap();
        let text = text.replace("/opt/wasq/plugins", &format!("{dir}/plugins"));
        let text = text.replace("/var/lib/wasq", &format!("{dir}/state"));
        let text = text.replace("emf = true", "emf = true, sample_interval = '1s'");
        let file = self.dir.path().join("wasq.toml");
        std::fs::write(&file, text).unwrap();
        as_app("worker", wasq([Path::new("run"), Path::new("--config"), &file])).spawn()
    }

    async fn send(&self, name: &str) {
        self.send_to("shop-jobs", name).await;
    }

    async fn send_to(&self, queue: &str, name: &str) {
        let kind = json!({ "type": { "DataType": "String", "StringValue": "probe" } }).to_string();
        let (url, body) = (self.url(queue), self.sink.ask(name).to_string());
        let send = ["sqs", "send-message", "--queue-url", &url, "--message-body", &body, "--message-attributes", &kind];
        self.aws(&send).await;
    }

    fn url(&self, queue: &str) -> String {
        format!("{}/123456789012/{queue}", self.endpoint)
    }

    async fn waiting(&self, queue: &str) -> [u32; 2] {
        let url = self.url(queue);
        let answer = self.aws(&["sqs", "get-queue-attributes", "--queue-url", &url, "--attribute-names", "All"]).await;
        ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            .map(|name| answer["Attributes"][name].as_str().unwrap().parse().unwrap())
    }

    async fn recorder(&self, action: &str) {
        let url = format!("{}/moto-api/recorder/{action}", self.endpoint);
        client("python3", ["-c", "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], b''))", &url])
            .check(0, &[])
            .await;
    }

    /// What a program was recorded to call, by the statement of the policy that it falls under.
    fn called(&self, app: &str) -> Actions {
        let mut actions = Actions::new();
        for line in std::fs::read_to_string(self.dir.path().join("calls")).unwrap().lines() {
            let call: Value = serde_json::from_str(line).unwrap();
            let header = |name: &str| {
                let headers = call["headers"].as_object().unwrap();
                let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.as_str().unwrap().to_owned()).unwrap_or_default()
            };
            if !header("x-amz-user-agent").contains(&format!("app/{app}")) {
                continue;
            }
            let target = header("x-amz-target");
            let (service, operation) = target.split_once('.').unwrap_or_else(|| panic!("no target: {line}"));
            let body = call["body"].as_str().unwrap();
            let (place, service) = match service {
                "DynamoDB_20120810" => ("Ledger", "dynamodb"),
                "AmazonSQS" if decoded(body).contains("shop-jobs-dlq") => ("DeadLetters", "sqs"),
                "AmazonSQS" => ("Jobs", "sqs"),
                other => panic!("a call of a service that no policy is for: {other}"),
            };
            // One action of SQS allows the single call and its batch.
            let action = format!("{service}:{}", operation.trim_end_matches("Batch"));
            actions.entry(place.into()).or_default().insert(action);
        }
        actions
    }

    /// What a role's inline policy allows.
    async fn allowed(&self, role: &str, policy: &str) -> Actions {
        let roles = self.aws(&["iam", "list-roles"]).await;
        let names = roles["Roles"].as_array().unwrap().iter().map(|found| found["RoleName"].as_str().unwrap());
        let name = names.into_iter().find(|name| name.contains(role)).unwrap();
        let answer = self.aws(&["iam", "get-role-policy", "--role-name", name, "--policy-name", policy]).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        // moto tells a stack's policies as Python would print them.
        let printed = text(&answer["PolicyDocument"]).replace('\'', "\"");
        let document: Value = serde_json::from_str(&printed).unwrap();
        let statements = document["Statement"].as_array().unwrap().iter();
        let actions = statements.map(|statement| {
            let resource = text(&statement["Resource"]);
            let ends = match text(&statement["Sid"]).as_str() {
                "Jobs" => ":shop-jobs",
                "DeadLetters" => ":shop-jobs-dlq",
                _ => ":table/shop-ledger",
            };
            assert!(resource.ends_with(ends), "{statement}");
            (text(&statement["Sid"]), statement["Action"].as_array().unwrap().iter().map(text).collect())
        });
        actions.collect()
    }
}

/// The calls of the command say in their user agent who makes them.
fn as_app(app: &str, command: Wasq) -> Wasq {
    command.env("AWS_SDK_UA_APP_ID", app)
}

/// What base64 says.
fn decoded(body: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for digit in body.chars().filter_map(|char| alphabet.find(char)) {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_template_deploys_and_its_roles_allow_what_the_host_calls_and_no_more() {
    let moto = Deployed::start().await;
    moto.recorder("start-recording").await;
    moto.sink.answers("again", [json!({ "do": "retry", "reason": "not yet", "after_ms": 1000 })]);
    moto.sink.answers("order", [json!({ "do": "reject", "reason": "no such order" })]);
    let host = moto.host().await;
    for name in ["work", "again", "order"] {
        moto.send(name).await;
    }
    until("two are done and one is a dead letter", || async {
        moto.waiting("shop-jobs").await == [0, 0] && moto.waiting("shop-jobs-dlq").await[0] == 1
    })
    .await;
    assert_eq!((moto.sink.count("work"), moto.sink.count("again"), moto.sink.count("order")), (1, 2, 1));

    until("a sample has looked into the DLQ", || async {
        moto.called("worker")["DeadLetters"].contains("sqs:ReceiveMessage")
    })
    .await;
    // What waits in the ledger is sent to the queue itself, and its timer goes.
    let admin = hosts::admin_addr(&host).await.to_string();
    wasq(["schedules", "run", "yearly", "--admin", &admin]).check(0, &["schedule-run/yearly/"]).await;
    until("its message has run, and its timer has gone", || async {
        moto.sink.count("tick") == 1 && moto.called("worker")["Ledger"].contains("dynamodb:DeleteItem")
    })
    .await;
    assert_eq!(moto.called("worker"), moto.allowed("WorkerRole", "work").await);

    // A letter without an envelope, as SQS moves it: its queue must be asked for.
    moto.send_to("shop-jobs-dlq", "moved").await;
    let config = moto.dir.path().join("wasq.toml");
    // Listed letters are given back at once.
    let list = as_app("replayer", wasq(["dlq", "ls", "--admin", &admin]));
    list.env("WASQ_CONFIG", &config).check(0, &["no such order"]).await;
    let replay = as_app("replayer", wasq(["dlq", "replay", "--all", "--admin", &admin]));
    replay.env("WASQ_CONFIG", config).check(0, &["2 replayed"]).await;
    until("the replays run", || async { moto.sink.count("order") == 2 && moto.sink.count("moved") == 1 }).await;
    assert_eq!(moto.called("replayer"), moto.allowed("ReplayerRole", "replay").await);
    hosts::end(host).await;
}

#[tokio::test]
async fn the_task_is_held_as_tight_as_it_can_be() {
    let moto = Deployed::start().await;
    let task = moto.task().await;
    let host = &task["containerDefinitions"][1];
    assert_eq!((&host["name"], &host["user"]), (&json!("host"), &json!("65532:65532")));
    assert_eq!(host["readonlyRootFilesystem"], true);
    assert_eq!(host["linuxParameters"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(host["healthCheck"]["command"], json!(["CMD", "/usr/bin/wasq", "health"]));
    assert_eq!(host["stopTimeout"], 30);
}

#[test]
fn the_runbook_has_one_entry_for_each_alarm() {
    let runbook = read("docs/operate/runbook.md");
    let entries: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(entries.len(), 8);
    assert_eq!(cloudwatch_alarms(), entries);
}

/// The template's alarms, by their names without the service.
fn cloudwatch_alarms() -> Vec<String> {
    let template = read("deploy/cloudformation.yaml");
    let names = template.lines().filter_map(|line| line.trim().strip_prefix("AlarmName: !Sub \"${Service}-"));
    names.map(|name| name.trim_end_matches('"').to_owned()).collect()
}

/// The template, with what its tags stand for.
async fn cfn() -> Value {
    let code = "import json, sys, cfnlint.decode; print(json.dumps(cfnlint.decode.decode(sys.argv[1])[0]))";
    client("python3", ["-c", code, TEMPLATE]).check(0, &[]).await.json()
}

/// A file's path, from the repository's root.
fn path(file: &str) -> String {
    format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap()
}

/// The documents of a YAML file.
async fn yaml(file: &str) -> Vec<Value> {
    let code = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let documents = client("python3", ["-c", code, &path(file)]).check(0, &[]).await.json();
    documents.as_array().unwrap().clone()
}
