//! Versions of the contract, and what a component may import of what the host does not have.

use std::time::Duration;

use wasq::exit::Exit;
use wasq::sandbox::{CompileError, Sandbox};
use wasq_core::message::Attributes;

use super::runner::{CLOSED, Runner};
use crate::cli::binary::wasq;
use crate::support::{Sink, wat};

/// The component of the first contract, as if that had another version, which is as long.
fn first_contract(version: &str) -> Vec<u8> {
    versioned(include_str!("../../guests/contract/0.1.0.wat"), version)
}

fn versioned(text: &str, version: &str) -> Vec<u8> {
    let first = b"@0.1.0";
    assert_eq!(version.len(), first.len());
    let mut component = wat::handler_file(text);
    let places: Vec<_> = (0..component.len() - first.len()).filter(|at| component[*at..].starts_with(first)).collect();
    places.into_iter().for_each(|at| component[at..at + first.len()].copy_from_slice(version.as_bytes()));
    component
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_the_first_contract_works_whatever_its_patch() {
    let sink = Sink::start().await;
    for version in ["@0.1.0", "@0.1.9"] {
        let runner = Runner::new("first", &first_contract(version), &sink, "");
        let exit = runner.run("{}", Attributes::new(), 1).await.report.exit;
        let after = Some(Duration::from_millis(250));
        assert_eq!(exit, Exit::Retry { reason: "not yet".into(), after }, "{version}");
        assert_eq!(runner.run("{}", Attributes::new(), 2).await.report.exit, Exit::Done { result: None }, "{version}");
    }
}

fn refusal(component: &[u8]) -> CompileError {
    let sandbox = Sandbox::without_ticks(&wasq::config::Limits { max_instances: 1, ..Default::default() }).unwrap();
    sandbox.compile(component).err().expect("it is refused")
}

#[test]
fn what_does_not_fit_the_contract_says_which_version_it_was_built_for() {
    let check = |component: &[u8], parts: &[&str]| {
        let error = refusal(component).to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    check(&first_contract("@0.9.3"), &["wasq:worker@0.9.3", "@0.1 and @0.2", "bring the host up to date"]);
    check(&first_contract("@0.2.0"), &["wasq:worker@0.2.0"]);
    // A newer patch with a function that this host does not have.
    let newer = include_str!("../../guests/contract/0.1.0.wat").replace("\"attempt\"", "\"attempts\"");
    let newer = versioned(&newer, "@0.1.9");
    check(&newer, &["wasq:worker@0.1.9", "attempts"]);
    check(&wat::component("(component)"), &["exports no handler", "wasq:worker/message-handler@0.2", "wasq wit"]);
    let command = r#"(component (instance $run) (export "wasi:cli/run@0.2.6" (instance $run)))"#;
    check(&wat::component(command), &["a program", "wasi:cli/run"]);
    // Async functions are WASI 0.3's.
    check(&wat::component(r#"(component (import "f" (func async)))"#), &["WASI 0.3", "0.2"]);
}

#[tokio::test]
async fn what_was_built_for_wasi_0_3_is_refused_when_it_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let import = r#"(import "wasi:clocks/monotonic-clock@0.3.0" (instance))"#;
    std::fs::write(dir.path().join("new.wasm"), wat::handler_with(import, "", "(i32.const 1024)")).unwrap();
    std::fs::write(dir.path().join("new.toml"), "name = 'new'\ntypes = ['t']\n").unwrap();
    let parts = ["wasi:clocks/monotonic-clock@0.3.0", "WASI 0.3", "this host runs WASI 0.2"];
    wasq(["invoke", "new.wasm"]).dir(&dir).check(1, &parts).await;
}

#[tokio::test]
async fn a_component_that_may_call_nobody_loads_and_its_calls_are_denied() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(wasq_tests::guest("conformance"), dir.path().join("calls.wasm")).unwrap();
    // Manifests of earlier versions have the key; it has no effect any more.
    let manifest = "name = 'calls'\ntypes = ['t']\nempty_interfaces = ['wasi:filesystem']\n";
    std::fs::write(dir.path().join("calls.toml"), manifest).unwrap();
    let parts = ["retry", "allowed_outbound_hosts", "wasi:http/outgoing-handler", "granted no host"];
    wasq(["invoke", "calls.wasm", "--body", r#"{"do":"get","url":"http://127.0.0.1:1/"}"#])
        .dir(&dir)
        .check(1, &parts)
        .await;
    wasq(["invoke", "calls.wasm", "--body", r#"{"do":"done"}"#]).dir(&dir).check(0, &["exit     done"]).await;
}

#[tokio::test]
async fn stdout_and_stderr_do_not_run_into_each_other_and_the_last_line_is_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(wasq_tests::guest("words"), dir.path().join("words.wasm")).unwrap();
    std::fs::write(dir.path().join("words.toml"), "name = 'words'\ntypes = ['t']\n").unwrap();
    let order = r#"{"do":"trap","stdout":["one ","two\nthr","ee"],"stderr":["Traceback (most recent call last):\n","  File \"a.py\"\nKey","Error: 'id'"]}"#;
    let ran = wasq(["invoke", "words.wasm", "--body", order]).dir(&dir).check(1, &["trap", "KeyError: 'id' ("]).await;
    for line in ["one two", "three", "KeyError: 'id'"] {
        assert!(ran.err.lines().any(|record| record.contains(line)), "{line}: {}", ran.err);
    }
    assert!(ran.err.contains("guest_target=\"stdout\"") && ran.err.contains("guest_target=\"stderr\""), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fails_is_seen_although_the_handler_does_not_say_so() {
    let sink = Sink::start().await;
    let component = std::fs::read(wasq_tests::guest("words")).unwrap();
    let runner = Runner::new("words", &component, &sink, "");
    let call = |url: String| runner.run(format!(r#"{{"do":"call","url":"{url}"}}"#), Attributes::new(), 1);
    let refused = call(format!("http://{CLOSED}/")).await.report.exit;
    let expect = Exit::Unavailable { dependency: "127.0.0.1".into(), reason: "a call failed".into(), after: None };
    assert_eq!(refused, expect);
    // A host that was not granted is no dependency that is down.
    let denied = call("http://127.0.0.1:9/".into()).await.report.exit;
    assert_eq!(denied, Exit::Retry { reason: "a call failed".into(), after: None });
}
