//! Asks for a terabyte of random bytes in one call.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    Outcome::result(wasip2::random::random::get_random_bytes(1 << 40))
}
