//! Logs 1 GB with ANSI codes and newlines in text, target and fields.

use wasq_sdk::{Context, Outcome, tracing};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    let text = "\u{1b}[31mred\nLEVEL=error forged=true\r\0\u{202e}".repeat(1_000_000 / 44);
    for _ in 0..1_000 {
        tracing::error!(field = text.as_str(), "{text}");
    }
    Outcome::done()
}
