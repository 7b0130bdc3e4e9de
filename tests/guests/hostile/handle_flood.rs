//! Holds as many pollables as it gets, each for ten hours.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    let mut held = Vec::new();
    loop {
        held.push(wasip2::clocks::monotonic_clock::subscribe_duration(36_000_000_000_000));
    }
}
