//! Real hosts over a rig's queues: `wasq run` as processes of their own.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use wasq::config::{OnExhausted, PoolConfig, PoolScope, RateConfig};
use wasq_core::message::{BodyDigest, Key, MessageId, MessageType};
use wasq_ledgers::Ledger;
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest};
use wasq_tests::servers::Server;

use super::rig::get;
use super::setup::compiled;
use super::{Rig, until};
use crate::cli::binary::{Running, wasq};

/// A host is gone within this after a SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(25);

/// The table `ledger` of a config: the rig's own directory.
pub fn local(rig: &Rig) -> String {
    format!("store = 'local', path = '{}'", rig.ledger_dir().display())
}

/// The table `ledger` of a config: a schema in a server that is reached at `port`.
pub fn postgres(server: &Server, port: u16, schema: &str) -> String {
    let url = server.url().replace(&format!(":{}/", server.port()), &format!(":{port}/"));
    format!("store = 'postgres', url = '{url}', schema = '{schema}', max_connections = 4")
}

/// Writes a config with the rig's queues as they are there, on this ledger.
pub fn config(rig: &Rig, ledger: &str) -> PathBuf {
    let mut text = format!(
        "plugins_dir = '{}'\ncompile_cache = '{}'\ngrant_all = true\ndrain_s = 5\nledger = {{ {ledger} }}\n\
         aws = {{ endpoint_url = '{}', region = 'eu-central-1' }}\nadmin = {{ listen = '127.0.0.1:0' }}\n\
         egress = {{ open_hosts = ['{}'] }}\nlimits = {{ max_instances = 64, permit_wait = '60s', first_byte = '10m' }}\n",
        rig.plugins_dir().display(),
        compiled().display(),
        rig.sqs.endpoint_url(),
        rig.sink.host(),
    );
    for (name, queue) in &rig.config.queues {
        let on_exhausted = match queue.on_exhausted {
            OnExhausted::DeadLetter => "dead-letter",
            OnExhausted::BlockGroup => "block-group",
        };
        text += &format!(
            "[queues.'{name}']\nvisibility = '{}s'\nwait = '{}s'\nconcurrency = {}\non_exhausted = '{on_exhausted}'\n{}",
            queue.visibility.as_secs(),
            queue.wait.as_secs(),
            queue.concurrency.max(),
            // RabbitMQ misses a host that stands still after two of these.
            rig.location_lines(name).replace("rabbitmq = { ", "rabbitmq = { heartbeat = '5s', "),
        );
    }
    for (name, RateConfig { limit, burst, .. }) in &rig.config.rates {
        text += &format!("[rates.'{name}']\nlimit = '{limit}'\nburst = {burst}\n");
    }
    for (name, PoolConfig { size, scope, .. }) in &rig.config.pools {
        let scope = match scope {
            PoolScope::Host => "host",
            PoolScope::Fleet => "fleet",
        };
        text += &format!("[pools.'{name}']\nsize = {size}\nscope = '{scope}'\n");
    }
    let dir = rig.plugins_dir().parent().expect("it is in the rig's directory").to_owned();
    let path = dir.join(format!("host-{}.toml", fastrand::u64(..)));
    std::fs::write(&path, text).unwrap();
    path
}

/// A host on this ledger, once it polls.
pub async fn run(rig: &Rig, ledger: &str) -> Running {
    let config = config(rig, ledger);
    let running = wasq([OsStr::new("run"), OsStr::new("--config"), config.as_os_str()]).spawn();
    running.line("running").await;
    running
}

/// Ends a host in good order.
pub async fn end(host: Running) {
    host.signal("TERM").await;
    assert_eq!(host.ends_within(STOP_MAX).await, Some(0));
}

/// What a host's admin port answers: the status, and the body.
pub async fn admin(host: &Running, path: &str) -> (u16, String) {
    get(admin_addr(host).await, path).await
}

/// Where a host's admin port is, once it polls.
pub async fn admin_addr(host: &Running) -> SocketAddr {
    // `admin=ADDRESS`, or `"admin":"ADDRESS"`.
    let line = host.line("running").await;
    let addr =
        line.split("admin").nth(1).and_then(|rest| rest.trim_start_matches(['=', '"', ':']).split([' ', '"']).next());
    addr.expect("the address stands there").parse().unwrap()
}

/// How often a host has seen an exit.
pub async fn exits(host: &Running, class: &str) -> u64 {
    let status: Value = serde_json::from_str(&admin(host, "/status").await.1).unwrap();
    let lines = status["lines"].as_array().expect("a list").clone();
    lines.iter().filter_map(|line| line["exits"][class].as_u64()).sum()
}

pub async fn until_exits(host: &Running, class: &str, count: u64) {
    until(&format!("a host has {count} exits `{class}`"), || async { exits(host, class).await >= count }).await;
}

/// What a ledger in this directory, which no host has open, says to another claim of a message.
pub async fn claim(dir: &Path, plugin: &str, kind: &str, id: &str, body: &str) -> Claim {
    let ledger = LocalLedger::open(dir).unwrap();
    let key = Key::of("wasq", plugin, &MessageType(kind.into()), id);
    let request = ClaimRequest {
        body: BodyDigest::of(body.as_bytes()),
        message_id: MessageId(id.into()),
        lease: Duration::from_secs(60),
        is_redelivery: false,
    };
    let claim = ledger.claim(key, &request).await.unwrap();
    ledger.close();
    claim
}
