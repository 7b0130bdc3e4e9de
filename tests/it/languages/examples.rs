//! The SDKs' examples: two of the shop's handlers in other languages, by their own tests, and in
//! the shop.

use std::ffi::OsStr;

use super::components::root;
use crate::cli::binary::{client, program, wasq};

#[tokio::test]
async fn they_pass_their_own_tests_and_type_checks() {
    let typescript = root().join("sdk/js/examples/track-analytics");
    program("npm", ["test"]).dir(&typescript).check(0, &["pass 3", "fail 0"]).await;
    program("npm", ["run", "check"]).dir(&typescript).check(0, &[]).await;
    let python = root().join("sdk/python/examples/update-inventory");
    client("python", ["-m", "pytest", "-q", "-p", "no:cacheprovider"]).dir(&python).check(0, &["3 passed"]).await;
    let mypy = ["-m", "mypy", "--no-incremental", "src", "tests"];
    client("python", mypy).dir(&python).check(0, &["no issues"]).await;
}

#[tokio::test]
async fn the_shop_sees_no_difference() {
    let built = wasq_tests::plugin("send-receipt");
    let target = built.ancestors().nth(3).expect("TARGET_DIR/wasm32-wasip2/release/FILE");
    let plugins = root().join("plugins");
    let arguments = ["demo", "--languages", "--orders", "30", "--plugins"].map(OsStr::new);
    let demo = wasq(arguments.into_iter().chain([plugins.as_os_str()])).compiles();
    let demo = demo.env("CARGO_TARGET_DIR", target).env("VIRTUAL_ENV", root().join("tests/clients/.venv"));
    demo.check(
        0,
        &["sdk/js/examples", "sdk/python/examples", "after the replay: the world saw each of", "exactly once"],
    )
    .await;
}
