//! A directory that runc runs: the image's root, the mounts, and the limits.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::binary::{Ran, Running, Wasq, program};
use crate::support::hosts;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");
/// The least that the documents recommend.
pub const MEMORY_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// The image with its mounts. The containers that were made of it end with it.
pub struct Bundle {
    dir: TempDir,
}

impl Bundle {
    /// With the image's own command.
    pub async fn make(config: &str, plugins: &Path) -> Self {
        Self::of(&list(said("CMD ")), config, plugins).await
    }

    pub async fn of(command: &[String], config: &str, plugins: &Path) -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        // The user of the container must get through to what is mounted.
        std::fs::set_permissions(this.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let made = Path::new(DEPLOY).join("image-root.sh");
        program(made, [env!("CARGO_BIN_EXE_wasq").as_ref(), this.at("root").as_os_str()]).check(0, &[]).await;
        for name in ["state", "etc"] {
            std::fs::create_dir(this.at(name)).unwrap();
        }
        let (uid, gid) = user();
        chown(this.at("state"), Some(uid), Some(gid)).expect("only root can run the container under its limits");
        std::fs::write(this.at("etc/wasq.toml"), config).unwrap();
        std::fs::write(this.at("config.json"), this.config(command, plugins).to_string()).unwrap();
        this
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The runtime's orders: what
    /// `docker run --read-only --cap-drop ALL --security-opt no-new-privileges --memory …` makes.
    fn config(&self, command: &[String], plugins: &Path) -> Value {
        let bind = |to: &str, from: &Path, how: &str| {
            let options = ["rbind", how, "nosuid", "nodev"];
            json!({ "destination": to, "type": "bind", "source": from, "options": options })
        };
        let (uid, gid) = user();
        let args = [&list(said("ENTRYPOINT ")), command].concat();
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": uid, "gid": gid },
                "args": args,
                "env": [said("ENV "), "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local"],
                "cwd": said("WORKDIR "),
                "capabilities": { "bounding": [], "effective": [], "permitted": [] },
                "noNewPrivileges": true,
            },
            "root": { "path": "root", "readonly": true },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"] },
                { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec", "size=16m"] },
                bind("/etc/wasq", &self.at("etc"), "ro"),
                bind("/plugins", plugins, "ro"),
                bind("/var/lib/wasq", &self.at("state"), "rw"),
            ],
            // The network is the test's: its queue and its sink are there.
            "linux": {
                "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }],
                "resources": { "memory": { "limit": MEMORY_MAX_BYTES } },
            },
        })
    }

    /// A container that polls.
    pub async fn run(&self, name: &str) -> Running {
        let running = self.start(name);
        running.line("running").await;
        running
    }

    pub fn start(&self, name: &str) -> Running {
        let pid = self.at(name);
        let bundle = ["run", "--bundle", self.dir.path().to_str().unwrap(), "--pid-file", pid.to_str().unwrap()];
        self.runc(&[&bundle[..], &[&self.id(name)]].concat()).spawn()
    }

    /// Asks it as the image's health check does.
    pub async fn healthy(&self, name: &str, container: &Running) {
        let admin = hosts::admin_addr(container).await.to_string();
        let check = list(said("HEALTHCHECK ").split_once("CMD ").expect("it is a command").1);
        let id = self.id(name);
        let check = check.iter().map(String::as_str);
        let command: Vec<_> = ["exec", &id].into_iter().chain(check).chain(["--admin", &admin]).collect();
        self.runc(&command).check(0, &["alive"]).await;
    }

    /// Its first process, as this machine numbers it.
    pub fn pid(&self, name: &str) -> u32 {
        std::fs::read_to_string(self.at(name)).unwrap().parse().unwrap()
    }

    pub async fn memory_limit(&self, name: &str) -> u64 {
        let stats: Ran = self.runc(&["events", "--stats", &self.id(name)]).check(0, &[]).await;
        stats.json()["data"]["memory"]["usage"]["limit"].as_u64().unwrap()
    }

    /// Unique on this machine, as the directory is.
    fn id(&self, name: &str) -> String {
        let dir = self.dir.path().file_name().unwrap().to_str().unwrap();
        format!("wasq-{}-{name}", dir.trim_start_matches('.'))
    }

    fn runc(&self, arguments: &[&str]) -> Wasq {
        let state = self.at("runc");
        program("runc", ["--root", state.to_str().unwrap()].iter().chain(arguments))
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // A test that failed has left its container behind: killing runc does not end it.
        for container in std::fs::read_dir(self.at("runc")).into_iter().flatten().flatten() {
            let delete =
                ["delete".as_ref(), "--force".as_ref(), container.file_name().as_os_str()].map(ToOwned::to_owned);
            let ended = std::process::Command::new("runc").arg("--root").arg(self.at("runc")).args(delete).status();
            if let Err(error) = ended {
                eprintln!("a container is left behind: {error}");
            }
        }
    }
}

/// What the Dockerfile's last line of this instruction says.
fn said(instruction: &str) -> &'static str {
    let mut lines = DOCKERFILE.lines().filter_map(|line| line.strip_prefix(instruction));
    lines.next_back().unwrap_or_else(|| panic!("the Dockerfile has no {instruction}"))
}

fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap()
}

fn user() -> (u32, u32) {
    let (uid, gid) = said("USER ").split_once(':').expect("a user and a group");
    (uid.parse().unwrap(), gid.parse().unwrap())
}
