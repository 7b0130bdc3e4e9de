//! `wasq dlq show`.

use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::target::{DlqHandle, print_notes};
use super::view::{listed, print_page};

/// Show one dead letter: its envelope, attributes and body.
#[derive(Args)]
pub struct Show {
    /// The letter's message id in the DLQ, or the first part of it.
    id: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    dlq: DlqHandle,
}

impl Show {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.dlq.open().await?;
        let mut reader = opened.reader().await?;
        let view = opened.find(&mut reader, &self.id, &stop).await;
        print_notes(&reader.put_back().await);
        let view = view?;
        match self.json {
            true => println!("{:#}", listed(&view)),
            false => print_page(&view),
        }
        Ok(ExitCode::SUCCESS)
    }
}
