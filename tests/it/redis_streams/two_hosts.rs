//! Two hosts over one stream, one of which is killed.

use std::ffi::OsStr;

use wasq_queues::Queue;
use wasq_tests::servers::Server;

use super::{connect, count, counts, make, message, new_name};
use crate::cli::binary::{Running, wasq};
use crate::support::hosts::{end, exits};
use crate::support::servers::started;
use crate::support::{Plugin, Rig, Setup, until};

async fn run(rig: &Rig, url: &str, stream: &str) -> Running {
    run_with(rig, url, stream, "").await
}

/// A host with its ledger in the same Redis, once it polls. `more` is what else the config says of
/// the stream.
pub async fn run_with(rig: &Rig, url: &str, stream: &str, more: &str) -> Running {
    let text = format!(
        "plugins_dir = '{}'\ngrant_all = true\ndrain_s = 5\nadmin = {{ listen = '127.0.0.1:0' }}\n\
         ledger = {{ store = 'redis', url = '{url}', prefix = 'ledger' }}\n\
         egress = {{ open_hosts = ['{}'] }}\nlimits = {{ max_instances = 64 }}\n\
         [queues.jobs]\nbroker = 'redis'\nurl = '{url}'\ndlq = '{stream}-dlq'\nvisibility = '10s'\n\
         [queues.jobs.redis]\nstream = '{stream}'\n{more}\n",
        rig.plugins_dir().display(),
        rig.sink.host(),
    );
    let file = rig.plugins_dir().with_file_name(format!("host-{}.toml", uuid::Uuid::new_v4()));
    std::fs::write(&file, text).unwrap();
    let running = wasq([OsStr::new("run"), OsStr::new("--config"), file.as_os_str()]).spawn();
    running.line("running").await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_had_in_hand_when_it_was_killed_runs_on_the_other_one() {
    let server = started(Server::redis());
    let (redis, stream, url) = (connect(&server).await, new_name(), server.url());
    let queue = make(&redis, &Default::default(), &stream).await;
    make(&redis, &Default::default(), &format!("{stream}-dlq")).await;
    let rig = Setup::new().plugin(Plugin::probe("probe").manifest("timeout = '60s'\n")).without_host().await;
    let first = run(&rig, &url, &stream).await;
    let held = rig.sink.hold("work");
    let body = rig.sink.ask("work").to_string();
    for answer in queue.send(&vec![message(&body); 8]).await {
        answer.expect("it is sent");
    }
    rig.until_called("work", 8).await;
    count(&queue, "0", "8").await;
    let second = run(&rig, &url, &stream).await;
    first.kill().await;
    drop(held);
    until("all are done", || async { exits(&second, "done").await == 8 }).await;
    until("the queue is empty", || async { counts(&queue).await == Some(("0".into(), "0".into())) }).await;
    end(second).await;
    rig.end().await;
}
