//! Records large steps: few enough, and each small enough, but not all of them together.

use wasq_sdk::{Context, Failure, Outcome};

#[wasq_sdk::handler]
fn handle(cx: &Context) -> Result<Outcome, Failure> {
    for n in 0..60 {
        cx.once(&format!("step-{n}"), || Ok("s".repeat(200_000)))?;
    }
    Ok(Outcome::done())
}
