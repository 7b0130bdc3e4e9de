//! Reading `wasq.toml`, and every check that needs more than one of its keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use wasq_ledgers::config::{DYNAMODB_VALUE_MAX_BYTES, LedgerConfig};
use wasq_queues::{Broker, QueueRef};

use super::environment::{Environment, Fault, Read, Unexpanded};
use super::key_line::line_of;
use super::rings::{DeadLetterEdge, dead_letter_ring, ring_rule};
use super::{Config, OWN_QUEUE, SignFault, UNROUTABLE_AFTER_FIFO, bounds};

/// Whether this build can ask AWS for secrets.
const WITH_AWS_SECRETS: bool = cfg!(feature = "aws-secrets");

/// What is wrong with the config, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}; name another file with --config, or make one (see `wasq run --help`)")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path}: {source}")]
    Unexpanded { path: PathBuf, source: Unexpanded },
    #[error("the variable {name}, which sets a key of {path}: {reason}")]
    Variable { path: PathBuf, name: String, reason: String },
    #[error("{path}: {}`{key}` is {value}: {rule}", in_line(*line))]
    Bounds { path: PathBuf, line: Option<usize>, key: String, value: String, rule: String },
}

fn in_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

impl ConfigError {
    /// Names the variable that has set the key, or else the line of the text where it stands.
    fn with_line(self, text: &str, set: &[(String, String)]) -> Self {
        match self {
            Self::Bounds { path, key, value, rule, .. } => {
                match set.iter().find(|(name, _)| *name == key).map(|(_, variable)| variable) {
                    Some(variable) => {
                        let rule = format!("{rule} (the variable {variable} sets it)");
                        Self::Bounds { path, line: None, key, value, rule }
                    }
                    None => Self::Bounds { path, line: line_of(text, &key), key, value, rule },
                }
            }
            other => other,
        }
    }
}

impl Config {
    /// Reads and checks a config file, with what the environment says in it. Relative paths in it
    /// count from its directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::parse_in(&text, path, &Environment::of_process())?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.plugins_dir = base.join(&config.plugins_dir);
        config.compile_cache = base.join(&config.compile_cache);
        if let LedgerConfig::Local { path } = &mut config.ledger {
            *path = base.join(&*path);
        }
        config.admin.token_file = config.admin.token_file.map(|file| base.join(file));
        config.oci.rebase(base);
        config.egress.rebase(base);
        config.ingress.rebase(base);
        config.rebase_certificates(base);
        config.secrets.values_mut().for_each(|secret| secret.rebase(base));
        Ok(config)
    }

    /// Reads and checks a config, in an empty environment; `path` is for errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse_in(text, path, &Environment::default())
    }

    /// As [`Config::parse`], in this environment.
    pub fn parse_in(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let Read { mut config, said, set } = environment.read::<Self>(text).map_err(|fault| match fault {
            Fault::Text(source) => ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) },
            Fault::Unexpanded(source) => ConfigError::Unexpanded { path: path.to_owned(), source },
            Fault::Variable { name, reason } => ConfigError::Variable { path: path.to_owned(), name, reason },
        })?;
        config.set_fifo_defaults(&said);
        config.check(path).map_err(|error| error.with_line(text, &set))?;
        Ok(config)
    }

    /// The defaults of queues that keep an order, as FIFO queues do, where nothing that is `said`
    /// says otherwise.
    fn set_fifo_defaults(&mut self, said: &toml::Table) {
        for (name, queue) in self.queues.iter_mut().filter(|(name, queue)| queue.location(name).keeps_order()) {
            let said = said.get("queues").and_then(|queues| queues.get(name)?.get("unroutable_after"));
            if said.is_none() {
                queue.unroutable_after = UNROUTABLE_AFTER_FIFO;
            }
        }
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let refuse = |key: String, value: String, rule: &str| {
            Err(ConfigError::Bounds { path: path.to_owned(), line: None, key, value, rule: rule.to_owned() })
        };
        if self.queues.is_empty() {
            return refuse("queues".into(), "empty".into(), "name at least one queue, as [queues.NAME]");
        }
        if self.scope.is_empty() {
            return refuse("scope".into(), "empty".into(), "give the service a name");
        }
        if self.plugins_signed_by.as_ref().is_some_and(Vec::is_empty) {
            return refuse(
                "plugins_signed_by".into(),
                "empty".into(),
                "name a key, or leave it out to take unsigned plugins",
            );
        }
        if let Err(out) = bounds::check(self) {
            return refuse(out.key, out.value, &out.rule);
        }
        let compile_time = self.limits.compile_time;
        if compile_time < Duration::from_secs(1) || compile_time.subsec_nanos() != 0 {
            return refuse(
                "limits.compile_time".into(),
                format!("{compile_time:?}"),
                "use whole seconds, at least 1 s",
            );
        }
        let secrets = self.secrets.iter().find_map(|(name, source)| source.fault(name, WITH_AWS_SECRETS));
        let faults = self.limits.http_fault().or_else(|| self.egress.fault()).or_else(|| self.rollout.fault());
        if let Some((key, value, rule)) = faults.or_else(|| self.oci.fault()).or(secrets) {
            return refuse(key, value, rule);
        }
        if let Some(SignFault { key, value, rule }) = self.sign_fault() {
            return refuse(key, value, &rule);
        }
        if let LedgerConfig::Postgres(postgres) = &self.ledger
            && !(1..=100).contains(&postgres.max_connections)
        {
            return refuse("ledger.max_connections".into(), postgres.max_connections.to_string(), "use 1 to 100");
        }
        if let LedgerConfig::Dynamodb(_) = &self.ledger
            && self.limits.step_bytes > DYNAMODB_VALUE_MAX_BYTES
        {
            let rule = "the ledger in DynamoDB takes steps of at most 405504 bytes (396 KiB)";
            return refuse("limits.step_bytes".into(), self.limits.step_bytes.to_string(), rule);
        }
        if let Some(name) =
            self.plugins.iter().find_map(|(name, p)| (p.canary.is_some() && p.blake3.is_some()).then_some(name))
        {
            let rule = "a pin allows one version, a canary needs two; take `canary` or `blake3` away";
            return refuse(format!("plugins.{name}.canary"), "set beside `blake3`".into(), rule);
        }
        if let Some((key, value, rule)) =
            self.queue_name_fault().or_else(|| self.ring_fault()).or_else(|| self.pressure_fault())
        {
            return refuse(key, value, &rule);
        }
        if let Some((key, value, rule)) =
            self.claim_check_fault().or_else(|| self.schedule_fault()).or_else(|| self.ingress_fault())
        {
            return refuse(key, value, &rule);
        }
        for (name, queue) in &self.queues {
            let key = |field: &str| format!("queues.{name}.{field}");
            if let Some((value, rule)) = queue.concurrency.fault() {
                return refuse(key("concurrency"), value, rule);
            }
            if !(1..=64).contains(&queue.max_pollers) {
                return refuse(key("max_pollers"), queue.max_pollers.to_string(), "use 1 to 64");
            }
            let whole = queue.visibility.subsec_nanos() == 0;
            if !whole || !(2..=43_200).contains(&queue.visibility.as_secs()) {
                return refuse(key("visibility"), format!("{:?}", queue.visibility), "use whole seconds, 2 s to 12 h");
            }
            if queue.default_type.as_ref().is_some_and(String::is_empty) {
                return refuse(key("default_type"), "empty".into(), "name a type, or leave it out");
            }
            if let Some((field, value, rule)) = queue.type_fault() {
                return refuse(key(&field), value, &rule);
            }
            if queue.wait > Duration::from_secs(20) {
                return refuse(
                    key("wait"),
                    format!("{:?}", queue.wait),
                    "use at most 20 s, the longest receive of SQS",
                );
            }
            let window = queue.deduplication_window;
            if window.subsec_nanos() != 0 || !(60..=1_209_600).contains(&window.as_secs()) {
                let rule = "use whole seconds, 1 min to 14 days; SQS's own window is 5 min";
                return refuse(key("deduplication_window"), format!("{window:?}"), rule);
            }
        }
        Ok(())
    }

    /// What is wrong with the names of queues and outlets: key, value and rule.
    fn queue_name_fault(&self) -> Option<(String, String, String)> {
        let outlets = self.outlets.keys().map(|name| ("outlets", name));
        for (table, name) in self.queues.keys().map(|name| ("queues", name)).chain(outlets) {
            let key = format!("{table}.{name}");
            if name.is_empty() || name == OWN_QUEUE {
                let rule = format!(
                    "`{OWN_QUEUE}` is what a handler calls its message's own queue; give the table another \
                                    name, and the queue's in `url`"
                );
                return Some((key, "no name".into(), rule));
            }
            if table == "outlets" && self.queues.contains_key(name) {
                let rule = format!("outboxes send to [queues.{name}] too; take one of the two tables away");
                return Some((key, "there twice".into(), rule));
            }
        }
        let on_sqs = self.queues.iter().filter(|(_, queue)| queue.broker == Broker::Sqs);
        self.location_fault().or_else(|| {
            on_sqs.into_iter().find_map(|(name, queue)| {
                let dlq = queue.dlq.as_deref()?;
                let error = QueueRef::parse(dlq).err()?;
                Some((format!("queues.{name}.dlq"), format!("{dlq:?}"), error.to_string()))
            })
        })
    }

    /// A ring of DLQs, as far as the config's own words tell one: key, value and rule.
    fn ring_fault(&self) -> Option<(String, String, String)> {
        let identity = |text: &str| Some(QueueRef::parse(text).ok()?.identity());
        let edges: Vec<_> = self
            .queues
            .iter()
            .filter_map(|(name, queue)| {
                let own = queue.location(name).identity()?;
                Some(DeadLetterEdge { name: name.clone(), queue: own, dlq: identity(queue.dlq.as_deref()?)? })
            })
            .collect();
        let ring = dead_letter_ring(&edges)?;
        let value = self.queues[ring[0]].dlq.clone().unwrap_or_default();
        Some((format!("queues.{}.dlq", ring[0]), format!("{value:?}"), ring_rule(&ring)))
    }
}

#[cfg(test)]
mod tests;
