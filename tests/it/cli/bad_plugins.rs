//! Files that are no plugins: each is named with its reason, and the others serve.

use std::path::Path;

use super::binary::wasq;
use super::{config_file, good, install, place};
use crate::support::{Setup, wat};

/// Everything wrong that a file can be, each with a word of what is said about it.
fn spoil(dir: &Path) -> [(&'static str, &'static str); 7] {
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
    let good = good();
    write("text.wasm", b"this is no component");
    write("empty.wasm", b"");
    write("core.wasm", b"\0asm\x01\0\0\0");
    write("native.wasm", b"\x7fELF\x02\x01\x01");
    write("bare.wasm", b"\0asm\x0d\0\x01\0");
    install(dir, "cut", &good[..good.len() / 2], "");
    std::fs::File::create(dir.join("large.wasm")).unwrap().set_len(3 << 20).unwrap();
    [
        ("text.wasm", "no WebAssembly"),
        ("empty.wasm", "no WebAssembly"),
        ("core.wasm", "not a component"),
        ("native.wasm", "precompiled"),
        ("bare.wasm", "no manifest"),
        ("cut.wasm", "cut short"),
        ("large.wasm", "limits.max_component"),
    ]
}

#[tokio::test]
async fn check_names_each_with_its_reason() {
    let dir = place("limits = { max_component = '2MiB' }\n[queues.jobs]\n");
    let plugins = dir.path().join("plugins");
    install(&plugins, "good", &good(), "");
    let bad = spoil(&plugins);
    let ran = wasq(["check"]).dir(&dir).check(1, &[]).await;
    let lines = |start: &str| ran.out.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((lines("ok "), lines("problem ")), (2, bad.len()), "the config and `good` are fine: {}", ran.out);
    for (file, reason) in bad {
        let line = ran.out.lines().find(|line| line.contains(file)).unwrap_or_else(|| panic!("{file}: {}", ran.out));
        assert!(line.starts_with("problem") && line.contains(reason), "{file}: {line}");
    }
}

#[tokio::test]
async fn a_host_serves_with_the_others_and_lists_the_failures() {
    let rig =
        Setup::new().config(|config| config.limits.max_component = bytesize::ByteSize::mib(2)).without_host().await;
    install(&rig.plugins_dir(), "good", &good(), "");
    let bad = spoil(&rig.plugins_dir());
    let mut rig = rig;
    rig.start_host().await;
    let admin = rig.host().admin_addr().to_string();
    let listed = wasq(["plugins", "--json", "--admin", &admin]).check(0, &[]).await.json();
    assert_eq!(listed["plugins"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["failures"].as_array().unwrap().len(), bad.len(), "{listed}");
    let text = wasq(["plugins", "--admin", &admin]).check(0, &["good"]).await;
    for (file, reason) in bad {
        assert!(text.out.contains(file) && text.out.contains(reason), "{file}: {}", text.out);
    }
    rig.message(r#"{"do":"done"}"#).kind("good").send().await;
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 1);
    rig.end().await;
}

#[tokio::test]
async fn check_names_the_line_that_grants_an_outbound_host() {
    let dir = place("[queues.jobs]\n");
    let asks = "allowed_outbound_hosts = ['https://api.mail.example:443']";
    install(&dir.path().join("plugins"), "mailer", &good(), asks);
    wasq(["check"])
        .dir(&dir)
        .check(1, &["[plugins.mailer]", "allowed_outbound_hosts = [\"https://api.mail.example:443\"]"])
        .await;

    let granted = "[queues.jobs]\n[plugins.mailer]\nallowed_outbound_hosts = [\"https://api.mail.example:443\"]\n";
    std::fs::write(dir.path().join("wasq.toml"), granted).unwrap();
    wasq(["check"]).dir(&dir).check(0, &["mailer handles mailer"]).await;
}

#[tokio::test]
async fn what_one_setting_grants_and_another_takes_back_is_said_by_check_and_when_it_is_loaded() {
    let rig = Setup::new().without_host().await;
    let asks = "allowed_outbound_hosts = ['http://127.0.0.1:7799']\ntimeout = '13m'";
    install(&rig.plugins_dir(), "mailer", &good(), asks);
    let queues = "max_timeout = '10m'\n[queues.jobs]\ndlq = 'jobs-dlq'\ndefault_type = 'mialer'";
    let config = config_file(&rig, "admin = { listen = '127.0.0.1:0' }", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("limits = { max_instances = 64 }", "[limits]\nmax_instances = 64");
    std::fs::write(&config, format!("{text}{queues}")).unwrap();

    let closed = "egress.open_hosts = [\"127.0.0.1:7799\"]";
    let said = ["mailer.wasm: it is granted http://127.0.0.1:7799", closed, "plugins.mailer.timeout = \"10m\""];
    let named = |command: &'static str| [command.as_ref(), "--config".as_ref(), config.as_os_str()];
    let ran = wasq(named("check")).check(1, &said).await;
    assert!(ran.says("queues.jobs.default_type is `mialer`"), "{ran:?}");
    assert_eq!(ran.out.lines().filter(|line| line.starts_with("problem ")).count(), 3, "{}", ran.out);

    // It may be meant: the host runs, and says so.
    let run = wasq(named("run")).spawn();
    run.line(closed).await;
    run.line("limits.max_timeout").await;
    run.line("running").await;
    run.signal("TERM").await;
    assert_eq!(run.ends_within(std::time::Duration::from_secs(40)).await, Some(0));
    rig.end().await;
}

#[tokio::test]
async fn check_names_a_granted_queue_that_is_neither_a_queue_nor_an_outlet() {
    let dir = place("grant_all = true\n[queues.jobs]\n");
    install(&dir.path().join("plugins"), "mailer", &good(), "queues = ['self', 'mails']");
    wasq(["check"]).dir(&dir).check(1, &["mailer is granted the queue `mails`", "[outlets.mails]"]).await;
    std::fs::write(dir.path().join("wasq.toml"), "grant_all = true\n[queues.jobs]\n[outlets.mails]\n").unwrap();
    wasq(["check"]).dir(&dir).check(0, &["mailer handles mailer"]).await;
}

#[tokio::test]
async fn check_names_a_schedule_that_nobody_handles_and_a_schema_that_is_none() {
    let schedule = |name: &str| format!("[schedules.{name}]\nevery = '1h'\nqueue = 'jobs'\ntype = '{name}'\n");
    let ingress = "[ingress.types.good]\nschema = 'order.json'\n";
    let dir = place(&format!("[queues.jobs]\n{}{}{ingress}", schedule("good"), schedule("nightly")));
    install(&dir.path().join("plugins"), "good", &good(), "");
    std::fs::write(dir.path().join("order.json"), r#"{ "type": "no such type" }"#).unwrap();
    let ran = wasq(["check"]).dir(&dir).check(1, &["schedules.nightly.type", "ingress.types.good.schema"]).await;
    assert!(!ran.out.contains("schedules.good"), "{}", ran.out);
}

#[tokio::test]
async fn check_finds_settings_for_a_plugin_that_is_not_there_and_a_bad_manifest() {
    let dir = place("[queues.jobs]\n[plugins.mialer]\ntimeout = '3s'\n");
    install(&dir.path().join("plugins"), "mailer", &good(), "timout = '3s'");
    wasq(["check"]).dir(&dir).check(1, &["[plugins.mialer]", "mailer.wasm", "timout", "line 3"]).await;
}

/// A component that is small, and takes Cranelift many seconds: hundreds of values live across tens
/// of thousands of calls.
fn slow_to_compile() -> Vec<u8> {
    const VALUES: usize = 400;
    const CALLS: usize = 60_000;
    let value = |place: usize| format!("(local.get {})", place * 7_919 % VALUES);
    let calls: String = (0..CALLS)
        .map(|n| format!("(local.set {} (call $f {} {} {}))\n", n % VALUES, value(n), value(n + 1), value(n * n)))
        .collect();
    let items = format!(
        "(func $f (param i64 i64 i64) (result i64) (local.get 0))\n(func (export \"slow\") (local {}) {calls})",
        "i64 ".repeat(VALUES)
    );
    wat::handler(&items, "(i32.const 1024)")
}

#[tokio::test]
async fn a_component_that_takes_too_long_to_compile_is_refused_and_the_others_serve() {
    let dir = place("limits = { compile_time = '1s' }\n[queues.jobs]\n");
    let plugins = dir.path().join("plugins");
    install(&plugins, "good", &good(), "");
    install(&plugins, "slow", &slow_to_compile(), "");
    let began = wasq_core::clock::now();
    wasq(["check"]).dir(&dir).check(1, &["slow.wasm", "more than 1s of CPU time", "good handles good"]).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_was_compiled_once_is_kept_and_what_was_spoilt_is_compiled_anew() {
    let dir = place("[queues.jobs]\n");
    install(&dir.path().join("plugins"), "good", &good(), "");
    let cache = dir.path().join(".wasq/cache");
    let code = || {
        let entries = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "code")).collect::<Vec<_>>()
    };
    wasq(["check"]).dir(&dir).check(0, &["good handles good"]).await;
    let [kept] = &code()[..] else { panic!("{:?}", code()) };
    let whole = std::fs::read(kept).unwrap();
    std::fs::write(kept, &whole[..whole.len() / 2]).unwrap();
    wasq(["check"]).dir(&dir).env("WASQ_LOG", "warn").check(0, &["good handles good"]).await;
    assert_eq!(std::fs::read(kept).unwrap().len(), whole.len());
}

#[tokio::test]
async fn a_run_without_any_plugin_starts_and_says_that_it_is_not_ready() {
    let rig = Setup::new().without_host().await;
    let config =
        config_file(&rig, "admin = { listen = '127.0.0.1:0' }", "[queues.jobs]\ndlq = 'jobs-dlq'\nwait = '1s'");
    let run = wasq(["run".as_ref(), "--config".as_ref(), config.as_os_str()]).spawn();
    let line = run.line("admin=").await;
    let admin = line.split("admin=").nth(1).unwrap();
    wasq(["status", "--admin", admin]).check(1, &["not ready", "no plugin is loaded"]).await;
    run.signal("TERM").await;
    assert_eq!(run.ends_within(std::time::Duration::from_secs(20)).await, Some(0));
    rig.end().await;
}
