//! Requests that the host signs for AWS, against moto's server, which checks each signature and the
//! rights of who made it.

use serde_json::{Value, json};
use wasq::config::{AwsConfig, Config, SignConfig};

use crate::cli::binary::{Running, client, wasq};
use crate::cli::config_file;
use crate::support::{Plugin, Rig, Setup};

/// What of the rig's own calls moto takes unchecked: the host assumes the role.
pub const UNCHECKED_CALLS: &str = "1";

/// moto, with what handlers call in it. It listens on each loopback address: a signature is for one
/// service, and so each service has an address of its own.
pub struct Moto {
    port: u16,
    made: Value,
    _server: Running,
}

/// The services, by the last number of their addresses.
const SERVICES: [(u8, &str); 7] =
    [(2, "s3"), (3, "sqs"), (4, "sns"), (5, "dynamodb"), (6, "states"), (7, "ses"), (8, "events")];

impl Moto {
    pub async fn start(unchecked_calls: &str) -> Self {
        let server = client("moto_server", ["--host", "0.0.0.0", "--port", "0"]).spawn();
        let line = server.line("Running on http://127.0.0.1").await;
        let port = line.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/aws_services.py");
        let made = client("python", [script, &format!("http://127.0.0.1:{port}"), unchecked_calls]).run().await;
        assert_eq!(made.code, Some(0), "{made:?}");
        Self { port, made: made.json(), _server: server }
    }

    pub fn aws(&self) -> AwsConfig {
        let endpoint_url = Some(format!("http://127.0.0.1:{}", self.port));
        AwsConfig { endpoint_url, region: Some("eu-central-1".into()), ..AwsConfig::default() }
    }

    pub fn url(&self, service: &str, path: &str) -> String {
        let (number, _) = SERVICES.iter().find(|(_, name)| *name == service).unwrap();
        format!("http://127.0.0.{number}:{}{path}", self.port)
    }

    pub fn role(&self, name: &str) -> String {
        self.made["roles"][name].as_str().unwrap().to_owned()
    }

    /// The plugin `probe`, whose requests to each service are signed so.
    fn sign(&self, config: &mut Config, sign: &SignConfig) {
        config.secrets_aws = Some(self.aws());
        let own = config.plugins.entry("probe".into()).or_default();
        for (number, service) in SERVICES {
            let host = format!("127.0.0.{number}:{}", self.port);
            config.egress.open_hosts.push(host.clone());
            own.allowed_outbound_hosts.get_or_insert_default().push(format!("http://{host}"));
            own.sign.insert(format!("http://{host}"), SignConfig { service: Some(service.into()), ..sign.clone() });
        }
    }

    async fn rig(&self, sign: SignConfig, change: impl FnOnce(&mut Config)) -> Rig {
        let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1");
        let mut rig = Setup::new().plugin(probe).without_host().await;
        self.sign(&mut rig.config, &sign);
        change(&mut rig.config);
        rig.start_host().await;
        rig
    }

    /// A call of each kind that handlers make. Of requests to S3 with a query, or a key that is
    /// encoded, moto computes another signature than AWS does, and than the SDKs do.
    fn calls(&self) -> Vec<(&'static str, Value)> {
        let call = |service: &'static str, method: &str, path: &str, headers: Value, body: String| {
            (
                service,
                json!({ "do": "call", "method": method, "url": self.url(service, path), "headers": headers, "body": body }),
            )
        };
        let json_call = |service, version: &str, target: &str, body: Value| {
            let kind = format!("application/x-amz-json-{version}");
            call(service, "POST", "/", json!({ "content-type": kind, "x-amz-target": target }), body.to_string())
        };
        let form = json!({ "content-type": "application/x-www-form-urlencoded" });
        let topic = self.made["topic"].as_str().unwrap().replace(':', "%3A");
        let sent = json!({
            "FromEmailAddress": "shop@example.com", "Destination": { "ToAddresses": ["a@example.com"] },
            "Content": { "Simple": { "Subject": { "Data": "s" }, "Body": { "Text": { "Data": "b" } } } },
        });
        let event = json!({ "Source": "shop", "DetailType": "order", "Detail": "{}", "EventBusName": "shop" });
        let item = json!({ "TableName": "orders", "Item": { "id": { "S": "o-1" }, "total": { "N": "12" } } });
        let key = json!({ "TableName": "orders", "Key": { "id": { "S": "o-1" } } });
        vec![
            call("s3", "PUT", "/acme/in/photo.txt", json!({ "content-type": "text/plain" }), "a photo".into()),
            call("s3", "GET", "/acme/in/photo.txt", json!({}), String::new()),
            call("s3", "HEAD", "/acme/in/photo.txt", json!({}), String::new()),
            json_call(
                "sqs",
                "1.0",
                "AmazonSQS.SendMessage",
                json!({ "QueueUrl": self.made["queue"], "MessageBody": "an order" }),
            ),
            call("sns", "POST", "/", form, format!("Action=Publish&Version=2010-03-31&TopicArn={topic}&Message=hello")),
            json_call("dynamodb", "1.0", "DynamoDB_20120810.PutItem", item),
            json_call("dynamodb", "1.0", "DynamoDB_20120810.GetItem", key),
            json_call(
                "states",
                "1.0",
                "AWSStepFunctions.SendTaskSuccess",
                json!({ "taskToken": "token", "output": "{}" }),
            ),
            call(
                "ses",
                "POST",
                "/v2/email/outbound-emails",
                json!({ "content-type": "application/json" }),
                sent.to_string(),
            ),
            json_call("events", "1.1", "AWSEvents.PutEvents", json!({ "Entries": [event] })),
        ]
    }
}

fn by_role(arn: String) -> SignConfig {
    SignConfig { role: Some(arn), ..SignConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_call_aws_without_credentials_by_the_role_of_their_plugin() {
    let moto = Moto::start(UNCHECKED_CALLS).await;
    let rig = moto.rig(by_role(moto.role("handler")), |_| ()).await;
    let calls = moto.calls();
    for (number, (service, call)) in calls.iter().enumerate() {
        rig.send(call.clone()).await;
        rig.emptied().await;
        let done = rig.exits("done");
        if done != number as u64 + 1 {
            panic!("{service} {}: {}", call["url"], rig.letter().await.letter.reason);
        }
    }
    let mut read = calls[1].1.clone();
    read["expect"] = "a photo".into();
    rig.send(read).await;
    let mut item = calls[6].1.clone();
    item["expect"] = "o-1".into();
    rig.send(item).await;
    rig.emptied().await;
    assert_eq!(rig.exits("done"), calls.len() as u64 + 2, "what was written is what is read");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_aws_does_not_know_and_a_role_without_the_right_are_refused_by_it() {
    // The host itself is `local` there, which nobody has made.
    let moto = Moto::start(UNCHECKED_CALLS).await;
    let rig = moto.rig(by_role(moto.role("other")), |_| ()).await;
    let calls = moto.calls();
    for (service, call) in &calls {
        rig.send(call.clone()).await;
        let dead = rig.letter().await.letter;
        assert!(dead.class == "reject" && dead.reason.contains("answered 403"), "{service}: {}", dead.reason);
    }
    rig.end().await;
    let rig = moto.rig(SignConfig::default(), |_| ()).await;
    for (service, call) in &calls {
        rig.send(call.clone()).await;
        let dead = rig.letter().await.letter;
        assert!(dead.class == "reject" && dead.reason.contains("answered 403"), "{service}: {}", dead.reason);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_operator_did_not_grant_is_a_dead_letter_that_names_the_key() {
    let moto = Moto::start(UNCHECKED_CALLS).await;
    let requests = Some(vec!["GET /acme/out/*".to_owned()]);
    let rig = moto.rig(SignConfig { requests, ..by_role(moto.role("handler")) }, |_| ()).await;
    rig.send(json!({ "do": "http", "url": moto.url("s3", "/acme/in/photo.txt") })).await;
    let dead = rig.letter().await.letter;
    let expect = format!(
        "the host signs no such request, GET 127.0.0.2:{0}/acme/in/photo.txt: no pattern in \
         plugins.probe.sign.\"http://127.0.0.2:{0}\".requests covers it",
        moto.port
    );
    assert!(dead.reason.contains(&expect), "{}", dead.reason);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_not_given_is_waited_for_uncounted() {
    // Every call is checked, and so `local` gets no role.
    let moto = Moto::start("0").await;
    let change = |config: &mut Config| config.limits.breaker_probe = std::time::Duration::from_millis(50);
    let rig = moto.rig(by_role(moto.role("handler")), change).await;
    rig.send(json!({ "do": "http", "url": moto.url("s3", "/acme/in/photo.txt") })).await;
    rig.until_exits("unavailable", 2).await;
    let breakers = rig.admin("/status").await["breakers"].clone();
    assert_eq!(breakers[0]["dependency"], format!("role {}", moto.role("handler")), "{breakers}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_what_cannot_be_signed_and_with_what() {
    let moto = Moto::start("0").await;
    let rig = Setup::probe().without_host().await;
    let sign = |lines: &str| {
        let lines = format!(
            "admin = {{ listen = '127.0.0.1:0' }}\n[plugins.probe.sign.'http://127.0.0.2:{}']\n{lines}\n\
             [queues.jobs]\ndlq = 'jobs-dlq'\nwait = '1s'",
            moto.port
        );
        config_file(&rig, "", &lines)
    };
    let check = |lines: &str, live: bool| {
        let (config, live) = (sign(lines), live.then_some("--live"));
        let arguments = ["check"].into_iter().chain(live).map(std::ffi::OsString::from);
        wasq(arguments.chain(["--config".into(), config.into_os_string()]))
            .env("AWS_ENDPOINT_URL_STS", format!("http://127.0.0.1:{}", moto.port))
    };
    let key = format!("plugins.probe.sign.\"http://127.0.0.2:{}\"", moto.port);
    check("", false).check(1, &[&format!("`{key}.service` is not said"), "wasq.toml"]).await;
    check("service = 's3'", false).check(1, &[&format!("take {key} away"), "signs requests"]).await;
    let role = format!("service = 's3'\nrole = '{}'", moto.role("handler"));
    let missing = format!("problem  {key}: the role {} was not given to it: ", moto.role("handler"));
    // moto's refusal is not in the form that STS has.
    check(&role, true).check(1, &[&missing, "its refusal cannot be read"]).await;
    rig.end().await;
}
