//! Every guest in tests/guests/hostile: how the host ends it, what the dead letter says, and that
//! the host is unharmed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use wasq_tests::hostile::{Guest, guests};

use crate::support::{Plugin, Rig, Setup, wat};

/// What a guest that has an end may need on a busy machine.
const FINITE: &str = "60s";
/// How long one may run that has none.
const ENDLESS: &str = "300ms";

fn guest(name: &str) -> Guest {
    guests().into_iter().find(|guest| guest.name == name).unwrap_or_else(|| panic!("no guest is named {name}"))
}

/// A host with these guests, each of a type of its own name, and with one that works.
async fn host(names: &[&str], timeout: &str, max_attempts: u32) -> Rig {
    let mut setup = Setup::new().plugin(Plugin::component("good", wat::done()).types(&["good"]));
    for name in names {
        let guest = guest(name);
        let lines = format!(
            "timeout = '{timeout}'\nmemory = '64MiB'\n[retry]\nmax_attempts = {max_attempts}\ninitial_interval = '0s'"
        );
        setup = setup.plugin(Plugin::component(name, guest.component).types(&[name]).manifest(&lines));
    }
    let rig = setup.start().await;
    for name in names {
        rig.message("{}").kind(name).send().await;
    }
    rig
}

/// Whether the host still works.
async fn unharmed(rig: Rig) {
    let done = rig.exits("done");
    rig.message("{}").kind("good").send().await;
    rig.until_exits("done", done + 1).await;
    rig.end().await;
}

/// Runs each guest once, and wants its class and a part of its reason in a dead letter.
async fn check(timeout: &str, cases: &[(&str, &str, &str)]) {
    let names: Vec<_> = cases.iter().map(|(name, ..)| *name).collect();
    let rig = host(&names, timeout, 1).await;
    let letters = rig.letters(cases.len()).await.into_iter().map(|dead| dead.letter);
    let letters: BTreeMap<_, _> = letters.map(|letter| (letter.plugin.clone().unwrap_or_default(), letter)).collect();
    let mut wrong = Vec::new();
    for (name, class, reason) in cases {
        let letter = letters.get(*name).unwrap_or_else(|| panic!("{name} has no dead letter"));
        if letter.class != *class || !letter.reason.contains(reason) || letter.reason.chars().any(char::is_control) {
            wrong.push(format!("{name}: {}: {}", letter.class, letter.reason));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_is_killed_at_the_timeout() {
    let cases =
        ["loop", "start_loop", "looping_realloc", "sleep", "random_flood"].map(|name| (name, "timeout", "300ms"));
    check(ENDLESS, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_sockets_that_may_be_imported_are_empty() {
    check(FINITE, &[("files_and_sockets", "reject", "nothing but errors")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_tables_and_stack_have_their_ends() {
    let memory = "more than its 67108864 bytes of memory (memory in its manifest)";
    let cases = [
        ("allocate", "out-of-memory", memory),
        ("memory_bomb", "out-of-memory", memory),
        ("two_memories", "out-of-memory", memory),
        ("table_bomb", "out-of-memory", "limits.table_elements"),
        ("two_tables", "out-of-memory", "limits.table_elements"),
        ("recursion", "trap", "stack"),
        ("unreachable", "trap", "unreachable"),
    ];
    check(FINITE, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_read_is_a_failure_of_its_own_class() {
    let cases = [
        ("bad_realloc", "bad-result", ""),
        ("bad_variant", "bad-result", ""),
        ("huge_result", "bad-result", "limits.hostcall_bytes"),
        ("large_result", "bad-result", "limits.result_bytes"),
        ("list_out_of_bounds", "bad-result", "out of bounds"),
        ("not_utf8", "bad-result", "utf-8"),
        ("result_out_of_bounds", "bad-result", ""),
    ];
    check(FINITE, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_or_an_exit_is_a_failure_and_never_an_acknowledgement() {
    let cases = [
        ("exit_one", "exited", "exit(1)"),
        ("exit_zero", "exited", "exit(0)"),
        ("panic", "trap", "the disk is on fire\\u{1b}[31m"),
    ];
    check(FINITE, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_guest_asks_the_host_for_has_a_limit_with_a_name() {
    let cases = [
        ("handle_flood", "trap", "limits.open_handles"),
        ("header_flood", "trap", "limits.header_bytes"),
        ("outbox_bytes", "reject", "limits.outbox_bytes"),
        ("outbox_flood", "reject", "limits.outbox_messages"),
        ("random_bomb", "trap", "limits.random_bytes"),
        ("resource_flood", "trap", "limits.open_handles"),
        ("step_bytes", "reject", "limits.step_total_bytes"),
        ("step_flood", "reject", "limits.steps"),
        ("step_large", "reject", "limits.step_bytes"),
    ];
    check(FINITE, &cases).await;
}

/// Guests that are refused when they are loaded.
const MADE_OF_TOO_MUCH: [&str; 5] = ["born_large", "born_over", "instance_bomb", "many_memories", "many_tables"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_too_much_is_refused_at_load_by_name() {
    let names = MADE_OF_TOO_MUCH;
    let rig = host(&names, FINITE, 1).await;
    let failures = rig.admin("/plugins").await["failures"].clone();
    for name in names {
        let of_it = |failure: &&serde_json::Value| failure["path"].as_str().unwrap().ends_with(&format!("{name}.wasm"));
        let failure = failures.as_array().unwrap().iter().find(of_it).unwrap_or_else(|| panic!("{name}: {failures}"));
        let setting = if name.starts_with("born_") { "memory in its manifest" } else { "limits." };
        assert!(failure.to_string().contains(setting), "{failure}");
    }
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_ages_is_parked_for_ages() {
    let rig = host(&["retry_for_ever", "snooze_for_ever"], FINITE, 2).await;
    rig.until_exits("retry", 1).await;
    rig.until_exits("snooze", 1).await;
    rig.emptied().await;
    let timers = rig.services().ledger.timers(&rig.config.scope).expect("it keeps timers");
    assert_eq!(timers.counts().await.expect("it answers").all, 2);
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_words_are_cut_and_the_handler_goes_on() {
    let rig = host(&["huge_reason", "log_flood", "stdout_flood"], FINITE, 1).await;
    rig.until_exits("discard", 1).await;
    rig.until_exits("done", 2).await;
    rig.emptied().await;
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_gets_a_fresh_instance() {
    let rig = host(&["state"], FINITE, 1).await;
    for _ in 0..20 {
        rig.message("{}").kind("state").send().await;
    }
    rig.until_exits("done", 21).await;
    assert_eq!(rig.exits("reject"), 0);
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_past_its_timeout_is_gone_soon() {
    // The figure, two ticks and 50 ms, is measured by `wasq-tests hostile`; here other tests take
    // the processor, and what steps behind them waits: then it is measured again.
    let mut measured = Vec::new();
    for _ in 0..10 {
        let outlived = wasq_tests::hostile::outlived(10).await.unwrap();
        if outlived.iter().all(|by| *by < Duration::from_secs(1)) {
            return;
        }
        measured.push(outlived);
    }
    panic!("{measured:?}");
}

/// Tells the process that the next test starts from those that run all tests.
const ALONE: &str = "WASQ_HOSTILE_ALONE";

#[test]
fn hostile_runs_leave_no_memory_behind() {
    // In a process of its own, where no other test takes memory.
    if std::env::var_os(ALONE).is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "hostile::hostile_runs_leave_no_memory_behind", "--nocapture"]).env(ALONE, "1");
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{said}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(wasq_tests::hostile::run(300, 0)).unwrap();
    assert_eq!(outcome.panics, 0, "{outcome:?}");
    // A guest that is not loaded is not run: only what is made of too much stays out.
    let is_too_much = |refused: &String| MADE_OF_TOO_MUCH.iter().any(|name| refused.contains(&format!("/{name}.wasm")));
    assert!(outcome.refused.len() == MADE_OF_TOO_MUCH.len() && outcome.refused.iter().all(is_too_much), "{outcome:?}");
    assert_eq!(outcome.classes.values().sum::<usize>(), 300);
    // 10,000 runs may grow it by 5 %; so few are mostly noise.
    assert!(outcome.growth() < 1.2, "{outcome:?}");
}

#[test]
fn every_hostile_guest_has_a_test_that_names_it() {
    let mut tests = String::new();
    read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/it"), &mut tests);
    let unnamed: Vec<_> =
        guests().into_iter().map(|guest| guest.name).filter(|name| !tests.contains(&format!("\"{name}\""))).collect();
    assert!(unnamed.is_empty(), "no test names these guests: {unnamed:?}");
}

fn read_all(dir: &Path, text: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
