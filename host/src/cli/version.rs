//! What `wasq --version` prints: of which commit the binary is, and what it was built with.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use wasq_queues::{Broker, kafka};

/// Twelve digits, and `-dirty` where sources had changes that were not committed; empty where the
/// build knew of none. From `host/build.rs`, as the others.
const COMMIT: &str = env!("BUILT_FROM_COMMIT");
const TARGET: &str = env!("BUILT_FOR_TARGET");
const SOURCE_DIRECTORY: &str = env!("BUILT_FROM_DIRECTORY");

/// The version of the contract that handlers are built against, as `wit/worker.wit` has it.
const CONTRACT: &str = include_str!("../../../wit/worker.wit");

static LONG: LazyLock<String> = LazyLock::new(long_text);

/// The version with what else a report of a bug needs.
pub fn long() -> &'static str {
    &LONG
}

/// A directory of the repository that this binary was built in, if that is still there: `../sdk`
/// counts from the host's package. A binary that is given away has none.
pub fn beside_our_source(path: &str) -> Option<PathBuf> {
    let directory = Some(SOURCE_DIRECTORY).filter(|directory| !directory.is_empty())?;
    Some(Path::new(directory).join(path)).filter(|path| path.is_dir())
}

/// Whether the binary is a release's, and not built for the machine with its sources.
pub fn is_given_away() -> bool {
    SOURCE_DIRECTORY.is_empty()
}

fn long_text() -> String {
    let commit = if COMMIT.is_empty() { "unknown: not built in a clone" } else { COMMIT };
    let brokers: Vec<_> = Broker::ALL.into_iter().filter(|broker| is_built_in(*broker)).map(Broker::name).collect();
    let secrets = ["env", "file"].into_iter().chain(AWS_SECRETS.iter().copied());
    let mut text = format!("{} (commit {commit})", env!("CARGO_PKG_VERSION"));
    for (name, values) in [
        ("brokers", brokers.join(", ")),
        ("secrets", secrets.collect::<Vec<_>>().join(", ")),
        ("contract", contract().to_owned()),
        ("target", TARGET.to_owned()),
    ] {
        let _ = write!(text, "\n{:<10}{values}", format!("{name}:"));
    }
    text
}

/// The sources of secrets that a build has with the feature `aws-secrets`.
const AWS_SECRETS: &[&str] = if cfg!(feature = "aws-secrets") { &["secretsmanager", "ssm"] } else { &[] };

fn is_built_in(broker: Broker) -> bool {
    match broker {
        Broker::Sqs | Broker::RabbitMq | Broker::Redis => true,
        Broker::Kafka => kafka::IS_BUILT_IN,
    }
}

/// The package's name: `package wasq:worker@0.2.0;`.
fn contract() -> &'static str {
    let line = CONTRACT.lines().find_map(|line| line.strip_prefix("package "));
    line.map_or("", |name| name.trim_end_matches(';'))
}
