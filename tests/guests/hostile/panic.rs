//! Panics, with a newline and an ANSI code in its message.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    panic!("the disk is on fire\u{1b}[31m\nall is well")
}
