//! The linters' word on all that is in `deploy/`, and what no linter knows.

use super::{path, read};
use crate::cli::binary::{client, program};

#[test]
fn the_image_is_labelled_with_the_packages_version() {
    let version = format!("\nARG VERSION={}\n", env!("CARGO_PKG_VERSION"));
    assert!(read("deploy/Dockerfile").contains(&version), "the Dockerfile should have {version}");
}

#[tokio::test]
async fn the_template_is_clean_under_cfn_lint() {
    client("cfn-lint", ["--", &path("deploy/cloudformation.yaml")]).check(0, &[]).await;
}

/// What is passed over stands with its reason beside the resource.
#[tokio::test]
async fn the_template_the_module_the_manifests_and_the_image_are_clean_under_checkov() {
    let checkov = path("tests/clients/.checkov/bin/checkov");
    assert!(std::path::Path::new(&checkov).exists(), "checkov is not set up: run `bash tests/clients/setup.sh` first");
    let frameworks = ["cloudformation", "kubernetes", "dockerfile", "terraform"];
    let arguments =
        ["--directory", "deploy", "--skip-download", "--quiet", "--compact", "--output", "json", "--framework"];
    let report = program(checkov, arguments.iter().chain(&frameworks)).dir(path("")).check(0, &[]).await.json();
    let seen = report.as_array().unwrap().iter();
    let seen: std::collections::BTreeSet<_> = seen.map(|report| report["check_type"].as_str().unwrap()).collect();
    assert_eq!(seen, frameworks.into(), "{report}");
}
