//! The handlers of docs/use/other-languages.md: the page has the files that are built here.

use std::path::{Path, PathBuf};

use super::components::root;
use crate::cli::binary::{Wasq, program, wasq};

/// A copy of a project in tests/clients/handlers, with the tests' own tools.
fn project(dir: &Path, language: &str) -> PathBuf {
    let from = root().join("tests/clients/handlers").join(language);
    let project = dir.join(language);
    std::fs::create_dir(&project).unwrap();
    for entry in from.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, project.join(path.file_name().unwrap())).unwrap();
        }
    }
    std::os::unix::fs::symlink(root().join("tests/clients/node_modules"), project.join("node_modules")).unwrap();
    project
}

/// A command with the tools, and with the binary that is tested, in PATH.
fn with_tools(command: Wasq) -> Wasq {
    let tools = root().join("tests/clients/.tools/bin");
    assert!(tools.join("wit-bindgen").exists(), "wit-bindgen is not set up: run `bash tests/clients/setup.sh` first");
    let own = Path::new(env!("CARGO_BIN_EXE_wasq")).parent().unwrap();
    let (venv, path) = (root().join("tests/clients/.venv/bin"), std::env::var("PATH").unwrap());
    let path = format!("{}:{}:{}:{path}", tools.display(), own.display(), venv.display());
    // Go takes no other toolchain, fetches nothing, and keeps what it has compiled.
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    command.env("PATH", path).env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOCACHE", kept)
}

#[tokio::test]
async fn the_documents_handler_in_c_builds_greets_and_rejects() {
    let dir = tempfile::tempdir().unwrap();
    let project = project(dir.path(), "c");
    with_tools(wasq(["build"]).dir(&project)).check(0, &["built", "hello-c.wasm"]).await;
    let invoke = |body: &str| wasq(["invoke", ".wasq/plugins/hello-c.wasm", "--body", body]).dir(&project);
    invoke(r#"{"name":"Ada"}"#).check(0, &["exit     done", "Hello, Ada!"]).await;
    invoke(r#"{"name":7}"#).check(1, &["reject", "body: no `name`"]).await;
    with_tools(wasq(["build"]).dir(&project)).check(0, &["unchanged", "hello-c.wasm"]).await;
}

#[tokio::test]
async fn the_documents_handler_in_go_builds_greets_and_rejects() {
    let dir = tempfile::tempdir().unwrap();
    let project = project(dir.path(), "go");
    with_tools(program("make", ["gen/go.mod"]).dir(&project)).check(0, &["wit_exports.go"]).await;
    // In the place of what Go would fetch.
    let module = format!("go.bytecodealliance.org/pkg={}", root().join("tests/clients/.tools/go").display());
    with_tools(program("go", ["mod", "edit", "-replace", &module]).dir(project.join("gen"))).check(0, &[]).await;
    with_tools(wasq(["build"]).dir(&project)).check(0, &["built", "hello-go.wasm"]).await;
    let invoke = |body: &str| wasq(["invoke", ".wasq/plugins/hello-go.wasm", "--body", body]).dir(&project);
    invoke(r#"{"name":"Ada"}"#).check(0, &["exit     done", "Hello, Ada!"]).await;
    invoke(r#"{"name":""}"#).check(1, &["reject", "nobody to greet"]).await;
    invoke(r#"{"name":7}"#).check(1, &["reject", "body: json: cannot unmarshal number"]).await;
}

#[test]
fn the_document_shows_the_files_of_its_handlers() {
    let page = std::fs::read_to_string(root().join("docs/use/other-languages.md")).unwrap();
    for (language, file, fence) in
        [("c", "handler.c", "c"), ("c", "Makefile", "make"), ("go", "handler.go", "go"), ("go", "Makefile", "make")]
    {
        let path = root().join("tests/clients/handlers").join(language).join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = format!("```{fence}\n{text}```\n");
        assert!(page.contains(&shown), "docs/use/other-languages.md does not have {} as it is", path.display());
    }
}
