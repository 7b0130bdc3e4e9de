//! Queues, credentials and ports that are not as they should be, found by `check --live` and by
//! `run`.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::Path;

use aws_sdk_sqs::types::QueueAttributeName;

use super::binary::wasq;
use super::{config_file, good, install, place};
use crate::support::{Rig, Setup};

/// A rig with a plugin of five attempts.
async fn rig() -> Rig {
    let rig = Setup::new().without_host().await;
    install(&rig.plugins_dir(), "good", &good(), "");
    rig
}

/// `check --live` and `run` must both end with 1 and say all of this.
async fn check(config: &Path, parts: &[&str]) {
    let named = |command: &'static str| [OsStr::new(command), OsStr::new("--config"), config.as_os_str()];
    wasq(named("check").iter().chain(&[OsStr::new("--live")])).check(1, parts).await;
    wasq(named("run")).check(1, parts).await;
}

async fn create(rig: &Rig, name: &str, attributes: &[(QueueAttributeName, &str)]) {
    let mut call = rig.client.create_queue().queue_name(name);
    for (key, value) in attributes {
        call = call.attributes(key.clone(), *value);
    }
    call.send().await.unwrap();
}

/// A run ends where a queue cannot be opened, as a check does.
const ADMIN: &str = "strict_start = true\nadmin = { listen = '127.0.0.1:0' }";

#[tokio::test]
async fn a_queue_or_a_dlq_that_is_not_there() {
    let rig = rig().await;
    check(&config_file(&rig, ADMIN, "[queues.orders]\ndlq = 'jobs-dlq'"), &["orders", "create it"]).await;
    check(&config_file(&rig, ADMIN, "[queues.jobs]\ndlq = 'grave'"), &["jobs", "grave", "create it"]).await;
    check(&config_file(&rig, ADMIN, "[queues.jobs]"), &["jobs", "no DLQ", "[queues.jobs]"]).await;
    rig.end().await;
}

#[tokio::test]
async fn a_ledger_or_a_token_that_cannot_be_opened() {
    let rig = rig().await;
    let queues = "[queues.jobs]\ndlq = 'jobs-dlq'";
    let config = config_file(&rig, ADMIN, queues);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("path = 'ledger'", "path = 'wasq.toml'")).unwrap();
    check(&config, &["the ledger", "wasq.toml cannot be used"]).await;
    let sqs = format!("store = 'dynamodb', table = 'ledger', endpoint_url = '{}'", rig.sqs.endpoint_url());
    std::fs::write(&config, text.replace("store = 'local', path = 'ledger'", &sqs)).unwrap();
    check(&config, &["the ledger"]).await;
    let token = "strict_start = true\nadmin = { listen = '127.0.0.1:0', token_file = 'nowhere' }";
    check(&config_file(&rig, token, queues), &["nowhere"]).await;

    // A queue that is not there does not keep the next from being told of.
    let two = config_file(&rig, ADMIN, "[queues.one]\ndlq = 'jobs-dlq'\n[queues.two]\ndlq = 'jobs-dlq'");
    check(&two, &["`one`", "`two`"]).await;
    rig.end().await;
}

#[tokio::test]
async fn check_beside_a_host_that_runs() {
    let rig = rig().await;
    let config = config_file(&rig, ADMIN, "[queues.jobs]\ndlq = 'jobs-dlq'\nwait = '1s'");
    let run = wasq([OsStr::new("run"), OsStr::new("--config"), config.as_os_str()]).spawn();
    run.line("running").await;
    let arguments = [OsStr::new("check"), OsStr::new("--live"), OsStr::new("--config"), config.as_os_str()];
    wasq(arguments).check(0, &["ok       the ledger: it is in use", "jobs with the DLQ jobs-dlq"]).await;
    run.signal("TERM").await;
    assert_eq!(run.ends_within(std::time::Duration::from_secs(40)).await, Some(0));
    rig.end().await;
}

#[tokio::test]
async fn a_redrive_policy_that_would_take_messages_away() {
    let rig = rig().await;
    let arn = rig.queue("jobs-dlq").await;
    let arn = arn.attributes().await.unwrap()["QueueArn"].clone();
    let policy = |count: u32| format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{count}}}"#);
    create(&rig, "hasty", &[(QueueAttributeName::RedrivePolicy, &policy(5))]).await;
    let said = ["hasty", "maxReceiveCount 5", "5 attempts", "1000"];
    check(&config_file(&rig, ADMIN, "[queues.hasty]"), &said).await;

    create(&rig, "patient", &[(QueueAttributeName::RedrivePolicy, &policy(1000))]).await;
    let config = config_file(&rig, ADMIN, "[queues.patient]");
    let arguments = [OsStr::new("check"), OsStr::new("--live"), OsStr::new("--config"), config.as_os_str()];
    wasq(arguments).check(0, &["patient with the DLQ jobs-dlq"]).await;
    rig.end().await;
}

#[tokio::test]
async fn a_fifo_queue_with_a_standard_dlq() {
    let rig = rig().await;
    create(&rig, "ordered.fifo", &[(QueueAttributeName::FifoQueue, "true")]).await;
    let config = config_file(&rig, ADMIN, "[queues.'ordered.fifo']\ndlq = 'jobs-dlq'");
    check(&config, &["ordered.fifo", "jobs-dlq", "must be FIFO"]).await;
    rig.end().await;
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens() {
    let rig = rig().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config_file(&rig, ADMIN, "[queues.jobs]\ndlq = 'jobs-dlq'");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&rig.sqs.endpoint_url(), &format!("http://{free}"))).unwrap();
    check(&config, &["jobs"]).await;
    rig.end().await;
}

#[tokio::test]
async fn an_admin_port_that_is_taken() {
    let rig = rig().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let config = config_file(&rig, &format!("admin = {{ listen = '{addr}' }}"), "[queues.jobs]\ndlq = 'jobs-dlq'");
    let arguments = [OsStr::new("run"), OsStr::new("--config"), config.as_os_str()];
    wasq(arguments).check(1, &[&addr.to_string(), "another host", "admin.listen"]).await;
    rig.end().await;
}

#[tokio::test]
async fn no_credentials_and_no_region() {
    let dir = place("aws = { region = 'eu-central-1' }\n[queues.jobs]\ndlq = 'jobs-dlq'\n");
    install(&dir.path().join("plugins"), "good", &good(), "");
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["run"][..], &["check", "--live"]] {
        let began = wasq_core::clock::now();
        let said = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        wasq(arguments).dir(&dir).env("HOME", home.path()).check(1, &said).await;
        assert!(began.elapsed().as_secs() < 15, "it is said quickly, not after {:?}", began.elapsed());
    }
    std::fs::write(dir.path().join("wasq.toml"), "[queues.jobs]\ndlq = 'jobs-dlq'\n").unwrap();
    let named = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("HOME", home.path().to_str().unwrap())];
    let run = named.iter().fold(wasq(["run"]).dir(&dir), |run, (name, value)| run.env(name, value));
    run.check(1, &["no AWS region", "[aws]", "AWS_REGION"]).await;
}
