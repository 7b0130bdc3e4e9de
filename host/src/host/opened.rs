//! What a host needs beside its plugins and its ledger: opened, and nothing begun.
//!
//! `wasq run` goes on from here; `wasq check --live` stops here, and so it fails where a run
//! with `strict_start` would.

use std::sync::Arc;

use wasq_queues::Brokers;

use super::StartError;
use crate::admin;
use crate::config::Config;
use crate::host::queues::{self, OpenQueues};
use crate::plugins::demands::Demands;
use crate::sandbox::egress::{Fetcher, Secrets};
use crate::telemetry::export::otlp;

/// What stands open.
pub struct Opened {
    pub otlp: otlp::Settings,
    pub access: admin::Access,
    /// Secrets that are with AWS were asked for once. Those that were not given are
    /// [`Secrets::missing`].
    pub fetcher: Fetcher,
    pub brokers: Brokers,
    /// Also those that could not be opened: whether a host starts without them is not said here.
    pub queues: OpenQueues,
}

impl Opened {
    /// Opens everything. `demands` are those of all plugins.
    ///
    /// # Errors
    /// All that is wrong, with the queues that could not be opened, where a host cannot start
    /// whatever becomes of its queues.
    pub async fn open(config: &Config, secrets: Arc<Secrets>, demands: Demands) -> Result<Self, Vec<StartError>> {
        let mut errors = Vec::new();
        let otlp = otlp::Settings::new(&config.telemetry, |name| std::env::var(name).ok());
        let otlp = otlp.map_err(|error| errors.push(error.into())).ok();
        let access = admin::Access::new(&config.admin, std::env::var(admin::TOKEN_VARIABLE).ok());
        let access = access.map_err(|error| errors.push(error.into())).ok();
        let secrets_aws = config.secrets_aws.as_ref().unwrap_or(&config.aws);
        let fetcher = Fetcher::start(secrets, secrets_aws, config.egress.secrets_refresh).await;
        let brokers = Brokers::new(&config.aws);
        let queues = queues::open_all(&brokers, config, demands).await;
        match (otlp, access) {
            (Some(otlp), Some(access)) => Ok(Self { otlp, access, fetcher, brokers, queues }),
            _ => {
                errors.extend(queues.unopened.into_iter().map(|unopened| unopened.error.into()));
                Err(errors)
            }
        }
    }
}
