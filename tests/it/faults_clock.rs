//! The wall clock jumps: forwards, and back. It does so for a child process, the test itself once
//! more with the local queue in it, and for the host that this child runs.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use crate::support::wall_clock::{OFFSET, WallClock};
use crate::support::{Plugin, Setup, hosts};

const HOUR_S: i64 = 3_600;
/// What the clock may go on by while the test looks at it twice.
const SLACK_MS: i64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn when_the_wall_clock_jumps_an_hour_no_lease_ends_early_and_nothing_runs_twice() {
    if let Some(offset) = std::env::var_os(OFFSET) {
        return with_a_clock_that_jumps(Path::new(&offset)).await;
    }
    let clock = WallClock::new().await;
    let test = "faults_clock::when_the_wall_clock_jumps_an_hour_no_lease_ends_early_and_nothing_runs_twice";
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", test, "--nocapture"])
        .env("LD_PRELOAD", &clock.library)
        .env(OFFSET, &clock.offset)
        .kill_on_drop(true);
    let ran = child.output().await.unwrap();
    let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

async fn with_a_clock_that_jumps(offset: &Path) {
    let setup = Setup::new().plugin(Plugin::probe("probe").manifest("timeout = '10m'"));
    let rig = setup.queue("jobs", |queue| queue.visibility = Duration::from_secs(10)).without_host().await;
    let host = hosts::run(&rig, &hosts::local(&rig)).await;
    let hold = rig.sink.hold("held");
    for _ in 0..3 {
        rig.send(rig.sink.ask("held")).await;
    }
    rig.until_called("held", 3).await;

    let mut was = 0;
    for (at, off_s) in [("ahead", HOUR_S), ("behind", -HOUR_S), ("back", 0)] {
        // It is hidden for so long, by no clock but the one that does not jump.
        let later = format!("later-{at}");
        rig.sink.answers(&later, [json!({ "do": "retry", "reason": "later", "after_ms": 3_000 })]);
        rig.send(rig.sink.ask(&later)).await;
        rig.until_called(&later, 1).await;
        let before = wasq_core::clock::unix_ms().0 as i64;
        WallClock::set(offset, off_s);
        let jumped_ms = wasq_core::clock::unix_ms().0 as i64 - before - (off_s - was) * 1_000;
        was = off_s;
        assert!((0..SLACK_MS).contains(&jumped_ms), "the clock has jumped: {jumped_ms} ms");

        // Two renewals, and a delivery of what was hidden.
        let renewals = rig.sqs.faults().calls("ChangeMessageVisibilityBatch");
        rig.sqs.faults().calls_reach("ChangeMessageVisibilityBatch", renewals + 2).await;
        rig.until_called(&later, 2).await;
        let calls = rig.sink.calls(&later);
        let hidden_for = calls[1].at - calls[0].at;
        assert!(hidden_for >= Duration::from_millis(2_900), "{at}: hidden for {hidden_for:?}");
        assert_eq!(rig.sink.count("held"), 3, "{at}: nothing runs twice");
    }
    drop(hold);
    rig.emptied().await;
    assert_eq!(rig.sink.count("held"), 3);
    assert_eq!((hosts::exits(&host, "lease-lost").await, hosts::exits(&host, "done").await), (0, 6));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    hosts::end(host).await;
    rig.end().await;
}
