//! `wasq new` and `wasq build` in each language, and what is said where a tool is missing. The
//! SDKs' own tests are here, too.

use std::path::{Path, PathBuf};

use super::components::root;
use crate::cli::binary::{Wasq, client, program, wasq};

fn clients() -> PathBuf {
    root().join("tests/clients")
}

/// node, in a directory.
fn node(arguments: &[&str], dir: &Path) -> Wasq {
    program("node", arguments).dir(dir)
}

/// A command whose Python is the tests' own.
fn in_venv(command: Wasq) -> Wasq {
    command.env("VIRTUAL_ENV", clients().join(".venv"))
}

/// A project in TypeScript with the tests' own tools, as `npm install` would put them there.
async fn typescript_project(dir: &Path, name: &str) -> PathBuf {
    wasq(["new", name, "--lang", "ts"]).dir(dir).check(0, &["npm install"]).await;
    let project = dir.join(name);
    std::os::unix::fs::symlink(clients().join("node_modules"), project.join("node_modules")).unwrap();
    project
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// Whether the plugin greets, and rejects a body that does not fit.
async fn check_greets(project: &Path, name: &str, hello: &str) {
    let plugin = format!(".wasq/plugins/{name}.wasm");
    let invoke = |body: &str| wasq(["invoke", &plugin, "--body", body]).dir(project);
    invoke(r#"{"name":"Ada"}"#).check(0, &["exit     done", hello]).await;
    invoke(r#"{"name":""}"#).check(1, &["reject", "nobody to greet"]).await;
    invoke(r#"{"name":7}"#).check(1, &["reject", "body: field `name`: expected a string"]).await;
}

#[tokio::test]
async fn a_new_project_in_typescript_passes_its_test_builds_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    let project = typescript_project(dir.path(), "hello-ts").await;
    program("npm", ["test"]).dir(&project).check(0, &["pass 2", "fail 0"]).await;
    program("npm", ["run", "check"]).dir(&project).check(0, &[]).await;
    wasq(["build"]).dir(&project).check(0, &["built", "hello-ts.wasm"]).await;
    check_greets(&project, "hello-ts", "Hello, Ada!").await;
    wasq(["build"]).dir(&project).check(0, &["unchanged", "hello-ts.wasm"]).await;
    // What does not compile leaves what was built.
    let built = std::fs::read(project.join(".wasq/plugins/hello-ts.wasm")).unwrap();
    edit(&project.join("src/handler.ts"), "greeting.name}!`);", "greeting.name}!`;");
    wasq(["build"]).dir(&project).check(1, &["src/handler.ts cannot be bundled", "handler.ts:9", "failed"]).await;
    assert_eq!(std::fs::read(project.join(".wasq/plugins/hello-ts.wasm")).unwrap(), built);
}

#[tokio::test]
async fn a_new_project_in_python_passes_its_test_builds_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    wasq(["new", "hello-py", "--lang", "python"]).dir(&dir).check(0, &["pip install"]).await;
    let project = dir.path().join("hello-py");
    let requirements = std::fs::read_to_string(project.join("requirements.txt")).unwrap();
    assert!(requirements.contains("wasq-sdk[build] @ file:///"), "{requirements}");
    client("python", ["-m", "pytest", "-q"]).dir(&project).check(0, &["2 passed"]).await;
    client("python", ["-m", "mypy", "src", "tests"]).dir(&project).check(0, &["no issues"]).await;
    in_venv(wasq(["build"]).dir(&project)).check(0, &["built", "hello-py.wasm"]).await;
    check_greets(&project, "hello-py", "Hello, Ada!").await;
    in_venv(wasq(["build"]).dir(&project)).check(0, &["unchanged", "hello-py.wasm"]).await;
    edit(&project.join("src/handler.py"), "import logging", "import logging\nimport nobody_has_this");
    let missing = ["no module named nobody_has_this", "pyproject.toml", "failed"];
    in_venv(wasq(["build"]).dir(&project)).check(1, &missing).await;
}

/// Whether the plugin greets, and rejects a body that does not fit, by the statuses of its answers.
async fn check_answers(project: &Path, name: &str) {
    let plugin = format!(".wasq/plugins/{name}.wasm");
    let invoke = |body: &str| wasq(["invoke", &plugin, "--body", body]).dir(project);
    invoke(r#"{"name":"Ada"}"#).check(0, &["exit     done", "Hello, Ada!"]).await;
    invoke(r#"{"name":""}"#).check(1, &["reject", "answered 422", "nobody to greet"]).await;
    invoke(r#"{"name":7}"#).check(1, &["reject", "body: `name` is not a string"]).await;
}

#[tokio::test]
async fn a_new_http_project_in_typescript_passes_its_test_builds_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    wasq(["new", "http-ts", "--lang", "ts", "--template", "http"]).dir(&dir).check(0, &["npm install"]).await;
    let project = dir.path().join("http-ts");
    std::os::unix::fs::symlink(clients().join("node_modules"), project.join("node_modules")).unwrap();
    assert!(!std::fs::read_to_string(project.join("package.json")).unwrap().contains("@wasq/sdk"));
    program("npm", ["test"]).dir(&project).check(0, &["pass 2", "fail 0"]).await;
    program("npm", ["run", "check"]).dir(&project).check(0, &[]).await;
    wasq(["build"]).dir(&project).check(0, &["built", "http-ts.wasm"]).await;
    check_answers(&project, "http-ts").await;
    wasq(["build"]).dir(&project).check(0, &["unchanged", "http-ts.wasm"]).await;
}

#[tokio::test]
async fn a_new_http_project_in_python_passes_its_test_builds_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    wasq(["new", "http-py", "--lang", "python", "--template", "http"]).dir(&dir).check(0, &["pip install"]).await;
    let project = dir.path().join("http-py");
    client("python", ["-m", "pytest", "-q"]).dir(&project).check(0, &["2 passed"]).await;
    client("python", ["-m", "mypy", "src/handler.py", "tests"]).dir(&project).check(0, &["no issues"]).await;
    in_venv(wasq(["build"]).dir(&project)).check(0, &["built", "http-py.wasm"]).await;
    check_answers(&project, "http-py").await;
    in_venv(wasq(["build"]).dir(&project)).check(0, &["unchanged", "http-py.wasm"]).await;
}

#[tokio::test]
async fn a_tool_that_is_missing_is_named_with_the_command_that_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    for lang in ["ts", "python"] {
        wasq(["new", lang, "--lang", lang]).dir(&dir).check(0, &[]).await;
    }
    let build = |lang: &str| wasq(["build", lang]).dir(&dir).env("VIRTUAL_ENV", "");
    build("ts").check(1, &["tools of", "npm install"]).await;
    build("python").check(1, &["tools of", "python3 -m venv .venv", "pip install -r requirements.txt"]).await;
    build("ts").env("PATH", dir.path()).check(1, &["Node 20 or newer is not installed"]).await;
    build("python").env("PATH", dir.path()).check(1, &["Python 3.10 or newer is not installed"]).await;
    wasq(["new", "x", "--lang", "cobol"]).dir(&dir).check(2, &["cobol", "rust, ts, python"]).await;
}

#[tokio::test]
async fn any_command_can_make_the_component() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::write(dir.path().join("source.bin"), crate::support::wat::done()).unwrap();
    let manifest = |command: &str| {
        format!(
            "name = 'made'\ntypes = ['t']\n[build]\ncommand = '{command}'\noutput = 'out/made.wasm'\nwatch = ['source.bin']\n"
        )
    };
    write("plugin.toml", manifest("mkdir -p out && cp source.bin out/made.wasm && echo ran >> runs").as_bytes());
    let build = || wasq(["build"]).dir(&dir);
    build().check(0, &["built", "made.wasm"]).await;
    wasq(["invoke", ".wasq/plugins/made.wasm"]).dir(&dir).check(0, &["exit     done"]).await;
    // Only what it is made from makes it anew.
    write("other.bin", b"x");
    build().check(0, &["unchanged", "made.wasm"]).await;
    assert_eq!(std::fs::read_to_string(dir.path().join("runs")).unwrap(), "ran\n");
    write("plugin.toml", manifest("exit 3").as_bytes());
    build().check(1, &["the build in", "exit status: 3"]).await;
    write("plugin.toml", manifest("rm -f out/made.wasm").as_bytes());
    build().check(1, &["left no component at", "[build] output"]).await;
    write("plugin.toml", manifest("cp plugin.toml out/made.wasm").as_bytes());
    build().check(1, &["made.wasm", "no WebAssembly"]).await;
}

#[tokio::test]
async fn the_sdks_pass_their_own_tests_and_type_checks() {
    let js = root().join("sdk/js");
    node(&["--test", "test/handlers.test.js"], &js).check(0, &["fail 0"]).await;
    let tsc = clients().join("node_modules/typescript/bin/tsc");
    node(&[tsc.to_str().unwrap(), "--project", "handlers/typescript"], &clients()).check(0, &[]).await;
    let python = root().join("sdk/python");
    client("python", ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"])
        .dir(&python)
        .check(0, &["passed"])
        .await;
    let typed = ["wasq", "tests", "../../tests/clients/handlers/python/src"];
    let mypy = ["-m", "mypy", "--no-incremental"].into_iter().chain(typed);
    client("python", mypy).dir(&python).check(0, &["no issues"]).await;
}
