//! Records one step of 1 MB.

use wasq_sdk::{Context, Failure, Outcome};

#[wasq_sdk::handler]
fn handle(cx: &Context) -> Result<Outcome, Failure> {
    cx.once("large", || Ok("s".repeat(1_000_000)))?;
    Ok(Outcome::done())
}
