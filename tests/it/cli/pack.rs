//! `wasq pack` and `wasq wit`: what a toolchain without an SDK needs.

use super::binary::wasq;
use crate::support::wat;

#[tokio::test]
async fn a_component_with_its_manifest_inside_is_a_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("x.wasm", &wat::done());
    write("plugin.toml", b"name = 'packed'\ntypes = ['t']\n");
    wasq(["invoke", "x.wasm"]).dir(&dir).check(1, &["no manifest"]).await;
    wasq(["pack", "plugin.toml", "x.wasm", "--out", "y.wasm"]).dir(&dir).check(0, &["y.wasm", "blake3"]).await;
    wasq(["invoke", "x.wasm"]).dir(&dir).check(1, &["no manifest"]).await;
    wasq(["invoke", "y.wasm"]).dir(&dir).check(0, &["exit     done"]).await;
    // In place, and in the place of the one that is there.
    write("plugin.toml", b"name = 'packed'\ntypes = ['u', 'v']\n");
    wasq(["pack", "plugin.toml", "y.wasm"]).dir(&dir).check(0, &["y.wasm"]).await;
    wasq(["invoke", "y.wasm"]).dir(&dir).check(1, &["--type", "u, v"]).await;
}

#[tokio::test]
async fn what_cannot_be_packed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("x.wasm", &wat::done());
    write("text.wasm", b"text");
    write("good.toml", b"name = 'packed'\ntypes = ['t']\n");
    write("bad.toml", b"name = 'packed'\ntypes = []\n");
    wasq(["pack", "good.toml", "text.wasm"]).dir(&dir).check(1, &["text.wasm", "no WebAssembly"]).await;
    wasq(["pack", "bad.toml", "x.wasm"]).dir(&dir).check(1, &["types", "at least one"]).await;
    wasq(["pack", "gone.toml", "x.wasm"]).dir(&dir).check(1, &["gone.toml"]).await;
}

#[tokio::test]
async fn the_contract_is_printed_or_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    wasq(["wit"]).check(0, &["package wasq:worker@0.2.0;", "world worker-http"]).await;
    wasq(["wit", "--out", "wit"]).dir(&dir).check(0, &["wit/worker.wit", "wit/deps/wasi-http.wit"]).await;
    // Each SDK is built from that very package, so it needs nothing that is not in it.
    for name in ["worker.wit", "deps/wasi-cli.wit", "deps/wasi-http.wit", "deps/wasi-io.wit"] {
        let written = std::fs::read_to_string(dir.path().join("wit").join(name)).unwrap();
        assert_eq!(written, std::fs::read_to_string(root().join("wit").join(name)).unwrap());
    }
    let files = root().join("wit").read_dir().unwrap().chain(root().join("wit/deps").read_dir().unwrap());
    assert_eq!(files.filter(|entry| entry.as_ref().unwrap().path().is_file()).count(), 4, "one is not written");
}

fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
