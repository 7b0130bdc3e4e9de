//! Ends its program as if all were well: `exit(0)`.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    std::process::exit(0)
}
