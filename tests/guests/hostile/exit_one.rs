//! Ends its program: `exit(1)`.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    std::process::exit(1)
}
