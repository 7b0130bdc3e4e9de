//! Asks for random bytes for ever, as many in a call as it may.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    loop {
        std::hint::black_box(wasip2::random::random::get_random_bytes(64 * 1024));
    }
}
