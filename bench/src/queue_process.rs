//! The local queue as a process of its own: says where it listens, then, whenever it is asked, what
//! it has done so far.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use wasq_core::clock;
use wasq_local_sqs::{LocalSqs, Options};

use crate::protocol::{rss_peak_bytes, say};

/// What the queue has done since it started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct QueueUsage {
    pub calls: BTreeMap<String, u64>,
    pub cpu_us: f64,
    pub rss_peak_bytes: u64,
}

/// Serves until its standard input ends; answers each line with [`QueueUsage`].
pub async fn run(dir: PathBuf) -> anyhow::Result<()> {
    let sqs = LocalSqs::start(Options::new(dir).port(0)).await?;
    say(&sqs.endpoint_url())?;
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while asked.next_line().await?.is_some() {
        say(&QueueUsage {
            calls: sqs.faults().all_calls(),
            cpu_us: clock::process_cpu().as_secs_f64() * 1e6,
            rss_peak_bytes: rss_peak_bytes(),
        })?;
    }
    sqs.shutdown().await;
    Ok(())
}
