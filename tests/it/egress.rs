//! Outbound HTTP of whole handlers: what they may reach, what stops them, and what the host adds.

use serde_json::{Value, json};
use wasq::config::{Config, Secret, SecretSource};
use wasq::host::Host;

use crate::support::{Answer, Plugin, Setup, Sink};

const SECRET: &str = "hunter2-hunter2";

/// A probe with one attempt, so that its first failure is its dead letter.
fn once(lines: &str) -> Plugin {
    Plugin::probe("probe").manifest(&format!("{lines}\n[retry]\nmax_attempts = 1"))
}

/// Wants this order to fail with these words in its dead letter, whose class is `retry`.
async fn fails(setup: Setup, order: impl Fn(&Sink) -> Value, expect: &str) {
    let rig = setup.start().await;
    rig.send(order(&rig.sink)).await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "retry", "{}", dead.letter.reason);
    assert!(dead.letter.reason.contains(expect), "{} has no {expect:?}", dead.letter.reason);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_resolves_to_this_machine_is_denied_although_it_is_granted() {
    let setup = Setup::new().plugin(once("")).config(|config| {
        config.plugins.entry("probe".into()).or_default().allowed_outbound_hosts =
            Some(vec!["http://localhost:80".into(), "http://*.localhost:80".into(), "http://169.254.169.254".into()]);
    });
    let rig = setup.start().await;
    let urls =
        ["http://localhost/", "http://LOCALHOST./", "http://2852039166/latest/meta-data/", "http://0xa9.0xfe.43518/"];
    for url in urls {
        rig.send(json!({ "do": "http", "url": url })).await;
        let dead = rig.letter().await;
        for part in ["its address is a prohibited one", "egress.open_hosts = [\""] {
            assert!(dead.letter.reason.contains(part), "{url}: {}", dead.letter.reason);
        }
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_met_is_named_in_the_dead_letter() {
    let setup = || Setup::new().plugin(once(""));
    let twice = |sink: &Sink| json!({ "do": "steps", "urls": { "a": sink.url("a"), "b": sink.url("b") }, "then": { "do": "done" } });
    fails(setup().config(|config| config.limits.requests = 1), twice, "(limits.requests)").await;
    let get = |sink: &Sink| json!({ "do": "http", "url": sink.url("x") });
    fails(setup().config(|config| config.limits.response_bytes = 3), get, "(limits.response_bytes)").await;
    let ask = |sink: &Sink| sink.ask("x");
    fails(setup().config(|config| config.limits.request_bytes = 3), ask, "(limits.request_bytes)").await;
    let many = |sink: &Sink| {
        sink.answers("x", [Answer::status(200).header("x-long", "x".repeat(2_000))]);
        json!({ "do": "http", "url": sink.url("x") })
    };
    fails(setup().config(|config| config.limits.header_bytes = 1_500), many, "(limits.header_bytes)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let order = |sink: &Sink| {
        sink.answers("from", [Answer::status(307).header("location", sink.url("to"))]);
        json!({ "do": "http", "url": sink.url("from") })
    };
    let rig = Setup::new().plugin(once("")).start().await;
    rig.send(order(&rig.sink)).await;
    let dead = rig.letter().await;
    assert!(dead.letter.reason.contains("answered 307"), "{}", dead.letter.reason);
    assert_eq!((rig.sink.count("from"), rig.sink.count("to")), (1, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_messages_traceparent_goes_on_with_its_requests() {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let rig = Setup::probe().start().await;
    rig.message(rig.sink.ask("x")).attribute("traceparent", traceparent).send().await;
    rig.emptied().await;
    assert_eq!(rig.sink.calls("x")[0].headers["traceparent"], traceparent);
    rig.end().await;
}

/// Gives the plugin `probe` a secret in its headers for this origin.
fn grant_secret(config: &mut Config, origin: &str, source: SecretSource) {
    config.secrets.insert("TOKEN".into(), source);
    let headers = [("authorization".to_owned(), Secret("Bearer {secret:TOKEN}".into()))];
    config.plugins.entry("probe".into()).or_default().headers.insert(origin.into(), headers.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_the_request_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, SECRET).unwrap();
    let (named, other) = (Sink::start().await, Sink::start().await);
    let (origins, hosts) = ([named.origin(), other.origin()], [named.host(), other.host()]);
    let setup = Setup::new().plugin(once("")).config(move |config| {
        config.egress.open_hosts.extend(hosts);
        config.plugins.entry("probe".into()).or_default().allowed_outbound_hosts = Some(origins.to_vec());
        grant_secret(config, &origins[0], SecretSource { file: Some(path), ..SecretSource::default() });
    });
    let rig = setup.start().await;
    // What the handler knows it tells: its report to each server, and its reason.
    for sink in [&named, &other] {
        sink.answers("x", [json!({ "do": "reject", "reason": "refused" })]);
        rig.send(sink.ask("x")).await;
        let dead = rig.letter().await;
        assert!(!format!("{dead:?}").contains(SECRET));
    }
    let call = named.calls("x").remove(0);
    assert_eq!(call.headers["authorization"], format!("Bearer {SECRET}"));
    assert!(!call.report.to_string().contains(SECRET));
    assert!(!other.calls("x")[0].headers.contains_key("authorization"));
    assert_eq!(rig.admin("/plugins").await["plugins"][0]["secrets"], json!(["TOKEN"]));
    for path in ["/plugins", "/status"] {
        assert!(!rig.admin(path).await.to_string().contains(SECRET), "{path}");
    }
    assert!(!format!("{:?}", rig.config).contains("Bearer"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_its_secret_does_not_start_and_says_where_it_looked() {
    let source = SecretSource { env: Some("WASQ_TEST_NO_SUCH_TOKEN".into()), ..SecretSource::default() };
    let setup = Setup::probe().config(|config| grant_secret(config, "https://api.example", source));
    let rig = setup.without_host().await;
    let error = Host::start(rig.config.clone()).await.err().expect("it does not start").to_string();
    assert!(error.contains("secret `TOKEN`: the environment's variable WASQ_TEST_NO_SUCH_TOKEN is not set"), "{error}");
    rig.end().await;
}
