//! A test that runs itself once more as a child process, which can be killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Set for the child: the directory it works in.
pub const CHILD_DIR: &str = "WASQ_TEST_LEDGER_DIR";

/// A child process of a test: the test itself once more, with [`CHILD_DIR`] set.
pub struct Again {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

/// Lines between a child and its parent start so, which tells them from the test harness's own.
const MARK: &str = "child: ";

pub fn run_again(test: &str, dir: &Path) -> Again {
    let this = std::env::current_exe().expect("a running program has a path");
    // The signal that a write past the limit raises is ignored, and so it stays after exec.
    let mut child = Command::new("bash")
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(this)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash starts the test once more");
    let said = BufReader::new(child.stdout.take().expect("it is piped"));
    Again { child, said }
}

impl Again {
    pub fn next_line(&mut self) -> String {
        for line in self.said.by_ref().lines() {
            let line = line.expect("the child's lines are UTF-8");
            if let Some((_, said)) = line.split_once(MARK) {
                return said.to_owned();
            }
        }
        panic!("the child ended: {:?}", self.child.wait());
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("it is piped"), "{line}").expect("the child listens");
    }

    /// Sets how many bytes its files may have (`RLIMIT_FSIZE`).
    pub fn limit_files(&self, bytes: &str) {
        let status = Command::new("prlimit")
            .args([format!("--pid={}", self.child.id()), format!("--fsize={bytes}:unlimited")])
            .status()
            .expect("prlimit (of util-linux) is needed to fill a disk in a test");
        assert!(status.success(), "prlimit: {status}");
    }

    /// Kills it and gives the whole lines that it had said before.
    pub fn kill_9(mut self) -> Vec<String> {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).expect("the child's lines are UTF-8");
        let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(|line| line.split_once(MARK)).map(|(_, said)| said.to_owned()).collect()
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        // A failed test must not leave its child behind; one that has ended already cannot be
        // killed, and need not be.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{MARK}{line}").and_then(|()| out.flush()).expect("the parent listens");
}

pub fn hear(expected: &str) {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent speaks");
    assert_eq!(line.trim(), expected);
}
