//! Allocates 1 GiB at once, as a program does that reads a file without looking at its size.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    let block = std::hint::black_box(vec![1u8; 1 << 30]);
    Outcome::result(block[..1].to_vec())
}
