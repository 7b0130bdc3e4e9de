//! `wasq health`, as a container's health check calls it, and the probes behind it.

use std::time::Duration;

use wasq_ledgers::local::LocalLedger;

use crate::cli::binary::wasq;
use crate::cli::config_file;
use crate::support::{Faulty, Rig, Setup, Trouble, until};

/// These tests serve the host in the thread that a busy machine may leave waiting.
const PATIENT: [&str; 2] = ["--timeout", "60s"];

fn health<'a>(admin: &'a str, more: &[&'a str]) -> crate::cli::binary::Wasq {
    wasq([&["health", "--admin", admin], more].concat())
}

fn admin(rig: &Rig) -> String {
    rig.host().admin_addr().to_string()
}

#[tokio::test]
async fn a_host_that_polls_is_alive_and_ready() {
    let rig = Setup::probe().start().await;
    let admin = admin(&rig);
    health(&admin, &PATIENT).check(0, &["alive"]).await;
    health(&admin, &[&PATIENT[..], &["--ready"]].concat()).check(0, &["ready"]).await;

    // As in a container: the config names the port.
    let config = config_file(
        &rig,
        &format!("admin = {{ listen = '{}' }}", rig.host().admin_addr()),
        "[queues.jobs]\ndlq = 'jobs-dlq'",
    );
    wasq([&["health"], &PATIENT[..]].concat()).env("WASQ_CONFIG", &config).check(0, &["alive"]).await;
    rig.end().await;
}

#[tokio::test]
async fn a_host_whose_ledger_is_gone_is_alive_and_says_why_it_is_not_ready() {
    let mut rig =
        Setup::probe().config(|config| config.telemetry.sample_interval = Duration::from_secs(1)).without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::None);
    rig.start_on(ledger.clone()).await;
    let admin = admin(&rig);
    let ready = [&PATIENT[..], &["--ready"]].concat();
    health(&admin, &ready).check(0, &["ready"]).await;
    ledger.set(Trouble::Down);
    // Nothing is sent: the host finds it out by itself.
    until("the host is not ready", || async { rig.ready().await.0 == 503 }).await;
    health(&admin, &ready).check(1, &["not ready", "ledger", "no space left on device"]).await;
    health(&admin, &PATIENT).check(0, &["alive"]).await;
    ledger.set(Trouble::None);
    until("the host is ready again", || async { rig.ready().await.0 == 200 }).await;
    rig.end().await;
}

#[tokio::test]
async fn a_host_that_is_not_there_or_does_not_answer_is_not_alive() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    health(&free, &[]).check(1, &["no host answers", &free]).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    health(&addr, &["--timeout", "100ms"]).check(1, &["does not answer within 100ms", &addr]).await;
    wasq(["health", "--config", "/nowhere/wasq.toml"]).check(1, &["/nowhere/wasq.toml"]).await;
}
