//! `wasq push` and `wasq pull`, and what another tool reads of it.

use std::fs;

use serde_json::Value;
use wasq::plugins::pack;

use super::{plugin, push, reference, skopeo};
use crate::cli::binary::wasq;
use crate::support::{servers, wat};

#[tokio::test]
async fn what_is_pushed_is_pulled_byte_for_byte_with_its_signature() {
    let dir = tempfile::tempdir().unwrap();
    let to = reference(servers::registry(), "push/bytes:1.2.0");
    let bytes = plugin("receipt", "one");
    fs::write(dir.path().join("pushed.wasm.minisig"), "untrusted comment: x\ny\n").unwrap();
    let pushed = push(dir.path(), &bytes, &to).await;
    wasq(["pull", &to]).dir(&dir).check(0, &["receipt.wasm", &pushed.to_string()]).await;
    assert_eq!(fs::read(dir.path().join("receipt.wasm")).unwrap(), bytes);
    let signature = fs::read_to_string(dir.path().join("receipt.wasm.minisig")).unwrap();
    assert_eq!(signature, "untrusted comment: x\ny\n");
    // By its digest, into another file. The same file is the same artifact.
    wasq(["pull", &pushed.to_string(), "--out", "other.wasm"]).dir(&dir).check(0, &["other.wasm"]).await;
    assert_eq!(fs::read(dir.path().join("other.wasm")).unwrap(), bytes);
    let again = wasq(["push", "pushed.wasm", &to]).dir(&dir).check(0, &[]).await;
    assert_eq!(again.out.trim(), pushed.to_string());
}

#[tokio::test]
async fn another_tool_reads_the_format() {
    let dir = tempfile::tempdir().unwrap();
    let to = reference(servers::registry(), "push/format:1.2.0");
    let bytes = plugin("receipt", "one");
    let pushed = push(dir.path(), &bytes, &to).await;
    let image = to.replace("oci://", "docker://");
    let raw = skopeo(&["inspect", "--tls-verify=false", "--raw", &image]).check(0, &[]).await;
    let manifest: Value = serde_json::from_str(&raw.out).unwrap();
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1, "{manifest}");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["layers"][0]["size"], bytes.len());
    let digest = skopeo(&["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &image]);
    // Of the manifest's bytes, whatever it makes of an artifact that is no image.
    let digest = digest.run().await;
    if digest.code == Some(0) {
        assert_eq!(Some(digest.out.trim()), pushed.digest.as_deref());
    }
    let config = skopeo(&["inspect", "--tls-verify=false", "--config", "--raw", &image]).check(0, &[]).await;
    let config: Value = serde_json::from_str(&config.out).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"][0], manifest["layers"][0]["digest"]);
    let exports = config["component"]["exports"].to_string();
    assert!(exports.contains("wasq:worker/"), "{exports}");
    // Its own copy of the artifact is the same one.
    let copy = format!("oci:{}:x", dir.path().join("copy").display());
    skopeo(&["copy", "--src-tls-verify=false", &image, &copy]).check(0, &[]).await;
    let index = fs::read_to_string(dir.path().join("copy/index.json")).unwrap();
    assert!(index.contains(pushed.digest.as_deref().unwrap()), "{index}");
}

#[tokio::test]
async fn what_cannot_be_pushed_or_pulled_is_said_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    write("bare.wasm", &wat::done());
    write("text.wasm", b"text");
    write("good.wasm", &plugin("good", "one"));
    write("beside.wasm", &plugin("beside", "one"));
    write("beside.toml", b"name = 'beside'\ntypes = ['probe']\n");
    let to = reference(servers::registry(), "push/refused:1");
    let pushes: [(&[&str], &str); 8] = [
        (&["bare.wasm", &to], "wasq pack plugin.toml bare.wasm"),
        (&["text.wasm", &to], "text.wasm: it is no WebAssembly"),
        (&["beside.wasm", &to], "beside.toml stands beside"),
        (&["gone.wasm", &to], "cannot read gone.wasm"),
        (&[".", &to], "several plugins in .: "),
        (&["good.wasm", &format!("{to}@sha256:{}", "0".repeat(64))], "name a tag alone"),
        (&["good.wasm", "oci://127.0.0.1:1/a:1"], "the registry 127.0.0.1:1 does not answer"),
        // Nobody listens there, and no TLS is left out for another machine.
        (&["good.wasm", "oci://registry.invalid/a:1"], "registry.invalid does not answer"),
    ];
    for (arguments, expect) in pushes {
        wasq(["push"].iter().chain(arguments)).dir(&dir).check(1, &[expect]).await;
    }
    wasq(["push", "good.wasm", "registry.example/a:1"]).dir(&dir).check(2, &["begin with oci://"]).await;
    wasq(["pull", &to]).dir(&dir).check(1, &["has no oci://", "wasq push FILE"]).await;
    fs::create_dir(dir.path().join("empty")).unwrap();
    wasq(["push", "empty", &to]).dir(&dir).check(1, &["wasq build empty"]).await;
    // A project that was built has its plugin where `wasq build` puts it.
    let built = dir.path().join("empty/.wasq/plugins");
    fs::create_dir_all(&built).unwrap();
    fs::write(built.join("good.wasm"), pack(&wat::done(), "name = 'good'\ntypes = ['t']\n").unwrap()).unwrap();
    wasq(["push", "empty", &to]).dir(&dir).check(0, &["push/refused:1@sha256:"]).await;
}
