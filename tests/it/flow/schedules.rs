//! Schedules: each tick is one message, however many hosts there are and whatever their clocks say.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;

use serde_json::{Value, json};
use wasq::timers::schedules::SCHEDULED_AT_ATTRIBUTE;

use crate::cli::binary::{Running, wasq};
use crate::support::wall_clock::{OFFSET, WallClock};
use crate::support::{Call, Rig, Setup, hosts, servers, until};

const HOUR_S: i64 = 3_600;

/// A schedule of the probe, which asks the sink at each tick.
fn schedule(rig: &Rig, name: &str, rule: &str) -> String {
    format!("[schedules.{name}]\n{rule}\nqueue = 'jobs'\ntype = 'probe'\nbody = '{}'\n", rig.sink.ask(name))
}

/// A host whose config ends with this.
async fn run(rig: &Rig, ledger: &str, more: &str, clock: Option<&WallClock>) -> Running {
    let path = hosts::config(rig, ledger);
    let mut text = std::fs::read_to_string(&path).unwrap();
    write!(text, "\n{more}").unwrap();
    std::fs::write(&path, text).unwrap();
    let mut command = wasq([OsStr::new("run"), OsStr::new("--config"), path.as_os_str()]);
    if let Some(clock) = clock {
        command = command.env("LD_PRELOAD", &clock.library).env(OFFSET, &clock.offset);
    }
    let running = command.spawn();
    running.line("running").await;
    running
}

/// The ticks for which the probe has run, in the order in which it has.
fn ticks(rig: &Rig, name: &str) -> Vec<String> {
    let tick = |call: Call| call.report["attributes"][SCHEDULED_AT_ATTRIBUTE].as_str().map(str::to_owned);
    rig.sink.calls(name).into_iter().filter_map(tick).collect()
}

fn seconds(tick: &str) -> i64 {
    tick.parse::<jiff::Timestamp>().expect("a time").as_second()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tick_is_one_message_whatever_the_hosts_clocks_say() {
    let rig = Setup::probe().without_host().await;
    let server = servers::postgres();
    let ledger = hosts::postgres(server, server.port(), &format!("s{}", fastrand::u64(..)));
    let often = schedule(&rig, "often", "every = '1s'");
    let clock = WallClock::new().await;
    let began = jiff::Timestamp::now().as_second();
    WallClock::set(&clock.offset, HOUR_S);
    let ahead = run(&rig, &ledger, &often, Some(&clock)).await;
    rig.until_called("often", 2).await;
    let right = run(&rig, &ledger, &often, None).await;
    for off_s in [-HOUR_S, HOUR_S, 0] {
        let so_far = rig.sink.count("often");
        WallClock::set(&clock.offset, off_s);
        rig.until_called("often", so_far + 3).await;
    }
    let hosts = [ahead, right];
    for host in &hosts {
        assert_eq!(hosts::exits(host, "duplicate").await, 0, "no tick was sent twice");
    }
    for host in hosts {
        hosts::end(host).await;
    }
    let ticks: Vec<_> = ticks(&rig, "often").iter().map(|tick| seconds(tick)).collect();
    let each: BTreeSet<_> = ticks.iter().copied().collect();
    assert_eq!(each.len(), ticks.len(), "{ticks:?}");
    let (first, last) = (each.first().copied().unwrap_or_default(), each.last().copied().unwrap_or_default());
    assert_eq!(last - first + 1, each.len() as i64, "none is missing: {ticks:?}");
    let now = jiff::Timestamp::now().as_second();
    assert!(first >= began - 1 && last <= now + 1, "by the store's clock: {first} to {last}, {began} to {now}");
    rig.end().await;
}

/// `wasq schedules` of a host, as JSON.
async fn listed(admin: &str) -> Value {
    let ran = wasq(["schedules", "--json", "--admin", admin]).check(0, &[]).await;
    serde_json::from_str::<Value>(&ran.out).expect("JSON")["schedules"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_listed_paused_resumed_and_run_now() {
    let rig = Setup::probe().without_host().await;
    let nightly = schedule(&rig, "nightly", "cron = '0 2 * * *'\ntimezone = 'Europe/Berlin'");
    let host = run(&rig, &hosts::local(&rig), &nightly, None).await;
    let admin = hosts::admin_addr(&host).await.to_string();
    until("its timer is set", || async { listed(&admin).await[0]["next"].is_u64() }).await;
    let shown = wasq(["schedules", "--admin", &admin]).check(0, &["nightly", "0 2 * * * Europe/Berlin", "jobs"]).await;
    assert!(!shown.out.contains("paused"), "{}", shown.out);

    rig.sink.answers("nightly", [json!({ "do": "reject", "reason": "no such table" })]);
    wasq(["schedules", "run", "nightly", "--admin", &admin]).check(0, &["schedule-run/nightly/"]).await;
    rig.until_called("nightly", 1).await;
    let ended = || async { listed(&admin).await[0]["outcomes"][0]["reason"] == "no such table" };
    until("its outcome is known", ended).await;

    wasq(["schedules", "pause", "nightly", "--by", "Ada", "--admin", &admin]).check(0, &["paused: nightly"]).await;
    wasq(["schedules", "--admin", &admin]).check(0, &["paused"]).await;
    let paused = listed(&admin).await;
    assert_eq!((&paused[0]["next"], &paused[0]["is_paused"]), (&Value::Null, &json!(true)));
    wasq(["schedules", "resume", "nightly", "--admin", &admin]).check(0, &["resumed: nightly; next at"]).await;
    assert!(listed(&admin).await[0]["next"].is_u64());
    let unknown = ["schedules", "pause", "weekly", "--admin", &admin];
    wasq(unknown).check(1, &["weekly", "nightly"]).await;
    hosts::end(host).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_gets_ticks_in_a_group_of_their_own() {
    let rig = Setup::probe().queue("jobs.fifo", |_| {}).without_host().await;
    let often = schedule(&rig, "often", "every = '1s'").replace("'jobs'", "'jobs.fifo'");
    let host = run(&rig, &hosts::local(&rig), &often, None).await;
    rig.until_called("often", 3).await;
    hosts::end(host).await;
    let ticks = ticks(&rig, "often");
    assert!(ticks.is_sorted(), "{ticks:?}");
    rig.end().await;
}
