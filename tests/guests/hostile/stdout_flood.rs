//! Writes 100 MB to its stdout: short lines, ANSI codes, and one line that does not end.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    for _ in 0..20_000 {
        println!("\u{1b}[2Jred\r\0");
    }
    let text = "no end ".repeat(1_000_000 / 7);
    for _ in 0..100 {
        print!("{text}");
    }
    Outcome::done()
}
