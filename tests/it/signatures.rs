//! Signed plugins: what minisign itself has signed is loaded, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wasq::config::SignerKey;

use crate::cli::binary::{program, wasq};
use crate::support::{Plugin, Rig, Setup, until, wat};

/// A key pair in a directory of its own.
pub struct Key {
    dir: TempDir,
}

impl Key {
    pub async fn new() -> Self {
        let key = Self { dir: tempfile::tempdir().unwrap() };
        let [public, secret] = ["key.pub", "key"].map(|name| key.dir.path().join(name));
        minisign(["-G".as_ref(), "-W".as_ref(), "-p".as_ref(), public.as_os_str(), "-s".as_ref(), secret.as_os_str()])
            .await;
        key
    }

    /// As the config has it.
    fn line(&self) -> String {
        fs::read_to_string(self.dir.path().join("key.pub")).unwrap().lines().nth(1).unwrap().to_owned()
    }

    pub fn public(&self) -> SignerKey {
        self.line().try_into().unwrap()
    }

    /// Puts a signature beside the file.
    pub async fn sign(&self, file: &Path) {
        self.sign_as(file, &[]).await;
    }

    async fn sign_as(&self, file: &Path, options: &[&str]) {
        let secret = self.dir.path().join("key");
        let fixed = ["-S".as_ref(), "-s".as_ref(), secret.as_os_str(), "-m".as_ref(), file.as_os_str()];
        minisign(fixed.into_iter().chain(options.iter().map(AsRef::as_ref))).await;
    }
}

async fn minisign<'a>(arguments: impl IntoIterator<Item = &'a std::ffi::OsStr>) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join("minisign").exists());
    assert!(found, "minisign is not installed: run `bash tests/clients/setup.sh` first");
    program("minisign", arguments).check(0, &[]).await;
}

/// A host that takes what `key` has signed, and its only plugin's two files: `probe.wasm` and
/// `probe.toml`.
async fn rig(key: &Key) -> (Rig, [PathBuf; 2]) {
    let public = key.public();
    let setup = Setup::new().plugin(Plugin::component("probe", wat::done())).config(|config| {
        config.plugins_signed_by = Some(vec![public]);
    });
    let rig = setup.without_host().await;
    let files = ["probe.wasm", "probe.toml"].map(|name| rig.plugins_dir().join(name));
    let text = fs::read_to_string(&files[1]).unwrap();
    fs::write(&files[1], format!("component_blake3 = \"{}\"\n{text}", blake3::hash(&wat::done()).to_hex())).unwrap();
    (rig, files)
}

/// Why nothing is loaded.
async fn refused(rig: &Rig) -> String {
    let answer = rig.admin("/plugins").await;
    assert_eq!(answer["plugins"].as_array().unwrap().len(), 0, "{answer}");
    answer["failures"][0]["reason"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_loaded_once_each_of_its_files_is_signed() {
    let key = Key::new().await;
    let (mut rig, [component, manifest]) = rig(&key).await;
    rig.start_host().await;
    let reason = refused(&rig).await;
    assert!(reason.contains("probe.wasm.minisig") && reason.contains("minisign -S -m"), "{reason}");
    key.sign(&component).await;
    until("the signature is seen", || async { refused(&rig).await.contains("probe.toml.minisig") }).await;
    key.sign(&manifest).await;
    until("the plugin is loaded", || async { rig.ready().await.0 == 200 }).await;
    rig.message("x").send().await;
    rig.until_exits("done", 1).await;

    // Signed or not, a version that cannot be taken leaves the one before it serving.
    fs::write(&component, [wat::done(), vec![0, 2, 1, b'x']].concat()).unwrap();
    let catalog = rig.host().reload_plugins().await.unwrap();
    assert!(catalog.failures()[0].reason.contains("changed or replaced"), "{:?}", catalog.failures());
    assert_eq!(catalog.failures()[0].still_serving.as_ref().unwrap(), blake3::hash(&wat::done()).to_hex().as_str());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_trusted_key_has_signed_as_it_is_is_refused_and_named() {
    let (key, stranger) = (Key::new().await, Key::new().await);
    let (mut rig, [component, manifest]) = rig(&key).await;
    let signature = component.with_extension("wasm.minisig");
    key.sign(&manifest).await;
    rig.start_host().await;
    let check = async |expect: &str| {
        rig.host().reload_plugins().await.unwrap();
        let reason = refused(&rig).await;
        assert!(reason.contains(expect) && reason.contains("probe.wasm.minisig"), "{reason} has no {expect:?}");
    };
    check("plugins_signed_by").await;
    stranger.sign(&component).await;
    check("none of the keys").await;
    fs::write(&signature, "not a signature").unwrap();
    check("no signature of minisign's").await;
    fs::write(&signature, vec![b'x'; 1 << 20]).unwrap();
    check("no signature of minisign's").await;
    key.sign_as(&component, &["-l"]).await;
    check("old kind").await;

    // The signature is a good one, of another file.
    key.sign_as(&manifest, &["-x", signature.to_str().unwrap()]).await;
    check("changed or replaced").await;
    key.sign(&component).await;
    let whole = fs::read(&component).unwrap();
    fs::write(&component, [&whole[..], &[0, 2, 1, b'x']].concat()).unwrap();
    check("changed or replaced").await;
    // The file is the signed one again, and now its signature's words are another's.
    fs::write(&component, &whole).unwrap();
    let text = fs::read_to_string(&signature).unwrap();
    fs::write(&signature, text.replace("trusted comment: timestamp", "trusted comment: Timestamp")).unwrap();
    check("changed or replaced").await;
    fs::write(&signature, text).unwrap();
    assert!(rig.host().reload_plugins().await.unwrap().failures().is_empty());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_manifest_beside_another_signed_component_is_refused() {
    let key = Key::new().await;
    let (mut rig, [component, manifest]) = rig(&key).await;
    // Of another plugin of the same releaser, with its good signature.
    let other = [wat::done(), vec![0, 2, 1, b'x']].concat();
    let write = async |file: &Path, bytes: &[u8]| {
        fs::write(file, bytes).unwrap();
        key.sign(file).await;
    };
    let naming_one = fs::read_to_string(&manifest).unwrap();
    let naming_none = naming_one.split_once('\n').unwrap().1;
    rig.start_host().await;
    let check = async |expect: &str| {
        rig.host().reload_plugins().await.unwrap();
        let reason = refused(&rig).await;
        assert!(reason.contains(expect) && reason.contains("probe.toml"), "{reason} has no {expect:?}");
    };
    key.sign(&component).await;
    write(&manifest, naming_none.as_bytes()).await;
    check(&format!("component_blake3 = \"{}\"", blake3::hash(&wat::done()).to_hex())).await;
    write(&component, &other).await;
    write(&manifest, naming_one.as_bytes()).await;
    check("another component's manifest").await;
    write(&component, &wat::done()).await;
    assert!(rig.host().reload_plugins().await.unwrap().failures().is_empty());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_and_a_signature_must_both_hold() {
    let key = Key::new().await;
    let (mut rig, files) = rig(&key).await;
    for file in &files {
        key.sign(file).await;
    }
    let pin = |digest: String| wasq::config::PluginConfig { blake3: Some(digest), ..Default::default() };
    rig.config.plugins.insert("probe".into(), pin("00".repeat(32)));
    rig.start_host().await;
    assert!(refused(&rig).await.contains("the config pins"));
    rig.stop_host().await;
    rig.config.plugins.insert("probe".into(), pin(blake3::hash(&wat::done()).to_hex().to_string()));
    rig.start_host().await;
    assert_eq!(rig.ready().await.0, 200);
    rig.stop_host().await;
    fs::remove_file(files[0].with_extension("wasm.minisig")).unwrap();
    rig.start_host().await;
    assert!(refused(&rig).await.contains("probe.wasm.minisig"));
    rig.end().await;
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("plugins")).unwrap();
    let key = Key::new().await.line();
    let check = async |value: String, code: i32, parts: &[&str]| {
        fs::write(dir.path().join("wasq.toml"), format!("plugins_signed_by = {value}\n[queues.jobs]\n")).unwrap();
        wasq(["check"]).dir(&dir).check(code, parts).await
    };
    check("['RWQ']".into(), 1, &["line 1", "`RWQ` is no minisign public key", "minisign.pub"]).await;
    check("[]".into(), 1, &["`plugins_signed_by`", "leave it out"]).await;
    let ran = check(format!("['{key}']"), 1, &["no plugin in it"]).await;
    assert!(!ran.says("public key"), "{ran:?}");
}
