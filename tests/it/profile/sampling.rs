//! Whether samples are right: each function has its share of the time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use wasq::config::Config;
use wasq::plugins::{Loader, Plugin};
use wasq::sandbox::{Destinations, Job, Profile, Sandbox};
use wasq::telemetry::spans::Span;
use wasq_core::message::{Attributes, Key, KeySource, Message, MessageId, MessageType, UnixMs};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Fence, Ledger};

use crate::support::wat;

/// Ten times a host's, so that a test need not take ten times as long.
const TICK: Duration = Duration::from_millis(1);

const MANIFEST: &str =
    "name = 'guest'\ntypes = ['guest']\nqueues = ['self']\nallowed_outbound_hosts = ['https://api.example:443']\n";

/// Runs a component again and again, in a profile.
async fn profile(component: &[u8], body: impl Fn() -> String, runs: usize) -> Profile {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guest.wasm");
    std::fs::write(&path, component).unwrap();
    std::fs::write(path.with_extension("toml"), MANIFEST).unwrap();
    let config = Config::parse("grant_all = true\n[queues.jobs]", Path::new("wasq.toml")).unwrap();
    let sandbox = Sandbox::with_tick(&config.limits, TICK).unwrap();
    let plugin = Loader::new(sandbox.clone(), Arc::new(config)).unwrap().load(&path).unwrap();
    let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::open(&dir.path().join("ledger")).unwrap());
    let profiling = sandbox.profile("guest", vec![plugin.policy.profiler.clone()]).unwrap();
    for _ in 0..runs {
        let report = sandbox.run(&plugin.handler, job(&plugin, body(), &ledger), ()).await;
        assert_eq!(report.exit.class(), "done", "{report:?}");
    }
    profiling.finish()
}

fn job(plugin: &Plugin, body: String, ledger: &Arc<dyn Ledger>) -> Job {
    let message = Message {
        kind: MessageType("guest".into()),
        body: body.into(),
        content_type: "application/json".into(),
        attributes: Attributes::default(),
        key: "k".into(),
        key_source: KeySource::MessageId,
        traceparent: None,
    };
    Job {
        policy: plugin.policy.clone(),
        message: Arc::new(message),
        message_id: MessageId("m".into()),
        sent_at: UnixMs(0),
        started_at: UnixMs(0),
        parking: None,
        groups: None,
        attempt: 1,
        key: Key([1; 32]),
        fence: Fence(1),
        ledger: ledger.clone(),
        destinations: Destinations::default(),
        span: Span::NONE,
        line: Arc::default(),
    }
}

/// The share of the samples that were taken in a function, or in what it calls.
fn share(profile: &Profile, name: &str) -> f64 {
    let stacks = &profile.stacks;
    let is_in = |mut call: Option<u32>| {
        while let Some(index) = call {
            let found = stacks.calls[index as usize];
            if stacks.functions[found.function as usize] == name {
                return true;
            }
            call = found.caller;
        }
        false
    };
    let inside = stacks.samples.iter().filter(|sample| is_in(Some(sample.call))).map(|sample| sample.weight);
    inside.sum::<Duration>().as_secs_f64() / stacks.weight().as_secs_f64()
}

/// One part of the work, then three: mostly less than a tick together. Samples that stood for the
/// time since the run began would give the second function 94 % of it. The body's length says how
/// much work it is: runs of one length could keep step with the ticks.
#[tokio::test(flavor = "multi_thread")]
async fn functions_of_runs_that_are_shorter_than_a_tick_have_their_shares() {
    let items = "
        (func $work (param $n i32)
            (loop $again
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $again (local.get $n))))
        (func $first (param $n i32) (call $work (i32.mul (local.get $n) (i32.const 2000))))
        (func $then (param $n i32) (call $work (i32.mul (local.get $n) (i32.const 6000))))";
    let body_bytes = "(local.get 5)";
    let handle = format!("(call $first {body_bytes}) (call $then {body_bytes}) (i32.const 1024)");
    let profile = profile(&wat::handler(items, &handle), || "x".repeat(fastrand::usize(1..100)), 2_000).await;
    assert_eq!(profile.runs, 2_000);
    let (first, then) = (share(&profile, "first"), share(&profile, "then"));
    let samples = profile.stacks.samples.len();
    // A quarter and three; where other tests want the processor, a run loses it rather late.
    assert!((0.12..0.38).contains(&first) && (0.62..0.88).contains(&then), "{first} and {then} of {samples} samples");
}

/// Ticks come while it waits, and it calls the host for them when it goes on: each run would give
/// one. A busy machine makes a few of its ticks come while it computes.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_gives_no_samples() {
    const RUNS: usize = 40;
    let probe = std::fs::read(wasq_tests::guest("probe")).unwrap();
    let profile = profile(&probe, || json!({ "do": "sleep", "ms": 20 }).to_string(), RUNS).await;
    let (samples, elapsed) = (profile.stacks.samples.len(), profile.elapsed);
    assert!(elapsed > 20 * TICK * RUNS as u32 && samples < RUNS, "{samples} samples of {RUNS} runs in {elapsed:?}");
}
