//! Secrets in AWS Secrets Manager and SSM Parameter Store, against moto's server.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use wasq::config::{AwsConfig, Config, Secret, SecretSource};

use crate::cli::binary::{Running, client, wasq};
use crate::cli::config_file;
use crate::support::{Plugin, Rig, Setup, Sink, until};

const SECRET: &str = "hunter2-hunter2";
const ROTATED: &str = "correct-horse-battery";

/// moto, and the SDK's clients of it.
struct Moto {
    endpoint: String,
    aws: AwsConfig,
    secrets_manager: aws_sdk_secretsmanager::Client,
    ssm: aws_sdk_ssm::Client,
    _server: Running,
}

impl Moto {
    async fn start() -> Self {
        let server = client("moto_server", ["--port", "0"]).spawn();
        let line = server.line("Running on http://").await;
        let endpoint = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        let aws = AwsConfig {
            endpoint_url: Some(endpoint.clone()),
            region: Some("eu-central-1".into()),
            ..AwsConfig::default()
        };
        let shared = wasq_core::aws::sdk_config(&aws).await;
        Self {
            secrets_manager: aws_sdk_secretsmanager::Client::new(&shared),
            ssm: aws_sdk_ssm::Client::new(&shared),
            endpoint,
            aws,
            _server: server,
        }
    }

    async fn put_secret(&self, name: &str, value: &str) {
        let create = self.secrets_manager.create_secret().name(name).secret_string(value);
        if create.send().await.is_err() {
            self.secrets_manager.put_secret_value().secret_id(name).secret_string(value).send().await.unwrap();
        }
    }

    async fn put_parameter(&self, name: &str, value: &str) {
        let put = self.ssm.put_parameter().name(name).value(value).overwrite(true);
        put.r#type(aws_sdk_ssm::types::ParameterType::SecureString).send().await.unwrap();
    }
}

fn in_secrets_manager(name: &str, field: &str) -> SecretSource {
    SecretSource { secretsmanager: Some(name.into()), field: Some(field.into()), ..SecretSource::default() }
}

fn in_parameter_store(name: &str) -> SecretSource {
    SecretSource { ssm: Some(name.into()), ..SecretSource::default() }
}

/// The plugin `probe`, whose requests to `named` have both secrets in their headers; they are
/// fetched every 20 ms.
fn setup(moto: &Moto, named: &Sink) -> Setup {
    let (aws, origin, host) = (moto.aws.clone(), named.origin(), named.host());
    Setup::new().plugin(Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1")).config(
        move |config: &mut Config| {
            config.secrets_aws = Some(aws);
            config.egress.secrets_refresh = Duration::from_millis(20);
            config.egress.open_hosts.push(host);
            config.secrets.insert("TOKEN".into(), in_secrets_manager("mail", "token"));
            config.secrets.insert("KEY".into(), in_parameter_store("/mail/key"));
            let headers = [("authorization", "Bearer {secret:TOKEN}"), ("x-key", "{secret:KEY}")];
            let headers = headers.map(|(name, value)| (name.to_owned(), Secret(value.into())));
            let own = config.plugins.entry("probe".into()).or_default();
            own.allowed_outbound_hosts = Some(vec![origin.clone()]);
            own.headers.insert(origin, headers.into());
        },
    )
}

/// The headers of the call that is the last one now.
async fn next_headers(rig: &Rig, named: &Sink) -> (String, String) {
    let before = named.count("x");
    rig.send(named.ask("x")).await;
    until("it is called", || async { named.count("x") > before }).await;
    let call = named.calls("x").pop().unwrap();
    assert!(![SECRET, ROTATED].iter().any(|secret| call.report.to_string().contains(secret)), "{}", call.report);
    let header = |name: &str| call.headers[name].to_str().unwrap().to_owned();
    (header("authorization"), header("x-key"))
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_with_aws_are_in_the_request_alone_and_a_rotation_is_picked_up() {
    let moto = Moto::start().await;
    moto.put_secret("mail", &json!({ "token": SECRET, "user": "ada" }).to_string()).await;
    moto.put_parameter("/mail/key", "key-1").await;
    let named = Sink::start().await;
    let rig = setup(&moto, &named).start().await;
    assert_eq!(rig.ready().await.0, 200, "they were fetched before the first message");
    assert_eq!(next_headers(&rig, &named).await, (format!("Bearer {SECRET}"), "key-1".into()));

    moto.put_secret("mail", &json!({ "token": ROTATED }).to_string()).await;
    moto.put_parameter("/mail/key", "key-2").await;
    until("both are rotated", || async {
        next_headers(&rig, &named).await == (format!("Bearer {ROTATED}"), "key-2".into())
    })
    .await;

    // What fails from now on leaves the last values.
    moto.put_secret("mail", "no JSON any more").await;
    moto.ssm.delete_parameter().name("/mail/key").send().await.unwrap();
    for _ in 0..10 {
        assert_eq!(next_headers(&rig, &named).await, (format!("Bearer {ROTATED}"), "key-2".into()));
    }
    assert_eq!(rig.ready().await.0, 200);
    for path in ["/plugins", "/status"] {
        assert!(!rig.admin(path).await.to_string().contains(ROTATED), "{path}");
    }
    rig.emptied().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_fetched_is_named_and_what_needs_it_waits_uncounted() {
    let moto = Moto::start().await;
    moto.put_parameter("/mail/key", "key-1").await;
    let named = Sink::start().await;
    let setup = setup(&moto, &named).config(|config| config.limits.breaker_probe = Duration::from_millis(50));
    let rig = setup.start().await;
    let (status, reasons) = rig.ready().await;
    assert_eq!(status, 503);
    assert!(reasons.contains("secret TOKEN: there is not the secret `mail` in Secrets Manager; make it"), "{reasons}");
    rig.send(named.ask("x")).await;
    rig.until_exits("unavailable", 2).await;
    assert_eq!(named.count("x"), 0, "nothing is sent without its secret");
    let breakers = rig.admin("/status").await["breakers"].clone();
    assert_eq!(breakers[0]["dependency"], "secret TOKEN", "{breakers}");

    moto.put_secret("mail", &json!({ "token": SECRET }).to_string()).await;
    until("the message is done", || async { rig.exits("done") == 1 }).await;
    let call = named.calls("x").remove(0);
    assert_eq!((&call.report["attempt"], &call.headers["x-key"]), (&json!(1), &"key-1".parse().unwrap()));
    until("the host is ready", || async { rig.ready().await.0 == 200 }).await;
    rig.end().await;
}

/// The lines of a config that names both secrets.
fn lines(origin: &str) -> String {
    format!(
        "admin = {{ listen = '127.0.0.1:0' }}\n[secrets]\nTOKEN = {{ secretsmanager = 'mail', field = 'token' }}\n\
         KEY = {{ ssm = '/mail/key' }}\n[plugins.probe.headers.'{origin}']\nauthorization = 'Bearer {{secret:TOKEN}}'\n\
         x-key = '{{secret:KEY}}'\n[queues.jobs]\ndlq = 'jobs-dlq'\nwait = '1s'"
    )
}

/// The binary, with the SDK's own variables for where the two services are.
fn at_moto(arguments: &[&str], config: &Path, moto: &Moto) -> crate::cli::binary::Wasq {
    wasq(arguments.iter().map(AsRef::as_ref).chain(["--config".as_ref(), config.as_os_str()]))
        .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", &moto.endpoint)
        .env("AWS_ENDPOINT_URL_SSM", &moto.endpoint)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_shows_a_secret_that_was_fetched() {
    let moto = Moto::start().await;
    moto.put_secret("mail", &json!({ "token": SECRET }).to_string()).await;
    moto.put_parameter("/mail/key", ROTATED).await;
    let rig = Setup::probe().without_host().await;
    let config = config_file(&rig, "", &lines(&rig.sink.origin()));
    let run = at_moto(&["run"], &config, &moto).env("WASQ_LOG", "trace").spawn();
    run.line("admin=").await;
    rig.send(rig.sink.ask("x")).await;
    rig.until_called("x", 1).await;
    assert_eq!(rig.sink.calls("x")[0].headers["authorization"], format!("Bearer {SECRET}"));
    rig.emptied().await;
    run.signal("TERM").await;
    run.line("stopped").await;
    let log = run.shown();
    assert!(log.contains("TRACE"), "the log is at its finest");
    for secret in [SECRET, ROTATED] {
        assert!(!log.contains(secret), "{}", log.lines().find(|line| line.contains(secret)).unwrap());
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_check_names_each_secret_that_is_not_there() {
    let moto = Moto::start().await;
    let rig = Setup::probe().without_host().await;
    let config = config_file(&rig, "", &lines(&rig.sink.origin()));
    let [secret, parameter] = [
        "problem  secret TOKEN: there is not the secret `mail` in Secrets Manager",
        "problem  secret KEY: there is not the parameter `/mail/key` in Parameter Store",
    ];
    at_moto(&["check", "--live"], &config, &moto).check(1, &[secret, parameter]).await;
    moto.put_parameter("/mail/key", "key-1").await;
    moto.put_secret("mail", r#"{"tokne":"x"}"#).await;
    let ran =
        at_moto(&["check", "--live"], &config, &moto).check(1, &["`mail` in Secrets Manager has no key `token`"]).await;
    assert!(!ran.says("secret KEY"), "{ran:?}");
    moto.put_secret("mail", r#"{"token":"x"}"#).await;
    let ran = at_moto(&["check", "--live"], &config, &moto).run().await;
    assert!(!ran.says("problem  secret"), "{ran:?}");
    rig.end().await;
}
