//! Each way to AWS credentials that fails says why, and what to do: with real profiles, programs,
//! and servers that answer as AWS's do.

use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::binary::{Wasq, wasq};
use super::{good, install, place};

/// A config whose queue is at AWS, and a home directory with these profiles.
struct User {
    dir: TempDir,
}

impl User {
    fn new(profiles: &str) -> Self {
        let dir = place("strict_start = true\naws = { region = 'eu-central-1' }\n[queues.jobs]\ndlq = 'jobs-dlq'\n");
        install(&dir.path().join("plugins"), "good", &good(), "");
        std::fs::write(dir.path().join("profiles"), profiles).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn wasq(&self, arguments: &[&str]) -> Wasq {
        let profiles = self.path().join("profiles");
        wasq(arguments).dir(&self.dir).env("HOME", self.path()).env("AWS_CONFIG_FILE", profiles)
    }

    /// `check --live` with these variables must end with 1 and say all of this.
    async fn check(&self, variables: &[(&str, &str)], parts: &[&str]) {
        let check = self.wasq(&["check", "--live"]);
        let check = variables.iter().fold(check, |check, (name, value)| check.env(name, value));
        let ran = check.check(1, parts).await;
        let problems: Vec<_> = ran.out.lines().filter(|line| line.contains("NoCredentials")).collect();
        assert_eq!(problems.len(), 1, "{ran:#?}");
        assert!(problems[0].chars().count() < 1_000, "{problems:?}");
    }
}

/// An endpoint that answers every request with this.
async fn endpoint(status: u16, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 64 * 1024];
                let _ = stream.read(&mut request).await;
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    url
}

const STS_REFUSES: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/dev is \
                           not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";

#[tokio::test]
async fn nothing_is_there() {
    User::new("")
        .check(&[], &["AWS_ACCESS_KEY_ID", "`default`", "AWS_WEB_IDENTITY_TOKEN_FILE", "set one of these"])
        .await;
}

#[tokio::test]
async fn a_profile_that_is_not_there_or_has_no_credentials() {
    let user = User::new(
        "[profile dev]\nregion = eu-west-1\n[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = gone\n",
    );
    user.check(&[("AWS_PROFILE", "prod")], &["`prod` (AWS_PROFILE)", "is not there", "only dev, role"]).await;
    user.check(&[("AWS_PROFILE", "dev")], &["`dev` (AWS_PROFILE)", "no credentials", "credential_process"]).await;
    user.check(&[("AWS_PROFILE", "role")], &["`role` (AWS_PROFILE)", "gone"]).await;
    // What the environment and the profiles say does not change while a host runs.
    user.wasq(&["run"]).env("AWS_PROFILE", "prod").check(1, &["`prod` (AWS_PROFILE)"]).await;
}

#[tokio::test]
async fn an_sso_session_that_was_never_begun_or_is_over() {
    let profile = "[profile sso]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n\
                   [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n\
                   [profile old]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n\
                   sso_account_id = 123456789012\nsso_role_name = dev\n";
    let user = User::new(profile);
    user.check(&[("AWS_PROFILE", "sso")], &["SSO session", "`sso`", "run `aws sso login --profile sso`"]).await;
    user.check(&[("AWS_PROFILE", "old")], &["SSO session", "`old`", "run `aws sso login --profile old`"]).await;
    // The file's name is the SHA-1 of `corp`.
    let cache = user.path().join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    let token = r#"{"accessToken":"s3cret","expiresAt":"2020-01-01T00:00:00Z","region":"eu-west-1","startUrl":"https://corp.awsapps.com/start"}"#;
    std::fs::write(cache.join(format!("{}.json", sha1_of("corp").await)), token).unwrap();
    user.check(&[("AWS_PROFILE", "sso")], &["is over", "expired", "run `aws sso login --profile sso`"]).await;
}

async fn sha1_of(text: &str) -> String {
    let script = format!("printf %s {text} | sha1sum");
    let output = tokio::process::Command::new("sh").args(["-c", &script]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn sts_refuses_a_role() {
    let sts = endpoint(403, STS_REFUSES).await;
    let profile = "[profile prod]\nrole_arn = arn:aws:iam::1:role/worker\nsource_profile = base\n[profile base]\n\
                   aws_access_key_id = AKID\naws_secret_access_key = s3cret\n";
    let user = User::new(profile);
    let variables = [("AWS_PROFILE", "prod"), ("AWS_ENDPOINT_URL_STS", sts.as_str())];
    let parts = [
        "sts:AssumeRole of arn:aws:iam::1:role/worker",
        "AccessDenied: User: arn:aws:iam::1:user/dev is not authorized",
    ];
    user.check(&variables, &parts).await;

    std::fs::write(user.path().join("token"), "a.b.c").unwrap();
    let variables = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "token"),
        ("AWS_ENDPOINT_URL_STS", sts.as_str()),
    ];
    user.check(&variables, &["sts:AssumeRoleWithWebIdentity of arn:aws:iam::1:role/pod", "AccessDenied"]).await;
}

#[tokio::test]
async fn a_web_identity_without_its_token_file() {
    let user = User::new(
        "[profile web]\nrole_arn = arn:aws:iam::1:role/r\nweb_identity_token_file = /nowhere/profile-token\n",
    );
    let variables = [("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")];
    user.check(&variables, &["/nowhere/token (AWS_WEB_IDENTITY_TOKEN_FILE)", "No such file"]).await;
    user.check(&[("AWS_PROFILE", "web")], &["/nowhere/profile-token (web_identity_token_file)", "No such file"]).await;
}

#[tokio::test]
async fn a_credential_process_that_fails() {
    let check = async |process: &str, parts: &[&str]| {
        let user = User::new(&format!("[profile p]\ncredential_process = {process}\n"));
        user.check(&[("AWS_PROFILE", "p")], parts).await;
    };
    let parts = ["credential_process of the profile `p`", "exit status: 3: the vault is sealed"];
    check("sh -c 'echo a hint >&2; echo the vault is sealed >&2; exit 3'", &parts).await;
    check("sh -c 'exit 4'", &["exit status: 4", "nothing on stderr"]).await;
    check("sh -c 'yes x | head -c 100000 | tr -d \"\\n\" >&2; exit 5'", &["exit status: 5", "xxx…"]).await;
    check("echo no json", &["credential_process of the profile `p`", "could not parse response"]).await;
}

#[tokio::test]
async fn an_endpoint_of_a_container_or_an_instance_that_refuses_or_is_down() {
    let user = User::new("");
    let refuses = endpoint(404, "").await;
    let url = format!("{refuses}/creds");
    let variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    user.check(&[(variable, &url)], &[&format!("the endpoint {url} gives none"), "404"]).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/creds");
    user.check(&[(variable, &url)], &[&format!("the endpoint {url} gives none"), "refused"]).await;
    let instance = [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", refuses.as_str())];
    user.check(&instance, &[&refuses]).await;
}

#[tokio::test]
async fn a_host_name_that_is_not_there_is_named() {
    let user = User::new("");
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
    let check = keys.iter().fold(user.wasq(&["check", "--live"]), |check, (name, value)| check.env(name, value));
    let nowhere = "http://sqs.eu-wst-1.invalid";
    check.env("AWS_ENDPOINT_URL", nowhere).check(1, &["cannot resolve sqs.eu-wst-1.invalid: "]).await;
}
