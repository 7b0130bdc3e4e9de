//! `wasq new` and `wasq build`: a project that works as made, outside of the repository.

use std::path::Path;

use super::binary::{cargo, wasq};

/// Makes a handler project. It gets the repository's lock file, so that cargo fetches nothing new.
pub async fn make(dir: &Path, name: &str) {
    wasq(["new", name]).dir(dir).check(0, &[name, "cargo test", "wasq build"]).await;
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, dir.join(name).join("Cargo.lock")).unwrap();
}

/// Changes a project's source.
pub fn edit(project: &Path, from: &str, to: &str) {
    let path = project.join("src/lib.rs");
    let source = std::fs::read_to_string(&path).unwrap();
    assert!(source.contains(from), "{from:?} is not in {source}");
    std::fs::write(&path, source.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_new_project_passes_its_test_builds_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "hello-new").await;
    let project = dir.path().join("hello-new");
    cargo(["test"]).dir(&project).check(0, &["test result: ok. 2 passed"]).await;
    wasq(["build"]).dir(&project).compiles().check(0, &["built", "hello-new.wasm"]).await;
    // Profiles need its functions' names.
    let built = std::fs::read(project.join(".wasq/plugins/hello-new.wasm")).unwrap();
    assert!(built.windows(10).any(|bytes| bytes == b"9hello_new" || bytes == b"$hello_new"), "it has no symbols");
    wasq(["invoke", ".wasq/plugins/hello-new.wasm", "--body", r#"{"name":"Ada"}"#])
        .dir(&project)
        .check(0, &["exit     done", "Hello, Ada!"])
        .await;
    wasq(["invoke", ".wasq/plugins/hello-new.wasm", "--body", r#"{"name":""}"#])
        .dir(&project)
        .check(1, &["reject", "nobody to greet"])
        .await;
}

#[tokio::test]
async fn a_new_http_project_has_no_sdk_passes_its_test_builds_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    wasq(["new", "hello-http", "--template", "http"]).dir(&dir).check(0, &["cargo test", "wasq build"]).await;
    let project = dir.path().join("hello-http");
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, project.join("Cargo.lock")).unwrap();
    assert!(!std::fs::read_to_string(project.join("Cargo.toml")).unwrap().contains("wasq-sdk"));
    cargo(["test"]).dir(&project).check(0, &["test result: ok. 2 passed"]).await;
    wasq(["build"]).dir(&project).compiles().check(0, &["built", "hello-http.wasm"]).await;
    let invoke = |body: &str| wasq(["invoke", ".wasq/plugins/hello-http.wasm", "--body", body]).dir(&project);
    invoke(r#"{"name":"Ada"}"#).check(0, &["exit     done", "Hello, Ada!"]).await;
    invoke(r#"{"name":""}"#).check(1, &["reject", "answered 422", "nobody to greet"]).await;
    invoke(r#"{"name":7}"#).check(1, &["reject", "expected a string"]).await;
    // The manifest is inside, as the SDK's own is.
    std::fs::write(project.join("plugin.toml"), "name = 'hello-http'\ntypes = []\n").unwrap();
    wasq(["build"]).dir(&project).compiles().check(1, &["plugin.toml", "types"]).await;
}

#[tokio::test]
async fn a_bad_name_or_a_directory_that_is_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["Hello", "1st", "../up", "with space", ""] {
        wasq(["new", name]).dir(&dir).check(1, &["a-z"]).await;
    }
    std::fs::create_dir(dir.path().join("there")).unwrap();
    wasq(["new", "there"]).dir(&dir).check(1, &["there already"]).await;
    wasq(["new", "lost", "--sdk", "no/such/sdk"]).dir(&dir).check(1, &["no/such/sdk"]).await;
    assert!(!dir.path().join("lost").exists(), "nothing is left of what failed");
}

#[tokio::test]
async fn build_takes_every_project_and_compiles_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["hello-one", "hello-two"] {
        make(dir.path(), name).await;
    }
    let build = || wasq(["build"]).dir(&dir).compiles();
    let lines = |out: &str| -> Vec<(String, String)> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let file = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        out.lines().map(words).map(|words| (words[0].clone(), file(&words[1]))).collect()
    };
    let pair = |state: &str, file: &str| (state.to_owned(), file.to_owned());

    let first = build().check(0, &[]).await;
    assert_eq!(lines(&first.out), [pair("built", "hello-one.wasm"), pair("built", "hello-two.wasm")]);
    edit(&dir.path().join("hello-two"), "Hello, {}!", "Good day, {}!");
    let second = build().check(0, &[]).await;
    assert_eq!(lines(&second.out), [pair("unchanged", "hello-one.wasm"), pair("built", "hello-two.wasm")]);

    let built = dir.path().join(".wasq/plugins/hello-two.wasm");
    let before = std::fs::read(&built).unwrap();
    edit(&dir.path().join("hello-two"), "Ok(())", "Ok(");
    build().check(1, &["do not compile", "src/lib.rs"]).await;
    assert_eq!(std::fs::read(&built).unwrap(), before, "what was built stays");
}

#[tokio::test]
async fn a_directory_without_a_project_is_said() {
    let dir = tempfile::tempdir().unwrap();
    wasq(["build"]).dir(&dir).check(1, &["no handler project", "wasq new NAME"]).await;
    wasq(["build", "nowhere"]).dir(&dir).check(1, &["nowhere"]).await;
}
