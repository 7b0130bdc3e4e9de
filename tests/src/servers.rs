//! Real servers for tests and for the supervisor: a Redis, a PostgreSQL, a DynamoDB, a RabbitMQ, a
//! Kafka and a registry that are started, stopped, killed and restarted.
//!
//! They listen on a free port of 127.0.0.1, keep their data in a directory of their own, and, where
//! they can, ask for a password. When the process that started them is gone, even killed, they end
//! and their data go.

mod dynamodb;
mod kafka;
mod postgres;
mod process;
mod rabbitmq;
mod redis;
mod registry;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use self::process::Process;
pub use self::registry::USER as REGISTRY_USER;

/// What every server asks for. No error of a client may show it.
pub const PASSWORD: &str = "pa55-that-no-error-shows";

/// How long a server may take to be ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often one is looked at until it is.
const LOOK: Duration = Duration::from_millis(5);
/// Ports that are tried until one is free.
const PORT_TRIES: u32 = 20;
/// Below the ports that systems give to outgoing connections (from 32768 on Linux, from 49152 by
/// IANA's advice): so that the port of a server that is down is still free when it starts again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A server of its own. It ends when this is dropped, and its data go.
pub struct Server {
    kind: Kind,
    options: Vec<String>,
    port: u16,
    process: Process,
    dir: TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Redis,
    Postgres,
    DynamoDb,
    RabbitMq,
    Kafka,
    Registry,
}

impl Server {
    /// A Redis that syncs its log at every write. Blocks until it is ready, some 50 ms.
    ///
    /// # Errors
    /// Say what to install when a program is missing, and what the server wrote when it did not
    /// start.
    pub fn redis() -> Result<Self> {
        Self::redis_with(&[])
    }

    /// As [`Server::redis`], with more of its options: `["--maxmemory-policy", "allkeys-lru"]`.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn redis_with(options: &[&str]) -> Result<Self> {
        let dir = process::directory()?;
        Self::start(Kind::Redis, options, dir)
    }

    /// A PostgreSQL that does not sync (`fsync=off`): it keeps what it was told when it is killed,
    /// not when the machine is. Blocks until it is ready, some seconds.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn postgres() -> Result<Self> {
        Self::postgres_with(&["-c", "fsync=off", "-c", "full_page_writes=off"])
    }

    /// A PostgreSQL as it comes, with these options: `[]` syncs, as in production.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn postgres_with(options: &[&str]) -> Result<Self> {
        let dir = process::directory()?;
        postgres::make_cluster(dir.path())?;
        Self::start(Kind::Postgres, options, dir)
    }

    /// dynalite, a DynamoDB of npm's. It takes any credentials. Blocks until it is ready, a second.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn dynamodb() -> Result<Self> {
        let dir = process::directory()?;
        Self::start(Kind::DynamoDb, &[], dir)
    }

    /// A RabbitMQ with a user `wasq` who may do everything in the vhost `/`. Blocks until it is
    /// ready, some seconds.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn rabbitmq() -> Result<Self> {
        Self::rabbitmq_with(&[])
    }

    /// As [`Server::rabbitmq`], with more lines of its config: `["max_message_size = 1000000"]`.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn rabbitmq_with(lines: &[&str]) -> Result<Self> {
        let dir = process::directory()?;
        Self::start(Kind::RabbitMq, lines, dir)
    }

    /// Runs `rabbitmqctl` on a RabbitMQ: `["add_vhost", "v"]`. The answer is what it printed.
    ///
    /// # Errors
    /// What it printed when it failed.
    pub fn rabbitmqctl(&self, arguments: &[&str]) -> Result<String> {
        rabbitmq::ctl(self.dir.path(), self.port, arguments)
    }

    /// Has a RabbitMQ's new quorum queues on disk. That there is one is on disk a moment later
    /// only: a server that is killed before has an empty one, whose log is nobody's.
    ///
    /// # Errors
    /// As [`Server::rabbitmqctl`].
    pub fn keep_queues(&self) -> Result<()> {
        self.rabbitmqctl(&["eval", "ok = dets:sync(ra_directory_reverse)."]).map(drop)
    }

    /// Messages in a RabbitMQ's queue: those that wait, and those that consumers have. AMQP does
    /// not tell of these, and the lists of `rabbitmqctl` are some seconds old for a quorum queue.
    ///
    /// # Errors
    /// As [`Server::rabbitmqctl`].
    pub fn messages_in_queue(&self, name: &str) -> Result<usize> {
        let question = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{name}\">>)), \
             case amqqueue:get_type(Q) of \
               rabbit_quorum_queue -> \
                 {{ok, N, _}} = ra:consistent_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1), N; \
               _ -> [{{messages, N}}] = rabbit_amqqueue:info(Q, [messages]), N \
             end."
        );
        Ok(self.rabbitmqctl(&["eval", &question])?.trim().parse()?)
    }

    /// A broker of Kafka's protocol, without a password. Blocks until it is ready, some 100 ms.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn kafka() -> Result<Self> {
        let dir = process::directory()?;
        Self::start(Kind::Kafka, &[], dir)
    }

    /// A registry of OCI artifacts that anybody may use. Blocks until it is ready, some 100 ms.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn registry() -> Result<Self> {
        let dir = process::directory()?;
        Self::start(Kind::Registry, &[], dir)
    }

    /// As [`Server::registry`], for [`REGISTRY_USER`] alone.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn registry_with_login() -> Result<Self> {
        let dir = process::directory()?;
        Self::start(Kind::Registry, &[registry::WITH_LOGIN], dir)
    }

    /// Waits until a Kafka has a topic on disk, and with it all that it was sent before that was
    /// made.
    ///
    /// # Errors
    /// If it does not write.
    pub fn until_written(&self, topic: &str) -> Result<()> {
        kafka::until_written(self.dir.path(), topic)
    }

    fn start(kind: Kind, options: &[&str], dir: TempDir) -> Result<Self> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        for _ in 0..PORT_TRIES {
            let port = free_port()?;
            if let Some(process) = run(kind, &options, dir.path(), port)? {
                return Ok(Self { kind, options, port, process, dir });
            }
        }
        bail!("{kind:?} did not get any of {PORT_TRIES} ports")
    }

    /// Where it is, with its password.
    pub fn url(&self) -> String {
        let port = self.port;
        match self.kind {
            Kind::Redis => format!("redis://:{PASSWORD}@127.0.0.1:{port}/0"),
            Kind::Postgres => format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"),
            Kind::RabbitMq => format!("amqp://{}:{PASSWORD}@127.0.0.1:{port}/%2F", rabbitmq::USER),
            Kind::DynamoDb => format!("http://127.0.0.1:{port}"),
            Kind::Kafka => format!("kafka://127.0.0.1:{port}"),
            Kind::Registry => format!("oci://127.0.0.1:{port}"),
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        log(self.dir.path())
    }

    /// Stops every process of it where it stands (SIGSTOP): connections stay open and nobody
    /// answers.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn cont(&mut self) -> Result<()> {
        self.process.cont()
    }

    /// Kills every process of it (SIGKILL) and waits until they are gone.
    ///
    /// # Errors
    /// If a process of it does not end.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Kills it if it runs, and starts it again on the same port with the same data.
    ///
    /// # Errors
    /// As [`Server::redis`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = run(self.kind, &self.options, self.dir.path(), self.port)?
            .with_context(|| format!("port {} was taken meanwhile", self.port))?;
        Ok(())
    }
}

/// Starts the server. None when the port is taken.
fn run(kind: Kind, options: &[String], dir: &Path, port: u16) -> Result<Option<Process>> {
    let mut process = match kind {
        Kind::Redis => redis::spawn(options, dir, port)?,
        Kind::Postgres => postgres::spawn(options, dir, port)?,
        Kind::DynamoDb => dynamodb::spawn(dir, port)?,
        Kind::RabbitMq => rabbitmq::spawn(options, dir, port)?,
        Kind::Kafka => kafka::spawn(dir, port)?,
        Kind::Registry => registry::spawn(options, dir, port)?,
    };
    // Time is counted in looks: no test needs it more exactly.
    for _ in 0..READY_MAX.as_millis() / LOOK.as_millis() {
        if !process.runs()? {
            let log = log(dir);
            if ["ddress already in use", "eaddrinuse", "EADDRINUSE", "is already in use"]
                .iter()
                .any(|words| log.contains(words))
            {
                return Ok(None);
            }
            bail!("{kind:?} ended before it was ready; its log:\n{log}");
        }
        let ready = match kind {
            Kind::Redis => redis::is_ready(port),
            Kind::Postgres => postgres::is_ready(dir, &process),
            Kind::DynamoDb => dynamodb::is_ready(port),
            Kind::RabbitMq => rabbitmq::is_ready(port),
            Kind::Kafka => kafka::is_ready(port),
            Kind::Registry => registry::is_ready(port),
        };
        if ready {
            return Ok(Some(process));
        }
        std::thread::sleep(LOOK);
    }
    bail!("{kind:?} was not ready within {READY_MAX:?}; its log:\n{}", log(dir))
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("log")
}

fn log(dir: &Path) -> String {
    std::fs::read(log_path(dir))
        .map_or_else(|error| error.to_string(), |log| String::from_utf8_lossy(&log).into_owned())
}

pub fn free_port() -> Result<u16> {
    for _ in 0..PORT_TRIES {
        let port = fastrand::u16(PORTS);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("none of {PORT_TRIES} ports tried is free")
}
