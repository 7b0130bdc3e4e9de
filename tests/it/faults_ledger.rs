//! The ledger goes away under load, and comes back: its server stops or dies, its disk is full.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use tokio::process::Command;
use wasq::config::{LedgerConfig, PostgresConfig, RedisConfig, Secret};
use wasq_core::message::{BodyDigest, Key, MessageId, MessageType};
use wasq_ledgers::{Claim, ClaimRequest};
use wasq_tests::servers::Server;

use crate::cli::binary::{Running, program};
use crate::support::servers::started;
use crate::support::{Plugin, Rig, Setup, hosts, until};

/// What each host has in hand at once.
const CONCURRENCY: usize = 8;
/// Messages before an outage, and as many more in each.
const MESSAGES: usize = 60;
/// Long enough to see whether something still happens that must not.
const LOOK_ON: Duration = Duration::from_secs(2);

/// How long each outage lasts at least: seconds, from the environment.
fn outage() -> Duration {
    let set = std::env::var("WASQ_TEST_OUTAGE_S");
    Duration::from_secs(set.map_or(5, |text| text.parse().expect("WASQ_TEST_OUTAGE_S is a number of seconds")))
}

/// A host at work, and what it was sent: message ids.
struct Scene {
    rig: Rig,
    sent: Vec<String>,
    outages: usize,
}

impl Scene {
    async fn new(ledger: LedgerConfig) -> Self {
        let probe = Plugin::probe("probe").manifest("[retry]\ninitial_interval = '1s'");
        let setup = Setup::new().plugin(probe).config(|config| config.ledger = ledger).queue("jobs", |queue| {
            queue.visibility = Duration::from_secs(10);
            queue.concurrency = CONCURRENCY.into();
        });
        Self { rig: setup.start().await, sent: Vec::new(), outages: 0 }
    }

    async fn send(&mut self) {
        for _ in 0..MESSAGES {
            self.sent.push(self.rig.send(self.rig.sink.ask("work")).await);
        }
    }

    fn started(&self) -> HashMap<String, usize> {
        let mut starts = HashMap::new();
        for call in self.rig.sink.calls("work") {
            *starts.entry(call.report["id"].to_string()).or_default() += 1;
        }
        starts
    }

    /// Calls to the queue so far: receives, and deletes.
    fn calls(&self) -> (u64, u64) {
        let faults = self.rig.sqs.faults();
        (faults.calls("ReceiveMessage"), faults.calls("DeleteMessageBatch"))
    }

    /// Takes the ledger away in the middle of the work and brings it back.
    async fn survives(&mut self, how: &str, away: impl FnOnce(), back: impl FnOnce()) {
        let (hold, before) = (self.rig.sink.hold("work"), self.rig.sink.count("work"));
        self.send().await;
        self.rig.until_called("work", before + CONCURRENCY).await;
        let (began, in_hand) = (wasq_core::clock::now(), self.rig.sink.count("work"));
        self.outages += 1;
        away();
        // What was in hand ends its work now, and cannot be recorded.
        drop(hold);
        let tells = || async {
            let (status, reasons) = self.rig.ready().await;
            status == 503 && reasons.contains("ledger: ")
        };
        until(&format!("{how}: readiness tells of the ledger"), tells).await;
        let (_, reasons) = self.rig.ready().await;
        until(&format!("{how}: nothing is in hand but what ran"), || async { self.sleeps().await }).await;
        let (receives, deletes) = self.calls();
        tokio::time::sleep(outage().saturating_sub(began.elapsed()).max(LOOK_ON)).await;
        assert_eq!(self.rig.sink.count("work"), in_hand, "{how}: nothing runs unclaimed");
        assert_eq!(self.calls(), (receives, deletes), "{how}: no polling, and nothing is acknowledged unrecorded");
        assert_eq!(self.rig.ready().await.0, 503);
        let away_for = began.elapsed();
        let at = wasq_core::clock::now();
        back();
        until(&format!("{how}: readiness is well"), || async { self.rig.ready().await.0 == 200 }).await;
        let ready_after = at.elapsed();
        self.rig.emptied().await;
        let starts = self.started();
        let again = starts.values().sum::<usize>() - starts.len();
        println!(
            "{how}: away for {away_for:.1?} ({reasons}); ready {ready_after:.1?} after it was back, all {} done after \
             {:.1?}; so far {again} ran again",
            self.sent.len(),
            at.elapsed()
        );
        assert_eq!(starts.len(), self.sent.len(), "{how}: none is lost");
        assert!(again <= CONCURRENCY * self.outages, "{how}: {again} ran again, {CONCURRENCY} were in hand each time");
        for id in &self.sent {
            let claim = self.claim(id).await;
            assert_eq!(claim, Claim::Done { same_message: true }, "{how}: its completion is recorded");
        }
        assert_eq!(self.rig.counts("jobs-dlq").await, (0, 0, 0), "{how}: no attempts are burned");
    }

    /// What the ledger says to another claim of a message.
    async fn claim(&self, id: &str) -> Claim {
        let key = Key::of(&self.rig.config.scope, "probe", &MessageType("probe".into()), id);
        let request = ClaimRequest {
            body: BodyDigest::of(self.rig.sink.ask("work").to_string().as_bytes()),
            message_id: MessageId(id.into()),
            lease: Duration::from_secs(60),
            is_redelivery: false,
        };
        // A busy machine may keep the answer for longer than the host waits for one.
        let claim = RefCell::new(None);
        until("the ledger answers", || async {
            *claim.borrow_mut() = self.rig.services().ledger.claim(key, &request).await.ok();
            claim.borrow().is_some()
        })
        .await;
        claim.into_inner().expect("it has answered")
    }

    /// Whether the host has stopped polling: no receive for longer than one waits.
    async fn sleeps(&self) -> bool {
        let before = self.calls();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        self.calls() == before
    }
}

async fn outages(store: &str, server: Server, ledger: LedgerConfig) {
    let mut scene = Scene::new(ledger).await;
    scene.send().await;
    scene.rig.emptied().await;
    let server = RefCell::new(server);
    let stop = || server.borrow_mut().stop().unwrap();
    scene.survives(&format!("{store}, stopped"), stop, || server.borrow_mut().cont().unwrap()).await;
    let kill = || server.borrow_mut().kill().unwrap();
    scene.survives(&format!("{store}, killed"), kill, || server.borrow_mut().restart().unwrap()).await;
    scene.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_ledgers_server_under_load_loses_nothing_and_burns_no_attempts() {
    let (postgres, redis) = (started(Server::postgres()), started(Server::redis()));
    let url = |server: &Server| Some(Secret(server.url()));
    let in_postgres = PostgresConfig { url: url(&postgres), schema: "outage".into(), max_connections: 4 };
    let in_redis = RedisConfig { url: url(&redis), prefix: "outage".into() };
    futures::join!(
        outages("PostgreSQL", postgres, LedgerConfig::Postgres(in_postgres)),
        outages("Redis", redis, LedgerConfig::Redis(in_redis)),
    );
}

/// Sets how many bytes a process's files may have (`RLIMIT_FSIZE`): a write past it fails as on a
/// full disk.
async fn limit_files(host: &Running, bytes: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.arg(format!("--pid={}", host.id())).arg(format!("--fsize={bytes}:unlimited"));
    let status = prlimit.status().await.expect("prlimit (of util-linux) is needed to fill a disk in a test");
    assert!(status.success(), "prlimit: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_runs_and_nothing_is_acknowledged_until_there_is_room() {
    let rig = Setup::probe().without_host().await;
    // The signal that a write past the limit raises is ignored, and so it stays after exec.
    let run = r#"trap "" XFSZ; exec "$0" run --config "$1""#;
    let config = hosts::config(&rig, &hosts::local(&rig)).display().to_string();
    let host = program("bash", ["-c", run, env!("CARGO_BIN_EXE_wasq"), &config]).spawn();
    host.line("running").await;
    let hold = rig.sink.hold("held");
    rig.send(rig.sink.ask("held")).await;
    rig.until_called("held", 1).await;
    limit_files(&host, "64").await;
    drop(hold);
    for _ in 0..5 {
        rig.send(rig.sink.ask("work")).await;
    }
    let tells = || async {
        let (status, reasons) = hosts::admin(&host, "/readyz").await;
        status == 503 && reasons.contains("ledger: ")
    };
    until("readiness tells of the ledger", tells).await;
    tokio::time::sleep(LOOK_ON).await;
    assert_eq!(rig.sink.count("work"), 0, "nothing runs");
    assert_eq!(rig.sqs.faults().calls("DeleteMessageBatch"), 0, "nothing is acknowledged");
    assert!(tells().await, "and it goes on to say so");

    limit_files(&host, "unlimited").await;
    rig.emptied().await;
    until("the host is ready", || async { hosts::admin(&host, "/readyz").await.0 == 200 }).await;
    assert_eq!((rig.sink.count("held"), rig.sink.count("work")), (1, 5), "each ran once");
    assert!(rig.sink.calls("work").iter().all(|call| call.report["attempt"] == 1), "no attempts are burned");
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    hosts::end(host).await;
    rig.end().await;
}
