//! Two DynamoDBs that are not Amazon's: moto's server and dynalite.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use super::proxy::Proxy;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How the line begins in which a server says where.
const RUNNING: &str = "Running on http://";

/// moto, one for all tests of this process.
///
/// It checks a condition and writes in two steps, and threads of it may come in between: so one
/// call at a time reaches it.
pub fn moto() -> &'static Proxy {
    static MOTO: OnceLock<Proxy> = OnceLock::new();
    MOTO.get_or_init(|| {
        let moto = Server::start(client(".venv/bin/moto_server"), &["--port", "0"]);
        Proxy::one_at_a_time(&Box::leak(Box::new(moto)).address)
    })
}

/// dynalite, one for all tests of this process.
pub fn dynalite() -> &'static Server {
    static DYNALITE: OnceLock<Server> = OnceLock::new();
    DYNALITE.get_or_init(|| Server::dynalite(&[]))
}

/// What the set-up script installs; its absence fails the test.
pub fn client(path: &str) -> PathBuf {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients");
    let path = clients.join(path);
    assert!(path.exists(), "{} is missing: run `bash tests/clients/setup.sh` first", path.display());
    path
}

/// A server of its own process. It dies with the tests, however they end, or when this is dropped.
pub struct Server {
    /// `host:port`.
    pub address: String,
    child: Child,
}

impl Server {
    /// A dynalite of one's own, with a port and a directory as its arguments.
    pub fn dynalite(arguments: &[&str]) -> Self {
        client("node_modules/dynalite");
        let script = client("dynalite.mjs");
        Self::start("node".into(), &[&[script.to_str().expect("the path is UTF-8")], arguments].concat())
    }

    fn start(program: PathBuf, arguments: &[&str]) -> Self {
        let (told, tells) = mpsc::sync_channel(1);
        // The kernel kills it when the thread ends that has started it: this one ends with the
        // tests.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "sh", "-c", "exec \"$0\" \"$@\" 2>&1"]).arg(&program).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        std::thread::spawn(move || {
            let mut child = command.spawn().expect("setpriv and sh are there");
            let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
            let mut said = Vec::new();
            while let Some(Ok(line)) = lines.next() {
                let Some((_, address)) = line.split_once(RUNNING) else {
                    said.push(line);
                    continue;
                };
                told.send(Ok((address.trim().to_owned(), child))).expect("it is waited for");
                // Nobody reads what it has to say, but it must be able to say it.
                lines.for_each(drop);
                loop {
                    std::thread::park();
                }
            }
            let ended = child.wait().expect("its output has ended");
            told.send(Err(format!("{ended}\n{}", said.join("\n")))).expect("it is waited for");
        });
        match tells.recv_timeout(PATIENCE) {
            Ok(Ok((address, child))) => Self { address, child },
            Ok(Err(said)) => panic!("{} does not start:\n{said}", program.display()),
            Err(_) => panic!("{} does not listen after {PATIENCE:?}", program.display()),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
