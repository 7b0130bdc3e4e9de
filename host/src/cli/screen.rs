//! Pages that are shown again and again, until Ctrl-C: each in the last one's place on a terminal,
//! and one after the other where the output is none.

use std::io::{IsTerminal, Stdout, Write};
use std::time::Duration;

use anyhow::Context;

use super::process::Signals;

/// Rows of a terminal that does not tell how many it has.
const HEIGHT: u16 = 24;
/// Moves to the top left; and clears from there on. What is drawn over is not cleared before: that
/// would flicker.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// Where pages are shown.
pub struct Screen {
    stdout: Stdout,
    redraws: bool,
    signals: Signals,
}

impl Screen {
    /// JSON is not drawn over.
    pub fn open(json: bool) -> anyhow::Result<Self> {
        let signals = Signals::listen().context("cannot listen for signals")?;
        let stdout = std::io::stdout();
        let redraws = stdout.is_terminal() && !json;
        if redraws {
            write!(&stdout, "{HOME}{CLEAR_REST}")?;
        }
        Ok(Self { stdout, redraws, signals })
    }

    /// Whether somebody still reads it: whoever did may have gone, as `head` does.
    pub fn show(&mut self, text: &str) -> bool {
        let text = if self.redraws { frame(text, rows()) } else { text.to_owned() };
        write!(self.stdout, "{text}").and_then(|()| self.stdout.flush()).is_ok()
    }

    /// Waits; whether to go on behind that.
    pub async fn wait(&mut self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.signals.next() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.redraws {
            // The shell goes on below it; if nobody reads that, nothing is lost.
            let _ = writeln!(self.stdout);
        }
    }
}

/// What is shown of a host that does not answer.
pub fn unanswered(error: &anyhow::Error, json: bool) -> String {
    match json {
        true => format!("{}\n", serde_json::json!({ "error": format!("{error:#}") })),
        false => format!("{error:#}\n"),
    }
}

/// A page that takes the last one's place on the screen, and no more of it than there are rows: a
/// screen that scrolls cannot be drawn over.
fn frame(text: &str, rows: u16) -> String {
    let room = usize::from(rows.max(2)) - 1;
    let shown = match text.lines().count() {
        count if count <= room => text.to_owned(),
        count => {
            let first: String = text.lines().take(room - 1).map(|line| format!("{line}\n")).collect();
            format!("{first}… and {} more lines: make the terminal taller", count - room + 1)
        }
    };
    let lines: Vec<_> = shown.lines().map(|line| format!("{line}{CLEAR_LINE}")).collect();
    format!("{HOME}{}{CLEAR_REST}", lines.join("\n"))
}

/// The terminal's rows.
fn rows() -> u16 {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_row);
    size.filter(|rows| *rows > 0).unwrap_or(HEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_the_place_of_the_last_and_does_not_scroll() {
        assert_eq!(frame("a\nb\n", 24), "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J");
        assert_eq!(
            frame("a\nb\nc\nd\n", 4),
            "\x1b[Ha\x1b[K\nb\x1b[K\n… and 2 more lines: make the terminal taller\x1b[K\x1b[J"
        );
    }
}
