//! The local queue, as clients that are not ours see it: boto3, the aws cli, the AWS SDK for
//! JavaScript, sqs-consumer.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;
use wasq_local_sqs::{LocalSqs, Options};

/// How long a client's script may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients")
}

/// A tool that the set-up script installs; its absence fails the test.
fn installed(path: &str) -> PathBuf {
    let path = clients().join(path);
    let setup = clients().join("setup.sh");
    assert!(path.exists(), "{} is missing: run {} once", path.display(), setup.display());
    path
}

/// Runs a client's script against a local queue of its own.
async fn check(program: impl AsRef<Path>, arguments: &[&Path]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sqs = LocalSqs::start(Options::new(dir.path()).port(0)).await.expect("the local queue starts");
    let program = program.as_ref();
    let child = Command::new(program)
        .args(arguments)
        .arg(sqs.endpoint_url())
        .current_dir(clients())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, child).await;
    let output = output.unwrap_or_else(|_| panic!("{} is not done after {PATIENCE:?}", program.display()));
    let output = output.unwrap_or_else(|error| {
        panic!("{} does not run ({error}): install it, then run {}/setup.sh", program.display(), clients().display())
    });
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}\n{}\n{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    sqs.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3() {
    check(installed(".venv/bin/python"), &[Path::new("boto3_client.py")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_cli() {
    check(clients().join("aws_cli.sh"), &[&installed(".venv/bin/aws")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_sdk_for_javascript_and_sqs_consumer() {
    installed("node_modules/.installed");
    check("node", &[Path::new("js_client.mjs")]).await;
}
