//! Processes that end with this one, and signals to them and their children.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::{LOOK, READY_MAX};

/// What to say when a program is missing.
const INSTALL: &str = "install it: apt-get install redis-server postgresql rabbitmq-server docker-registry util-linux (or bash tests/clients/setup.sh)";

/// How long a server may take to end in good order.
const END_MAX: Duration = Duration::from_secs(5);

/// What stays behind to end a server when the process that started it is gone, however it went. Its
/// standard input closes then; a line on it says that the server has ended in good order. It takes
/// the server's id, the signal that it ends at, and its directory.
const GUARD: &str = r#"
trap '' INT TERM HUP
if read -r _; then exit; fi
kill -CONT "$1"; kill -"$2" "$1"
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 0.2; done
kill -KILL "$1"
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$3" && break; sleep 0.2; done
"#;

/// A server's process. It and its children are ended when this is dropped.
pub struct Process {
    child: Child,
    guard: Child,
    ends_at: Signal,
}

/// The user that a server runs as: PostgreSQL refuses to be root.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// A directory that the servers' user owns.
pub fn directory() -> Result<TempDir> {
    let dir = TempDir::with_prefix("wasq-server-")?;
    if let Some(User { uid, gid }) = user()? {
        chown(dir.path(), Some(uid), Some(gid))
            .with_context(|| format!("cannot give {} away", dir.path().display()))?;
    }
    Ok(dir)
}

/// Finds a program in PATH, or in one of these directories.
pub fn find(program: &str, beside: &[PathBuf]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(beside.iter().cloned())
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("`{program}` is not there; {INSTALL}"))
}

/// A command that runs as the servers' user.
pub fn command<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Result<Command> {
    let mut command = match user()? {
        None => Command::new(program),
        Some(User { uid, gid }) => {
            let mut command = Command::new(find("setpriv", &["/usr/bin".into()])?);
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]).arg(program);
            command
        }
    };
    command.args(arguments).stdin(Stdio::null()).env("LC_ALL", "C");
    Ok(command)
}

impl Process {
    /// Starts `command` in `dir`, with its output in the file `log`. It ends in good order at the
    /// signal `ends_at`.
    pub fn spawn(mut command: Command, dir: &Path, log: &Path, ends_at: Signal) -> Result<Self> {
        let out = File::create(log)?;
        command.stdout(out.try_clone()?).stderr(out).current_dir(dir);
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}; {INSTALL}"))?;
        let signal = if ends_at == Signal::QUIT { "QUIT" } else { "TERM" };
        let mut guard = Command::new("setsid");
        guard.args(["sh", "-c", GUARD, "guard", &child.id().to_string(), signal]).arg(dir);
        let guard = guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        match guard {
            Ok(guard) => Ok(Self { child, guard, ends_at }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error).context(format!("cannot start setsid; {INSTALL}"))
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// It stands still when this returns: on a busy machine that takes a moment.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let stopped = within(READY_MAX, || Ok(self.family()?.into_iter().all(stands_still)))?;
        ensure!(stopped, "a process of {} does not stop", self.id());
        Ok(())
    }

    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    pub fn kill(&mut self) -> Result<()> {
        if !self.runs()? {
            return Ok(());
        }
        self.stop()?;
        let family = self.family()?;
        self.signal(Signal::KILL)?;
        self.child.wait()?;
        let gone = within(READY_MAX, || {
            let living = parents()?;
            Ok(!family.iter().any(|pid| living.contains_key(pid)))
        })?;
        ensure!(gone, "a process of {family:?} does not end");
        Ok(())
    }

    /// Ends it in good order, or kills it.
    fn end(&mut self) -> Result<()> {
        if self.runs()? {
            self.cont()?;
            send(self.id(), self.ends_at)?;
            if !within(END_MAX, || Ok(!self.runs()?))? {
                self.kill()?;
            }
        }
        let mut guard = self.guard.stdin.take().context("the guard listens until now")?;
        guard.write_all(b"ended\n").context("the guard listens")?;
        self.guard.wait()?;
        Ok(())
    }

    /// Sends it to the parent first: one that is stopped starts no more children.
    fn signal(&self, signal: Signal) -> Result<()> {
        // Looked up before: when the parent is gone, they are children of somebody else.
        let before = self.family()?;
        send(self.id(), signal)?;
        let children: HashSet<u32> = before.into_iter().chain(self.family()?).filter(|&pid| pid != self.id()).collect();
        for child in children {
            // It may have ended by itself.
            drop(send(child, signal));
        }
        Ok(())
    }

    /// The process and its children.
    fn family(&self) -> Result<Vec<u32>> {
        let own = self.id();
        let children = parents()?.into_iter().filter(|&(_, parent)| parent == own).map(|(pid, _)| pid);
        Ok(std::iter::once(own).chain(children).collect())
    }
}

/// Whether a process is stopped, or has ended.
fn stands_still(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // Behind its name, which may hold anything.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 'Z' | 'X'))
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("a server could not be ended: {error:#}");
        }
    }
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id is a positive number")?;
    kill_process(pid, signal).with_context(|| format!("cannot send {signal:?} to {pid:?}"))
}

/// Every living process with its parent.
fn parents() -> Result<HashMap<u32, u32>> {
    let mut parents = HashMap::new();
    for entry in std::fs::read_dir("/proc").context("processes are looked up in /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // "PID (NAME) STATE PARENT …", and a name may hold anything.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let mut fields = rest.split_whitespace();
        match (fields.next(), fields.next().and_then(|parent| parent.parse().ok())) {
            (Some("Z" | "X"), _) | (_, None) => {}
            (_, Some(parent)) => drop(parents.insert(pid, parent)),
        }
    }
    Ok(parents)
}

/// Looks until `done` is true; false if it is not in time, which is counted in looks.
fn within(limit: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    for _ in 0..limit.as_millis() / LOOK.as_millis() {
        if done()? {
            return Ok(true);
        }
        std::thread::sleep(LOOK);
    }
    Ok(false)
}

/// None when this process may run servers itself.
fn user() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("the servers need a user other than root")?;
    let named = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        match (ids.next(), ids.next()) {
            (Some(Ok(uid)), Some(Ok(gid))) => Some(User { uid, gid }),
            _ => None,
        }
    };
    let user = named("postgres").or_else(|| named("nobody"));
    ensure!(user.is_some(), "the servers need a user other than root: there is neither `postgres` nor `nobody`");
    Ok(user)
}
