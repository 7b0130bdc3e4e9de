//! A registry that asks who it is: user and password of docker's config, by itself and by a helper.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tempfile::TempDir;
use wasq_core::aws::AwsConfig;
use wasq_core::aws::ecr::Ecr;
use wasq_tests::servers::{PASSWORD, REGISTRY_USER, Server};

use super::{docker_config, plugin, reference};
use crate::cli::binary::{Wasq, client, script, wasq};
use crate::support::servers::started;

/// A registry with a login, and a directory with a plugin.
fn registry() -> (Server, TempDir) {
    let (server, dir) = (started(Server::registry_with_login()), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("x.wasm"), plugin("receipt", "one")).unwrap();
    (server, dir)
}

fn entry(user: &str, password: &str) -> serde_json::Value {
    json!({ "auth": BASE64_STANDARD.encode(format!("{user}:{password}")) })
}

#[tokio::test]
async fn what_docker_login_has_left_is_used_and_nobody_else_gets_in() {
    let (server, dir) = registry();
    let (host, to) = (format!("127.0.0.1:{}", server.port()), reference(&server, "acme/receipt:1"));
    let push = |config: &serde_json::Value| -> Wasq {
        wasq(["push", "x.wasm", &to]).dir(&dir).env("DOCKER_CONFIG", docker_config(dir.path(), config))
    };
    let nobody = ["refuses to let nobody in particular push to acme/receipt", "401", &format!("docker login {host}")];
    push(&json!({})).check(1, &nobody).await;
    // Another registry's password is not this one's.
    push(&json!({ "auths": { "r.example": entry(REGISTRY_USER, PASSWORD) } })).check(1, &nobody).await;
    let wrong = push(&json!({ "auths": { host.clone(): entry(REGISTRY_USER, "s3cret-and-wrong") } }));
    let ran = wrong.check(1, &["refuses to let `ada` push to"]).await;
    assert!(!ran.err.contains("s3cret"), "{}", ran.err);
    let right = json!({ "auths": { host.clone(): entry(REGISTRY_USER, PASSWORD) } });
    push(&right).check(0, &["@sha256:"]).await;
    let pull = wasq(["pull", &to]).dir(&dir).env("DOCKER_CONFIG", docker_config(dir.path(), &right));
    pull.check(0, &["receipt.wasm"]).await;
    wasq(["pull", &to])
        .dir(&dir)
        .env("DOCKER_CONFIG", docker_config(dir.path(), &json!({})))
        .check(1, &["pull from"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_ecr_has_a_password_by_the_hosts_own_credentials() {
    let server = client("moto_server", ["--port", "0"]).spawn();
    let line = server.line("Running on http://").await;
    let endpoint = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
    let aws = AwsConfig { endpoint_url: Some(endpoint.clone()), ..AwsConfig::default() };
    let (user, password) = Ecr::new(&aws).password("eu-central-1").await.unwrap();
    assert_eq!(user, "AWS");
    assert!(!password.is_empty());
    // Without any, or where ECR is away, that is what is said.
    let nobody = AwsConfig { endpoint_url: Some("http://127.0.0.1:1".into()), ..AwsConfig::default() };
    let error = Ecr::new(&nobody).password("eu-central-1").await.unwrap_err().to_string();
    assert!(!error.is_empty() && !error.contains("password"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.wasm"), plugin("receipt", "one")).unwrap();
    let to = "oci://123456789012.dkr.ecr.eu-central-1.amazonaws.com/a:1";
    let push = wasq(["push", "x.wasm", to]).dir(&dir).env("DOCKER_CONFIG", docker_config(dir.path(), &json!({})));
    push.env("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:1")
        .env("AWS_ACCESS_KEY_ID", "x")
        .env("AWS_SECRET_ACCESS_KEY", "y")
        .check(1, &["cannot get a password for 123456789012.dkr.ecr", "ecr:GetAuthorizationToken"])
        .await;
}

#[tokio::test]
async fn a_credential_helper_is_asked_for_its_registry() {
    let (server, dir) = registry();
    let (host, to) = (format!("127.0.0.1:{}", server.port()), reference(&server, "acme/receipt:1"));
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let answer = json!({ "ServerURL": host, "Username": REGISTRY_USER, "Secret": PASSWORD });
    let of_host = format!("[ \"$1\" = get ] && [ \"$(cat)\" = '{host}' ] && echo '{answer}'");
    script(&bin.join("docker-credential-good"), &of_host);
    script(&bin.join("docker-credential-empty"), "echo 'credentials not found in native keychain'; exit 1");
    script(&bin.join("docker-credential-broken"), "echo 'the keychain is locked' >&2; exit 3");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let push = |config: &serde_json::Value| {
        let docker = docker_config(dir.path(), config);
        wasq(["push", "x.wasm", &to]).dir(&dir).env("DOCKER_CONFIG", docker).env("PATH", &path)
    };
    let helper = |name: &str| json!({ "credHelpers": { host.clone(): name } });
    push(&helper("good")).check(0, &["@sha256:"]).await;
    push(&json!({ "credsStore": "good" })).check(0, &["@sha256:"]).await;
    push(&helper("empty")).check(1, &["nobody in particular"]).await;
    let broken = ["docker-credential-broken", "the keychain is locked"];
    push(&helper("broken")).check(1, &broken).await;
    push(&helper("gone")).check(1, &["docker-credential-gone", "not in PATH"]).await;
    // What a helper does not know may stand in the file.
    let both = json!({ "credsStore": "empty", "auths": { host.clone(): entry(REGISTRY_USER, PASSWORD) } });
    push(&both).check(0, &["@sha256:"]).await;
}
