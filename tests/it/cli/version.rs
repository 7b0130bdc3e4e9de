//! `wasq --version`: which commit and which parts; and the build script that knows the commit.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::binary::wasq;

fn host() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What git prints; none where it fails.
fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(dir).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[tokio::test]
async fn the_version_names_the_commit_and_what_was_built_in() {
    let ran = wasq(["--version"]).check(0, &[]).await;
    let lines: Vec<_> = ran.out.lines().collect();
    let version = env!("CARGO_PKG_VERSION");
    match git(&host(), &["rev-parse", "HEAD"]) {
        Some(commit) => {
            assert!(lines[0].starts_with(&format!("wasq {version} (commit {}", &commit[..12])), "{lines:?}")
        }
        None => assert_eq!(lines[0], format!("wasq {version} (commit unknown: not built in a clone)")),
    }
    // Tests are built with every feature.
    assert_eq!(lines[1], "brokers:  sqs, rabbitmq, redis, kafka");
    assert_eq!(lines[2], "secrets:  env, file, secretsmanager, ssm");
    assert!(lines[3].starts_with("contract: wasq:worker@0."), "{lines:?}");
    assert!(lines[4].starts_with("target:   ") && lines[4].contains("linux"), "{lines:?}");

    let short = wasq(["-V"]).check(0, &[]).await;
    assert_eq!(short.out, format!("wasq {version}\n"));
}

/// The host's build script, compiled by itself, with a directory that stands for the repository.
struct Script {
    dir: TempDir,
}

impl Script {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("repository");
        std::fs::create_dir_all(repository.join("host")).unwrap();
        std::fs::create_dir_all(repository.join("docs")).unwrap();
        for file in ["host/build.rs", "docs/page.md", "Cargo.toml"] {
            std::fs::write(repository.join(file), "as committed").unwrap();
        }
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let compiled = Command::new(rustc)
            .args(["--edition", "2024", "-o"])
            .arg(dir.path().join("script"))
            .arg(host().join("build.rs"))
            .status();
        assert!(compiled.is_ok_and(|status| status.success()), "the build script does not compile");
        Self { dir }
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    fn commit(&self) -> String {
        for arguments in [&["init", "--quiet"][..], &["add", "."], &["commit", "--quiet", "--message", "all"]] {
            git(&self.repository(), arguments).expect("git works");
        }
        git(&self.repository(), &["rev-parse", "HEAD"]).expect("there is a commit")
    }

    /// What it says, as cargo reads it.
    fn run(&self, variables: &[(&str, &str)]) -> Vec<String> {
        let mut script = Command::new(self.dir.path().join("script"));
        script.env_remove("WASQ_COMMIT").env_remove("WASQ_DIST").env("TARGET", "some-target");
        script.env("CARGO_MANIFEST_DIR", self.repository().join("host")).current_dir(self.repository().join("host"));
        let output = script.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn said(&self, variables: &[(&str, &str)]) -> String {
        let said = self.run(variables);
        let line = said.iter().find_map(|line| line.strip_prefix("cargo::rustc-env=BUILT_FROM_COMMIT="));
        line.expect("it says the commit, or that there is none").to_owned()
    }
}

#[test]
fn a_build_in_a_clone_knows_its_commit_and_whether_its_sources_differ() {
    let script = Script::new();
    let commit = script.commit()[..12].to_owned();
    assert_eq!(script.said(&[]), commit);
    std::fs::write(script.repository().join("docs/page.md"), "changed").unwrap();
    assert_eq!(script.said(&[]), commit, "a page is no part of the binary");
    std::fs::write(script.repository().join("host/new.rs"), "changed").unwrap();
    assert_eq!(script.said(&[]), format!("{commit}-dirty"));
}

#[test]
fn a_build_without_a_clone_knows_what_it_is_told() {
    let script = Script::new();
    assert_eq!(script.said(&[]), "", "a tarball has no commit");
    assert_eq!(script.said(&[("WASQ_COMMIT", "0123456789abcdef")]), "0123456789abcdef");
    assert_eq!(script.said(&[("WASQ_COMMIT", "unknown")]), "", "that is no commit");
    assert_eq!(script.said(&[("WASQ_COMMIT", "abc\ncargo::rustc-env=A=b")]), "");
    let packed =
        r#"{ "git": { "sha1": "00112233445566778899aabbccddeeff00112233", "dirty": true }, "path_in_vcs": "host" }"#;
    std::fs::write(script.repository().join("host/.cargo_vcs_info.json"), packed).unwrap();
    assert_eq!(script.said(&[]), "001122334455-dirty");
}

#[test]
fn a_clone_of_somebody_else_around_a_tarball_is_not_ours() {
    let script = Script::new();
    let outside = script.dir.path();
    std::fs::write(outside.join("theirs"), "a file").unwrap();
    for arguments in [&["init", "--quiet"][..], &["add", "theirs"], &["commit", "--quiet", "--message", "theirs"]] {
        git(outside, arguments).expect("git works");
    }
    assert_eq!(script.said(&[]), "");
}

#[test]
fn cargo_runs_the_script_again_after_a_change_alone() {
    let script = Script::new();
    script.commit();
    let watched = |script: &Script| -> Vec<PathBuf> {
        let said = script.run(&[]);
        let paths = said.iter().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="));
        paths.map(|path| script.repository().join("host").join(path)).collect()
    };
    let before = watched(&script);
    // A file that is not there would have cargo run the script every time.
    assert!(before.iter().all(|path| path.exists()), "{before:?}");
    let modified =
        |paths: &[PathBuf]| -> Vec<_> { paths.iter().map(|path| std::fs::read(path).unwrap_or_default()).collect() };
    let contents = modified(&before);
    git(&script.repository(), &["commit", "--quiet", "--allow-empty", "--message", "next"]).expect("git works");
    assert_ne!(contents, modified(&before), "a commit changes one of them");
}

#[test]
fn a_binary_that_is_given_away_has_no_path_of_the_machine_that_built_it() {
    let script = Script::new();
    let directory = |variables: &[(&str, &str)]| {
        let said = script.run(variables);
        let line = said.iter().find_map(|line| line.strip_prefix("cargo::rustc-env=BUILT_FROM_DIRECTORY="));
        line.expect("it says the directory").to_owned()
    };
    assert_eq!(directory(&[]), script.repository().join("host").display().to_string());
    assert_eq!(directory(&[("WASQ_DIST", "1")]), "");
}
