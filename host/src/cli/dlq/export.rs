//! `wasq dlq export`.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;

use super::select::Filters;
use super::target::{DlqHandle, Next};
use super::view::exported;

/// Write dead letters as JSON lines, and leave them where they are.
///
/// A line has the id, the letter (its envelope), the attributes with their types, the body as a
/// string, the time it was sent and the message group. Binary attributes are in base64. Without
/// --output the lines go to stdout.
#[derive(Args)]
pub struct Export {
    /// The file to write; it must not be there yet.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    dlq: DlqHandle,
    #[command(flatten)]
    filters: Filters,
}

impl Export {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.dlq.open().await?;
        let filter = self.filters.at(clock::unix_ms());
        let (mut output, name): (Box<dyn Write + Send>, String) = match &self.output {
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create_new(path).with_context(|| match path.exists() {
                    true => format!("{name} is there already; choose another name, or remove it first"),
                    false => format!("cannot write {name}"),
                })?;
                (Box::new(BufWriter::new(file)), name)
            }
            None => (Box::new(std::io::stdout()), "stdout".into()),
        };
        let mut count = 0u64;
        let mut write = |line: &str| match writeln!(output, "{line}").and_then(|()| output.flush()) {
            Ok(()) => Ok(Next::More),
            // `wasq dlq export | head` has enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Next::Enough),
            Err(error) => Err(error).with_context(|| format!("cannot write {name}")),
        };
        let read = opened.look_through(&stop, |view| {
            if !filter.matches(&view) {
                return Ok(Next::More);
            }
            count += 1;
            write(&exported(&view).to_string())
        });
        read.await?;
        eprintln!("{count} exported to {name}; they stay in the DLQ");
        Ok(ExitCode::SUCCESS)
    }
}
