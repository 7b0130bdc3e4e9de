//! `wasq local-queue`: the local queue alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use wasq_local_sqs::{LocalSqs, Options};

use super::dev::make_queues;
use super::target::{DEV_QUEUE, dlq_name};
use crate::config::LOCAL_SQS_PORT;

/// Run the local queue alone: an endpoint that speaks SQS, for hosts, containers and any AWS
/// client. It speaks AWS JSON and the older Query protocol.
///
/// It checks no signature and no permission: let nobody reach it who may not read and write all of
/// its messages.
#[derive(Args)]
pub struct LocalQueue {
    /// Queues to make. Beside each it makes a queue for dead letters, NAME-dlq (NAME-dlq.fifo),
    /// without a redrive policy. Those that are there stay as they are. A name may end in `.fifo`.
    #[arg(default_value = DEV_QUEUE, value_name = "NAME")]
    queues: Vec<String>,
    /// Where to listen.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, LOCAL_SQS_PORT)), value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The directory for its data.
    #[arg(long, default_value = ".wasq/sqs", value_name = "DIR")]
    data: PathBuf,
    /// Refuse what SQS refuses for 60 seconds: another purge of the same queue, and a new queue
    /// with a deleted one's name.
    #[arg(long)]
    waits: bool,
}

impl LocalQueue {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut signals = super::process::Signals::listen().context("cannot listen for signals")?;
        let sqs = LocalSqs::start(Options { dir: self.data, addr: self.listen, waits: self.waits }).await?;
        let names: Vec<_> = self.queues.iter().flat_map(|name| [dlq_name(name), name.clone()]).collect();
        make_queues(&sqs, &names).await?;
        eprintln!("local queue http://{}", super::process::here(sqs.addr()));
        signals.next().await;
        sqs.shutdown().await;
        Ok(ExitCode::SUCCESS)
    }
}
