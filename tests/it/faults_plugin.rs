//! Handlers that misbehave: each is stopped or refused, the host is unharmed, and nothing is acknowledged.

use serde_json::{Value, json};

use crate::support::{Plugin, Rig, Setup, until, wat};

/// A probe with one attempt, so that its first failure is its dead letter.
fn once(lines: &str) -> Setup {
    Setup::new().plugin(Plugin::probe("probe").manifest(&format!("{lines}\n[retry]\nmax_attempts = 1")))
}

/// Sends each order, wants its class and a part of its reason in a dead letter, and then a handler that works.
async fn check(rig: Rig, cases: &[(Value, &str, &str)]) {
    for (order, class, reason) in cases {
        rig.send(order.clone()).await;
        let dead = rig.letter().await;
        assert_eq!(&dead.letter.class, class, "{order}: {}", dead.letter.reason);
        assert!(dead.letter.reason.contains(reason), "{order}: {}", dead.letter.reason);
        assert_eq!(dead.letter.attempts, 1);
    }
    rig.send(json!({ "do": "done" })).await;
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 1, "the host is unharmed");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_is_killed_at_the_timeout() {
    check(once("timeout = '300ms'").start().await, &[(json!({ "do": "loop" }), "timeout", "300ms")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_endless_loops_than_threads_leave_the_others_running() {
    let setup = Setup::new()
        .plugin(Plugin::probe("loops").types(&["loops"]).manifest("timeout = '12s'\n[retry]\nmax_attempts = 1"))
        .plugin(Plugin::probe("probe"));
    let mut rig = setup.without_host().await;
    for _ in 0..4 {
        rig.message(json!({ "do": "loop" })).kind("loops").send().await;
    }
    rig.start_host().await;
    until("they loop", || async { rig.admin("/plugins").await["plugins"][0]["busy"] == 4 }).await;
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    assert_eq!(rig.exits("timeout"), 0, "they loop on");
    for dead in rig.letters(4).await {
        assert_eq!(dead.letter.class, "timeout");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_function_that_loops_is_killed_at_the_timeout() {
    let component = wat::handler("(func $start (loop (br 0))) (start $start)", "(i32.const 1024)");
    let plugin = Plugin::component("stuck", component).manifest("timeout = '300ms'\n[retry]\nmax_attempts = 1");
    let rig = Setup::new().plugin(plugin).start().await;
    rig.message("x").send().await;
    assert_eq!(rig.letter().await.letter.class, "timeout");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_hours_of_sleep_are_cut_off_at_the_timeout() {
    let order = json!({ "do": "sleep", "ms": 36_000_000 });
    check(once("timeout = '300ms'").start().await, &[(order, "timeout", "300ms")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_answers_is_cut_off_before_the_timeout_and_named() {
    let rig = once("timeout = '500ms'").start().await;
    let _held = rig.sink.hold("silent");
    let order = json!({ "do": "http", "url": rig.sink.url("silent") });
    rig.send(order).await;
    // The SDK keeps a little of the handler's time back to say which host did not answer.
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "retry");
    assert!(dead.letter.reason.contains("/silent: "), "{}", dead.letter.reason);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_stack_have_their_ends() {
    let rig = once("memory = '8MiB'").start().await;
    let cases = [
        (json!({ "do": "allocate", "bytes": 64 << 20 }), "out-of-memory", "8388608"),
        (json!({ "do": "allocate", "bytes": 1 << 30 }), "out-of-memory", "8388608"),
        (json!({ "do": "recurse" }), "trap", ""),
    ];
    check(rig, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_bomb_is_refused_its_growth() {
    let component = wat::handler(
        "(table $t 1 funcref)",
        "(if (i32.eq (table.grow $t (ref.null func) (i32.const 10000000)) (i32.const -1)) (then unreachable)) (i32.const 1024)",
    );
    let plugin = Plugin::component("tables", component).manifest("[retry]\nmax_attempts = 1");
    let rig = Setup::new().plugin(plugin).plugin(Plugin::component("good", wat::done()).types(&["good"])).start().await;
    rig.message("x").send().await;
    assert_eq!(rig.letter().await.letter.class, "out-of-memory");
    rig.message("x").kind("good").send().await;
    rig.until_exits("done", 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_bomb_is_refused_at_load_by_name() {
    let many = "(core instance (instantiate $module))".repeat(1_000);
    let bomb = wat::component(&format!("(component (core module $module (memory 1)) {many})"));
    let setup = Setup::new().plugin(Plugin::component("bomb", bomb)).plugin(Plugin::component("probe", wat::done()));
    let rig = setup.start().await;
    let failures = rig.admin("/plugins").await["failures"].clone();
    assert!(failures[0]["path"].as_str().unwrap().ends_with("bomb.wasm"), "{failures}");
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_or_an_exit_is_a_failure_and_never_an_acknowledgement() {
    let cases = [
        (json!({ "do": "panic", "message": "the disk is on fire" }), "trap", "the disk is on fire"),
        (json!({ "do": "exit", "code": 0 }), "exited", "exit(0)"),
        (json!({ "do": "exit", "code": 1 }), "exited", "exit(1)"),
    ];
    check(once("").start().await, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_gets_a_fresh_instance() {
    let rig = Setup::probe().start().await;
    for _ in 0..20 {
        rig.send(json!({ "do": "global", "url": rig.sink.url("seen") })).await;
    }
    rig.emptied().await;
    let calls = rig.sink.calls("seen");
    assert_eq!(calls.len(), 20);
    assert!(calls.iter().all(|call| call.report["seen"] == 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_logs_are_cut_and_the_handler_goes_on() {
    let rig = Setup::probe().start().await;
    rig.send(json!({ "do": "log", "text": "\u{1b}[31mred\nwhite\0".repeat(100), "count": 2_000 })).await;
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_not_granted_is_not_called() {
    let rig = once("").start().await;
    let other = crate::support::Sink::start().await;
    rig.send(json!({ "do": "http", "url": other.url("secret") })).await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "retry", "{}", dead.letter.reason);
    assert_eq!(other.count("secret"), 0);
    rig.end().await;
}
