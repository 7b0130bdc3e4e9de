//! `wasq local-queue`: the local queue alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use wasq_local_sqs::{LocalSqs, Options};

use super::dev::make_queues;
use super::target::{DEV_QUEUE, dlq_name};
use crate::config::{AwsConfig, LOCAL_SQS_PORT};

/// Run the local queue alone: an endpoint that speaks SQS, for hosts, containers and any AWS
/// client.
///
/// It checks no signature and no permission: let nobody reach it who may not read and write all of
/// its messages.
#[derive(Args)]
pub struct LocalQueue {
    /// Queues to make, each with its DLQ, NAME-dlq. Those that are there stay as they are. A name
    /// may end in `.fifo`.
    #[arg(default_value = DEV_QUEUE, value_name = "NAME")]
    queues: Vec<String>,
    /// Where to listen.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, LOCAL_SQS_PORT)), value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The directory for its data.
    #[arg(long, default_value = ".wasq/sqs", value_name = "DIR")]
    data: PathBuf,
}

impl LocalQueue {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut signals = super::process::Signals::listen().context("cannot listen for signals")?;
        let sqs = LocalSqs::start(Options { dir: self.data, addr: self.listen }).await?;
        let endpoint_url = format!("http://{}", super::process::here(sqs.addr()));
        let aws = AwsConfig { endpoint_url: Some(endpoint_url.clone()), region: None, ..AwsConfig::default() };
        let names: Vec<_> = self.queues.iter().flat_map(|name| [dlq_name(name), name.clone()]).collect();
        make_queues(&aws, &names).await?;
        eprintln!("local queue {endpoint_url}");
        signals.next().await;
        sqs.shutdown().await;
        Ok(ExitCode::SUCCESS)
    }
}
