//! The plugin directory: what is refused, by name, while the others serve; and what happens when a
//! file changes.

use std::fs;

use serde_json::{Value, json};
use wasq::config::Config;

use crate::support::{Plugin, Rig, Setup, until, wat};

async fn failures(rig: &Rig) -> Vec<(String, String)> {
    let failures = rig.admin("/plugins").await["failures"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |failure: &Value| text(&failure["path"]).rsplit('/').next().unwrap().to_owned();
    failures.as_array().unwrap().iter().map(|failure| (name(failure), text(&failure["reason"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_plugin_are_refused_by_name_and_the_others_serve() {
    let mut rig = Setup::new().plugin(Plugin::component("probe", wat::done())).without_host().await;
    let dir = rig.plugins_dir();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    let component = wat::done();
    write("core-module.wasm", &wat::component("(module (memory 1))"));
    write("cut-short.wasm", &component[..component.len() / 2]);
    write("empty.wasm", b"");
    write("no-handler.wasm", &wat::component("(component)"));
    write("no-handler.toml", b"name = 'no-handler'\ntypes = ['x']");
    write("no-manifest.wasm", &component);
    write("precompiled.wasm", &precompiled());
    write("text.wasm", b"(component)");
    write("typo.wasm", &component);
    write("typo.toml", b"name = 'typo'\ntypes = ['x']\ntimeuot = '1s'");
    let huge = fs::File::create(dir.join("huge.wasm")).unwrap();
    huge.set_len(200 * 1024 * 1024).unwrap();
    write("README.md", b"not a plugin, and no failure");
    rig.start_host().await;

    let expect = [
        ("core-module.wasm", "not a component"),
        ("cut-short.wasm", "cut short"),
        ("empty.wasm", "no WebAssembly"),
        ("huge.wasm", "209715200 bytes"),
        ("no-handler.wasm", "wasq:worker/message-handler@0.2"),
        ("no-manifest.wasm", "no manifest"),
        ("precompiled.wasm", "precompiled"),
        ("text.wasm", "no WebAssembly"),
        ("typo.wasm", "timeuot"),
    ];
    let failures = failures(&rig).await;
    assert_eq!(failures.len(), expect.len(), "{failures:#?}");
    for ((name, reason), (expect_name, part)) in failures.iter().zip(expect) {
        assert_eq!(name, expect_name);
        assert!(reason.contains(part), "{name}: {reason}");
    }
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;
    rig.end().await;
}

/// Code for this very machine, which a plugin directory must not be able to bring in.
fn precompiled() -> Vec<u8> {
    wasmtime::Engine::default().precompile_component(&wat::component("(component)")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_host_that_was_not_granted_is_refused_at_load_with_the_way_out() {
    let setup = Setup::new().plugin(Plugin::component("probe", wat::done())).config(|config| config.grant_all = false);
    let rig = setup.start().await;
    let failures = failures(&rig).await;
    assert_eq!(failures[0].0, "probe.wasm");
    assert!(
        failures[0].1.contains("[plugins.probe]") && failures[0].1.contains(&rig.sink.origin()),
        "{}",
        failures[0].1
    );
    assert_eq!(rig.ready().await.0, 503, "with no plugin at all, the host is not ready");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_not_the_contracts_is_refused_at_load_by_name() {
    let import = r#"(import "wasi:sockets/teleport@0.2.0" (instance (export "beam" (func))))"#;
    let component = wat::handler_with(import, "", "(i32.const 1024)");
    let rig = Setup::new().plugin(Plugin::component("odd", component)).start().await;
    let failures = failures(&rig).await;
    assert!(failures[0].1.contains("wasi:sockets/teleport@0.2.0"), "{}", failures[0].1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_swapped_in_and_one_that_cannot_load_leaves_the_old_one_serving() {
    let rig = Setup::new().plugin(Plugin::component("probe", wat::done())).start().await;
    let file = rig.plugins_dir().join("probe.wasm");
    let digest = |plugins: &Value| plugins["plugins"][0]["digest"].as_str().unwrap().to_owned();
    let first = digest(&rig.admin("/plugins").await);

    // The second version rejects: a failure's discriminant is 1, and its case `reject` is 2.
    let rejects =
        "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1032) (i32.const 2)) (i32.const 1024)";
    fs::write(&file, wat::handler("", rejects)).unwrap();
    rig.host().reload_plugins().await.unwrap();
    let second = digest(&rig.admin("/plugins").await);
    assert_ne!(first, second);
    rig.message("x").send().await;
    let dead = rig.letter().await;
    assert_eq!((dead.letter.class.as_str(), dead.letter.digest.as_deref()), ("reject", Some(second.as_str())));

    fs::write(&file, b"\0asm broken").unwrap();
    rig.host().reload_plugins().await.unwrap();
    let plugins = rig.admin("/plugins").await;
    assert_eq!(digest(&plugins), second);
    assert_eq!(plugins["failures"][0]["still_serving"], json!(second));
    rig.message("y").send().await;
    assert_eq!(rig.letter().await.letter.digest.as_deref(), Some(second.as_str()));
    assert_eq!(rig.ready().await.0, 200);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_ends_on_the_version_on_which_it_began() {
    let rig = Setup::probe().start().await;
    let held = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    fs::remove_file(rig.plugins_dir().join("probe.wasm")).unwrap();
    rig.host().reload_plugins().await.unwrap();
    assert_eq!(rig.admin("/plugins").await["plugins"], json!([]));
    drop(held);
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 1);
    rig.end().await;
}

/// A component with its manifest inside, and a mark by which versions differ: one file is all that
/// is swapped.
fn version(mark: usize) -> Vec<u8> {
    let mut component = wat::done();
    for (name, data) in [("wasq:manifest", "name = 'probe'\ntypes = ['probe']".to_owned()), ("mark", mark.to_string())]
    {
        let mut section = vec![name.len() as u8];
        section.extend(name.as_bytes());
        section.extend(data.as_bytes());
        component.push(0);
        component
            .push(u8::try_from(section.len()).ok().filter(|length| *length < 128).expect("it fits one LEB128 byte"));
        component.extend(section);
    }
    component
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_replaced_fifty_times_under_load_loses_and_fails_nothing() {
    const VERSIONS: usize = 50;
    let mut rig = Setup::new().without_host().await;
    let file = rig.plugins_dir().join("probe.wasm");
    fs::write(&file, version(0)).unwrap();
    rig.start_host().await;
    let (mut sent, mut last_good) = (0, 0);
    for n in 1..=VERSIONS {
        for _ in 0..10 {
            rig.message("x").send().await;
            sent += 1;
        }
        let new = version(n);
        let is_good = n % 3 != 0;
        fs::write(&file, if is_good { &new[..] } else { &new[..new.len() - 40] }).unwrap();
        let catalog = rig.host().reload_plugins().await.unwrap();
        assert_eq!(catalog.failures().is_empty(), is_good, "version {n}");
        last_good = if is_good { n } else { last_good };
        let serving = catalog.plugins().next().expect("one always serves").digest.clone();
        assert_eq!(serving, blake3::hash(&version(last_good)).to_hex().as_str(), "version {n}");
    }
    rig.emptied().await;
    assert_eq!(rig.exits("done"), sent);
    let snapshot = rig.services().stats.snapshot();
    let exits: Vec<_> = snapshot.iter().flat_map(|line| line.exits.keys().copied()).collect();
    assert_eq!(exits, ["done"], "nothing else ever came of a run");
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_dropped_in_serves_by_itself_and_one_that_is_taken_away_holds_its_messages() {
    let rig = Setup::new().start().await;
    assert_eq!(rig.ready().await.0, 503);
    fs::write(rig.plugins_dir().join("probe.wasm"), version(1)).unwrap();
    until("it is loaded", || async { rig.ready().await.0 == 200 }).await;
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;
    fs::remove_file(rig.plugins_dir().join("probe.wasm")).unwrap();
    until("it is gone", || async { rig.ready().await.0 == 503 }).await;
    rig.message("y").send().await;
    rig.until_exits("unroutable", 1).await;
    assert_eq!(rig.counts("jobs").await, (0, 1, 0), "held, not lost");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_the_pinned_one_is_refused_with_its_digest() {
    let pin = |digest: String| {
        Setup::new().plugin(Plugin::component("probe", wat::done())).config(move |config| {
            config.plugins.entry("probe".into()).or_default().blake3 = Some(digest);
        })
    };
    let digest = blake3::hash(&wat::done()).to_hex().to_string();
    let rig = pin("00".repeat(32)).start().await;
    let failures = failures(&rig).await;
    assert!(failures[0].1.contains(&digest) && failures[0].1.contains("[plugins.probe]"), "{failures:?}");
    rig.end().await;
    let rig = pin(digest.to_uppercase()).start().await;
    assert_eq!(rig.ready().await.0, 200);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_room_for_thousands_of_instances_compiles_within_the_same_memory() {
    let many = |config: &mut Config| config.limits.max_instances = 4_000;
    let rig = Setup::new().plugin(Plugin::component("probe", wat::done())).config(many).start().await;
    assert_eq!(failures(&rig).await, []);
    assert_eq!(rig.ready().await.0, 200);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_with_one_name_the_second_is_refused_and_names_the_first() {
    let mut rig = Setup::new().plugin(Plugin::component("probe", wat::done())).without_host().await;
    let dir = rig.plugins_dir();
    fs::copy(dir.join("probe.wasm"), dir.join("twin.wasm")).unwrap();
    fs::copy(dir.join("probe.toml"), dir.join("twin.toml")).unwrap();
    rig.start_host().await;
    let failures = failures(&rig).await;
    assert_eq!(failures.len(), 1);
    assert!(failures[0].0 == "twin.wasm" && failures[0].1.contains("probe.wasm"), "{failures:?}");
    rig.end().await;
}
