//! Two hosts over one topic, one of which is killed, or stands still until the other has its
//! partitions.

use std::ffi::OsStr;

use wasq_queues::Queue;

use super::{cluster, message, new_name, open};
use crate::cli::binary::{Running, wasq};
use crate::support::hosts::{end, exits, postgres, until_exits};
use crate::support::servers;
use crate::support::{Plugin, Rig, Setup, until};

/// Messages that the first host has in hand: no one has a key.
const MESSAGES: usize = 8;

struct Site {
    rig: Rig,
    topic: String,
    ledger: String,
}

impl Site {
    async fn new() -> Self {
        let (topic, server) = (new_name(), servers::postgres());
        cluster().create(&topic, 2);
        cluster().create(&format!("{topic}-dlq"), 1);
        let ledger = postgres(server, server.port(), &topic.replace('-', "_"));
        let probe = Plugin::probe("probe").manifest("timeout = '60s'\n");
        Self { rig: Setup::new().plugin(probe).without_host().await, topic, ledger }
    }

    /// A host, once it polls.
    async fn run(&self) -> Running {
        let (topic, url) = (&self.topic, cluster().url());
        let text = format!(
            "plugins_dir = '{}'\ngrant_all = true\ndrain_s = 5\nadmin = {{ listen = '127.0.0.1:0' }}\n\
             ledger = {{ {} }}\negress = {{ open_hosts = ['{}'] }}\nlimits = {{ max_instances = 64 }}\n\
             [queues.jobs]\nbroker = 'kafka'\nurl = '{url}'\ndlq = '{topic}-dlq'\nvisibility = '10s'\n\
             [queues.jobs.kafka]\ntopic = '{topic}'\ngroup = '{topic}-group'\nsession_timeout = '6s'\n",
            self.rig.plugins_dir().display(),
            self.ledger,
            self.rig.sink.host(),
        );
        let file = self.rig.plugins_dir().with_file_name(format!("host-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&file, text).unwrap();
        let running = wasq([OsStr::new("run"), OsStr::new("--config"), file.as_os_str()]).spawn();
        running.line("running").await;
        running
    }

    /// Has the host that runs take all of them.
    async fn send(&self) {
        let queue = open(cluster(), &self.topic).await;
        let body = self.rig.sink.ask("work").to_string();
        for answer in queue.send(&vec![message(&body); MESSAGES]).await {
            answer.expect("it is sent");
        }
        self.rig.until_called("work", MESSAGES).await;
    }

    async fn emptied(&self) {
        let reader = cluster().reader(&format!("{}-group", self.topic));
        until("the group has come to the end", || async { reader.lag(&self.topic) == 0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_had_in_hand_when_it_was_killed_goes_to_the_other_one() {
    let site = Site::new().await;
    let (first, held) = (site.run().await, site.rig.sink.hold("work"));
    site.send().await;
    let second = site.run().await;
    first.kill().await;
    drop(held);
    until("all are done", || async { exits(&second, "done").await == MESSAGES as u64 }).await;
    site.emptied().await;
    assert_eq!(site.rig.sink.count("work"), 2 * MESSAGES, "each was begun by both");
    end(second).await;
    site.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stood_still_past_its_session_changes_nothing_when_it_wakes() {
    let site = Site::new().await;
    let (sleeper, held) = (site.run().await, site.rig.sink.hold("work"));
    site.send().await;
    sleeper.signal("STOP").await;
    let other = site.run().await;
    site.rig.until_called("work", 2 * MESSAGES).await;
    // Both are answered; the sleeper will find its answers when it wakes.
    drop(held);
    until("all are done", || async { exits(&other, "done").await == MESSAGES as u64 }).await;
    site.emptied().await;
    sleeper.signal("CONT").await;
    until_exits(&sleeper, "lease-lost", MESSAGES as u64).await;
    assert_eq!((exits(&sleeper, "done").await, site.rig.sink.count("work")), (0, 2 * MESSAGES));
    end(other).await;
    end(sleeper).await;
    site.rig.end().await;
}
