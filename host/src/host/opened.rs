//! What a host needs beside its plugins and its ledger: opened, and nothing begun.
//!
//! `wasq run` goes on from here; `wasq check --live` stops here, and so it fails where a run would.

use std::sync::Arc;

use futures::future::join_all;

use super::StartError;
use crate::admin;
use crate::config::{Config, QueueConfig};
use crate::queue::sqs::{Sqs, SqsQueue};
use crate::queue::{Queue, QueueError};
use crate::redrive;
use crate::sandbox::egress::{Fetcher, Secrets};
use crate::telemetry::otlp;

/// What stands open.
pub struct Opened {
    pub otlp: otlp::Settings,
    pub access: admin::Access,
    /// Secrets that are with AWS were asked for once. Those that were not given are [`Secrets::missing`].
    pub fetcher: Fetcher,
    pub sqs: Sqs,
    pub queues: Vec<OpenQueue>,
}

/// A queue of the config that is there, with a DLQ that fits it.
pub struct OpenQueue {
    pub name: String,
    pub queue: SqsQueue,
    pub dlq: SqsQueue,
}

impl Opened {
    /// Opens everything. `attempts` are the most that a plugin makes.
    ///
    /// # Errors
    /// All that cannot be opened, and not the first of it alone.
    pub async fn open(config: &Config, secrets: Arc<Secrets>, attempts: u32) -> Result<Self, Vec<StartError>> {
        let mut errors = Vec::new();
        let otlp = otlp::Settings::new(&config.telemetry, |name| std::env::var(name).ok());
        let otlp = otlp.map_err(|error| errors.push(error.into())).ok();
        let access = admin::Access::new(&config.admin, std::env::var(admin::TOKEN_VARIABLE).ok());
        let access = access.map_err(|error| errors.push(error.into())).ok();
        let secrets_aws = config.secrets_aws.as_ref().unwrap_or(&config.aws);
        let fetcher = Fetcher::start(secrets, secrets_aws, config.egress.secrets_refresh).await;
        let sqs = Sqs::connect(&config.aws).await;
        let opening = config.queues.iter().map(async |(name, queue_config)| {
            let (queue, dlq) = open_queue(&sqs, name, queue_config, attempts).await?;
            Ok(OpenQueue { name: name.clone(), queue, dlq })
        });
        let mut queues = Vec::with_capacity(config.queues.len());
        for opened in join_all(opening).await {
            match opened {
                Ok(queue) => queues.push(queue),
                Err(error) => errors.push(error),
            }
        }
        match (otlp, access) {
            (Some(otlp), Some(access)) if errors.is_empty() => Ok(Self { otlp, access, fetcher, sqs, queues }),
            _ => Err(errors),
        }
    }
}

/// The queue and its DLQ, with the redrive policy checked against the most `attempts` that a plugin makes.
async fn open_queue(
    sqs: &Sqs,
    name: &str,
    queue_config: &QueueConfig,
    attempts: u32,
) -> Result<(SqsQueue, SqsQueue), StartError> {
    let fail = |error: QueueError| {
        let hint = match &error {
            QueueError::Permanent { code, .. }
                if code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist") =>
            {
                "; create it, or set `url`"
            }
            _ => "",
        };
        StartError::Queue { name: name.to_owned(), error, hint }
    };
    let queue = sqs.queue(queue_config.url.as_deref().unwrap_or(name)).await.map_err(fail)?;
    let attributes = queue.attributes().await.map_err(fail)?;
    let dlq_name = redrive::check(name, queue.is_fifo(), queue_config, &attributes, attempts)?;
    let dlq = sqs.queue(&dlq_name).await.map_err(|error| match fail(error) {
        StartError::Queue { name, error, .. } => StartError::Queue {
            name: format!("{name}` with the DLQ `{dlq_name}"),
            error,
            hint: "; create it, or set `dlq`",
        },
        other => other,
    })?;
    dlq.attributes().await.map_err(fail)?;
    redrive::check_kinds(name, queue.is_fifo(), &dlq_name, dlq.is_fifo())?;
    Ok((queue, dlq))
}
