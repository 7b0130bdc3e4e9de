//! What compiles handlers on a machine whose toolchain has no Wasm target.

use std::path::Path;

use super::binary::{script, wasq};
use super::new::make;

#[tokio::test]
async fn without_the_target_and_a_network_one_line_says_what_to_run_before_anything_is_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("toolchains/1.95.0-here/lib/rustlib/wasm32-wasip2/lib");
    script(&dir.path().join("rustc"), &format!("echo {}", library.display()));
    script(&dir.path().join("rustup"), "echo 'error: could not download file' >&2; exit 1");
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let target = dir.path().join("target");
    let handlers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let handlers = handlers.to_str().unwrap();

    make(dir.path(), "hello").await;
    for arguments in [&["demo", "--plugins", handlers][..], &["build", "hello"], &["dev", "hello"]] {
        let ran = wasq(arguments).dir(&dir).env("PATH", &path).env("CARGO_TARGET_DIR", &target).env("RUSTC", "rustc");
        let ran = ran.env("RUSTUP_TOOLCHAIN", "1.95.0-here");
        let run = "`rustup target add --toolchain 1.95.0-here wasm32-wasip2`";
        let ran = ran.check(1, &["adding the Rust target", "(could not download file)", run]).await;
        assert_eq!(ran.err.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", ran.err);
        assert!(!target.exists(), "{arguments:?}: nothing is compiled in vain");
        assert!(!dir.path().join("hello/.wasq/plugins").exists(), "{arguments:?}: nothing is left behind");
    }
}
