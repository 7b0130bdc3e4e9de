//! `wasq dlq`: look into the dead letters, group them, replay, edit or discard them, and take them
//! along.

mod discard;
mod edit;
mod export;
mod groups;
mod ls;
mod replay;
mod report;
mod select;
mod show;
mod target;
mod view;

use std::process::ExitCode;

pub use select::duration;
pub use view::time;

use clap::{Args, Subcommand};

/// Look into the dead letters, and replay, edit or discard them.
///
/// To look at a message SQS must hide it from others: what a command reads is hidden while the
/// command runs, and shown again when it ends, also by Ctrl-C. If the command is killed, its
/// letters show again when their visibility ends (--hide).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Dlq {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "Examples:
  wasq dlq groups                                     what fails, and how often
  wasq dlq ls --class timeout --newer-than 1h         the letters of one kind
  wasq dlq replay --fingerprint 5b1c9f3e --canary 5   ten thousand of a kind, five first
  wasq dlq edit 4f0c2a91                              correct one body, and replay it";

#[derive(Subcommand)]
enum Action {
    Ls(ls::Ls),
    Show(show::Show),
    Groups(groups::Groups),
    Replay(replay::Replay),
    Edit(edit::Edit),
    Discard(discard::Discard),
    Export(export::Export),
}

impl Dlq {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Ls(command) => target::interruptible(|stop| command.run(stop)).await,
            Action::Show(command) => target::interruptible(|stop| command.run(stop)).await,
            Action::Groups(command) => target::interruptible(|stop| command.run(stop)).await,
            Action::Replay(command) => target::interruptible(|stop| command.run(stop)).await,
            Action::Edit(command) => target::interruptible(|stop| command.run(stop)).await,
            Action::Discard(command) => target::interruptible(|stop| command.run(stop)).await,
            Action::Export(command) => target::interruptible(|stop| command.run(stop)).await,
        }
    }
}
