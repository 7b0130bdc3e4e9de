//! A host with plugins in registries: tags, digests, restarts without the registry, and artifacts
//! that are no plugins.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wasq::config::{Config, OciReference};
use wasq_tests::servers::Server;

use super::{packed, plugin, push, reference, skopeo};
use crate::cli::binary::wasq;
use crate::signatures::Key;
use crate::support::servers::{registry, started};
use crate::support::{Rig, Setup, until, wat};

/// A host whose plugins are these, and which looks often.
async fn rig(references: &[&str]) -> Rig {
    let plugins: Vec<_> = references.iter().map(|text| OciReference::parse(text).unwrap()).collect();
    let mut rig = Setup::new().without_host().await;
    rig.config.oci.plugins = plugins;
    rig.config.oci.poll_interval = Duration::from_millis(50);
    rig.config.oci.cache = rig.ledger_dir().with_file_name("oci");
    rig
}

/// What the only plugin that is loaded is, as `/plugins` has it.
async fn loaded(rig: &Rig) -> Value {
    rig.admin("/plugins").await["plugins"][0].clone()
}

async fn failure(rig: &Rig) -> Value {
    rig.admin("/plugins").await["failures"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_followed_and_a_restart_needs_no_registry() {
    let (dir, mut server) = (tempfile::tempdir().unwrap(), started(Server::registry()));
    let tag = reference(&server, "acme/receipt:stable");
    let first = push(dir.path(), &plugin("receipt", "one"), &tag).await;
    let mut rig = rig(&[&tag]).await;
    // There are other plugins' files, or there is no such directory.
    fs::remove_dir(rig.plugins_dir()).unwrap();
    rig.start_host().await;
    assert_eq!(loaded(&rig).await["path"], first.to_string());
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;

    let second = push(dir.path(), &plugin("receipt", "two"), &tag).await;
    assert_ne!(first.digest, second.digest);
    until("the tag is followed", || async { loaded(&rig).await["path"] == second.to_string() }).await;

    server.kill().unwrap();
    until("the registry is missed", || async { failure(&rig).await["reason"].is_string() }).await;
    let told = failure(&rig).await;
    assert!(told["reason"].as_str().unwrap().contains("does not answer"), "{told}");
    assert_eq!(told["still_serving"], loaded(&rig).await["digest"]);
    rig.stop_host().await;
    rig.start_host().await;
    assert_eq!(loaded(&rig).await["path"], second.to_string(), "it starts with what was pulled last");
    assert_eq!(rig.ready().await.0, 200);
    rig.message("y").send().await;
    rig.until_exits("done", 1).await;

    server.restart().unwrap();
    until("the registry is back", || async { failure(&rig).await.is_null() }).await;
    assert_eq!(loaded(&rig).await["path"], second.to_string());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_asked_for_once() {
    let (dir, mut server) = (tempfile::tempdir().unwrap(), started(Server::registry()));
    let tag = reference(&server, "acme/pinned:1");
    let first = push(dir.path(), &plugin("receipt", "one"), &tag).await;
    let pinned = OciReference { tag: None, ..first.clone() }.to_string();
    let mut rig = rig(&[&pinned]).await;
    rig.start_host().await;
    assert_eq!(loaded(&rig).await["path"], pinned);
    push(dir.path(), &plugin("receipt", "two"), &tag).await;
    server.kill().unwrap();
    rig.stop_host().await;
    rig.start_host().await;
    let all = rig.admin("/plugins").await;
    assert_eq!(all["failures"], json!([]), "what a digest stands for is on disk");
    assert_eq!(loaded(&rig).await["path"], pinned);
    rig.stop_host().await;

    // What was kept is checked. Without the registry, a damaged file is as good as none.
    let hex = first.digest.as_deref().unwrap().strip_prefix("sha256:").unwrap();
    let kept = rig.config.oci.cache.join(hex).join("plugin.wasm");
    fs::write(&kept, plugin("receipt", "evil")).unwrap();
    rig.start_host().await;
    assert_eq!(rig.admin("/plugins").await["plugins"], json!([]));
    server.restart().unwrap();
    until("it is pulled again", || async { loaded(&rig).await["path"] == pinned }).await;
    assert_eq!(fs::read(&kept).unwrap(), plugin("receipt", "one"));
    rig.end().await;
}

/// Puts a container's image into the registry.
async fn push_image(dir: &Path, to: &str) {
    let layout = dir.join("image");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        use sha2::{Digest, Sha256};
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(blobs.join(&hex), bytes).unwrap();
        (format!("sha256:{hex}"), bytes.len())
    };
    let (config, config_size) =
        put(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size },
        "layers": [],
    });
    let (manifest, size) = put(manifest.to_string().as_bytes());
    let entry = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size,
        "annotations": { "org.opencontainers.image.ref.name": "x" },
    });
    fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let (from, to) = (format!("oci:{}:x", layout.display()), to.replace("oci://", "docker://"));
    skopeo(&["copy", "--dest-tls-verify=false", &from, &to]).check(0, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_named_with_its_reason_and_the_others_serve() {
    let dir = tempfile::tempdir().unwrap();
    let at = |rest: &str| reference(registry(), rest);
    let good = push(dir.path(), &plugin("good", "one"), &at("mixed/good:1")).await;
    push_image(dir.path(), &at("mixed/image:1")).await;
    let other_world = packed(&wat::component("(component)"), "world", "one");
    push(dir.path(), &other_world, &at("mixed/world:1")).await;
    let mut large = plugin("large", "one");
    // A custom section of 3 MiB.
    large.extend([0, 0x84, 0x80, 0xc0, 0x01, 3, b'b', b'i', b'g']);
    large.extend(vec![0; 3 * 1024 * 1024]);
    push(dir.path(), &large, &at("mixed/large:1")).await;
    push(dir.path(), &plugin("good", "two"), &at("mixed/twin:1")).await;
    let expect = [
        (at("mixed/unknown:7"), "has no oci://"),
        (at("mixed/image:1"), "application/vnd.oci.image.config.v1+json"),
        (at("mixed/world:1"), "wasq:worker/message-handler@0.2"),
        (at("mixed/large:1"), "limits.max_component"),
        (at("mixed/twin:1"), "is a plugin named `good` too"),
        ("oci://127.0.0.1:1/nobody/there:1".to_owned(), "127.0.0.1:1 does not answer"),
    ];
    let all: Vec<_> = [at("mixed/good:1")].into_iter().chain(expect.iter().map(|(name, _)| name.clone())).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    let mut rig = rig(&all).await;
    rig.config.limits.max_component = bytesize::ByteSize::mib(2);
    rig.start_host().await;
    let answer = rig.admin("/plugins").await;
    assert_eq!(answer["plugins"].as_array().unwrap().len(), 1, "{answer:#}");
    assert_eq!(answer["plugins"][0]["path"], good.to_string());
    let failures = answer["failures"].as_array().unwrap();
    assert_eq!(failures.len(), expect.len(), "{failures:#?}");
    for (failure, (name, reason)) in failures.iter().zip(&expect) {
        assert!(failure["path"].as_str().unwrap().starts_with(name), "{failure}");
        assert!(failure["reason"].as_str().unwrap().contains(reason), "{failure}");
    }
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;
    let admin = rig.host().admin_addr().to_string();
    let mut shown = vec![good.to_string()];
    shown.extend(expect.iter().map(|(name, _)| format!("not loaded: {name}")));
    let shown: Vec<_> = shown.iter().map(String::as_str).collect();
    wasq(["plugins", "--admin", &admin]).check(0, &shown).await;

    // `wasq check` says the same before anything runs.
    let quoted: Vec<_> = all.iter().map(|text| format!("'{text}'")).collect();
    let text = format!("[oci]\nplugins = [{}]\n[limits]\nmax_component = '2MiB'\n[queues.jobs]\n", quoted.join(", "));
    Config::parse(&text, Path::new("wasq.toml")).unwrap();
    fs::write(dir.path().join("wasq.toml"), text).unwrap();
    let mut parts = vec![format!("ok       {good}: good handles probe")];
    parts.extend(expect.iter().map(|(name, _)| format!("problem  {name}")));
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    let ran = wasq(["check"]).dir(&dir).check(1, &parts).await;
    for (name, reason) in &expect {
        let line = ran.out.lines().find(|line| line.contains(name.as_str())).unwrap();
        assert!(line.contains(reason), "{line}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_comes_with_its_plugin_and_without_one_it_is_refused() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new().await);
    let tag = reference(registry(), "signed/receipt:1");
    push(dir.path(), &plugin("receipt", "one"), &tag).await;
    let mut rig = rig(&[&tag]).await;
    rig.config.plugins_signed_by = Some(vec![key.public()]);
    rig.start_host().await;
    let refused = failure(&rig).await["reason"].as_str().unwrap().to_owned();
    let expect = ["it came without a signature", "minisign -S -m FILE.wasm", &format!("wasq push FILE.wasm {tag}")];
    assert!(expect.iter().all(|part| refused.contains(part)), "{refused}");
    key.sign(&dir.path().join("pushed.wasm")).await;
    let signed = push(dir.path(), &plugin("receipt", "one"), &tag).await;
    until("the signed one is followed", || async { loaded(&rig).await["path"] == signed.to_string() }).await;
    rig.end().await;
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_with_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let check = async |lines: &str, expect: &[&str]| {
        fs::write(dir.path().join("wasq.toml"), format!("[oci]\n{lines}\n[queues.jobs]\n")).unwrap();
        wasq(["check"]).dir(&dir).check(1, expect).await;
    };
    check("plugins = ['r.example/a:1']", &["`r.example/a:1`", "oci://REGISTRY/REPOSITORY:TAG"]).await;
    check("plugins = ['oci://r.example/a:1', 'oci://r.example/a:1']", &["oci.plugins", "twice"]).await;
    check("poll_interval = '10ms'", &["oci.poll_interval", "1 s to 1 day"]).await;
    check("plain_http = ['http://r.example']", &["oci.plain_http", "HOST:PORT"]).await;
    // One that others may write to is nobody's cache.
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    check("cache = 'cache'\nplugins = ['oci://127.0.0.1:1/a:1']", &["problem  oci://127.0.0.1:1/a:1", "oci.cache"])
        .await;
}
