//! The `wasq` binary as a process: run to its end, or left running while a test looks on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How long a command may take that compiles nothing, on a machine that is busy with other tests.
const QUICK: Duration = Duration::from_secs(180);
/// How long one may take that compiles handlers with their dependencies.
const COMPILES: Duration = Duration::from_secs(15 * 60);

/// How often a running command's output is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// `wasq` with arguments, in an environment without AWS settings of whoever runs the tests.
pub struct Wasq {
    command: Command,
    limit: Duration,
    input: Option<String>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A command that runs. It is killed when this is dropped.
pub struct Running {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

pub fn wasq<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Wasq {
    Wasq::of(env!("CARGO_BIN_EXE_wasq").as_ref()).args(arguments)
}

/// Any other program, looked at in the same way.
pub fn program<A: AsRef<OsStr>>(program: impl AsRef<Path>, arguments: impl IntoIterator<Item = A>) -> Wasq {
    Wasq::of(program.as_ref()).args(arguments)
}

/// Makes a program of shell commands. Another process writes the file: a child of this one, started
/// meanwhile by another test, would have it open for writing, and the system runs no such program
/// ("text file busy").
pub fn script(path: &Path, commands: &str) {
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
    let ended = std::process::Command::new("sh").args(["-c", write]).arg(path).arg(commands).status();
    assert!(ended.is_ok_and(|status| status.success()), "{} is not written", path.display());
}

/// cargo, as `wasq build` calls it.
pub fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Wasq {
    program(std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from), arguments).compiles()
}

/// A program of the virtual environment that the set-up makes for the tests.
pub fn client<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Wasq {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/.venv/bin").join(name);
    assert!(path.exists(), "{name} is not set up: run `bash tests/clients/setup.sh` first");
    program(path, arguments)
}

impl Wasq {
    fn of(program: &Path) -> Self {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["AWS_", "WASQ_", "OTEL_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        // Nor what they keep in files, nor what a cloud machine would be given.
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        // Compiled code is kept for all tests, and not in the directory of whoever runs them.
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("NO_COLOR", "1").kill_on_drop(true);
        Self { command, limit: QUICK, input: None }
    }

    fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn input(self, text: &str) -> Self {
        Self { input: Some(text.to_owned()), ..self }
    }

    /// It compiles handlers: with a target directory that all such tests share, and with time
    /// enough.
    pub fn compiles(mut self) -> Self {
        self.command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("handlers"));
        self.limit = COMPILES;
        self
    }

    /// Runs it to its end, which it must come to by itself.
    pub async fn run(mut self) -> Ran {
        let input = self.input.take().unwrap_or_default();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A command that reads no input may have ended before it is written.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended = tokio::time::timeout(self.limit, child.wait_with_output()).await;
        let output = ended.unwrap_or_else(|_| panic!("{:?} did not end in {:?}", self.command, self.limit)).unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it, checks its exit code, and that what it prints has these parts.
    pub async fn check(self, code: i32, parts: &[&str]) -> Ran {
        let shown = format!("{:?}", self.command.as_std().get_args().collect::<Vec<_>>());
        let ran = self.run().await;
        assert_eq!(ran.code, Some(code), "exit code of {shown}: {ran:#?}");
        for part in parts {
            assert!(ran.says(part), "{shown} does not say {part:?}:\n{}\n{}", ran.out, ran.err);
        }
        ran
    }

    /// Starts it and leaves it running.
    pub fn spawn(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let readers = vec![tokio::spawn(read(out, log.clone())), tokio::spawn(read(err, log.clone()))];
        Running { child, log, readers }
    }
}

impl Ran {
    pub fn says(&self, part: &str) -> bool {
        self.out.contains(part) || self.err.contains(part)
    }

    /// What it printed, as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.out))
    }
}

impl Running {
    /// Waits for a line of its output that has this part. It must come within a minute.
    pub async fn line(&self, part: &str) -> String {
        let deadline = wasq_core::clock::now() + QUICK;
        loop {
            if let Some(line) = self.find(part, 1) {
                return line;
            }
            assert!(wasq_core::clock::now() < deadline, "no line with {part:?} in\n{}", self.shown());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for the `count`th line that has this part and comes after a build.
    pub async fn line_after_build(&mut self, part: &str, count: usize) -> String {
        let deadline = wasq_core::clock::now() + COMPILES;
        loop {
            if let Some(line) = self.find(part, count) {
                return line;
            }
            assert!(wasq_core::clock::now() < deadline, "no line with {part:?} in\n{}", self.shown());
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} before a line with {part:?} came:\n{}", self.shown());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The `count`th line with this part, counted from 1.
    fn find(&self, part: &str, count: usize) -> Option<String> {
        self.log.lock().unwrap().iter().filter(|line| line.contains(part)).nth(count - 1).cloned()
    }

    /// All of its output until now.
    pub fn shown(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends it a signal, as `kill` names it.
    pub async fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Its exit code, once it ends by itself; it must within `limit`.
    pub async fn ends_within(mut self, limit: Duration) -> Option<i32> {
        let Ok(status) = tokio::time::timeout(limit, self.child.wait()).await else {
            panic!("it did not end in {limit:?}:\n{}", self.shown());
        };
        for reader in self.readers {
            reader.await.unwrap();
        }
        status.unwrap().code()
    }
}

async fn read(stream: impl AsyncRead + Unpin, log: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.lock().unwrap().push(line);
    }
}
