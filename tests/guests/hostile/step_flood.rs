//! Records steps, one after the other, as many as it may.

use wasq_sdk::{Context, Failure, Outcome};

#[wasq_sdk::handler]
fn handle(cx: &Context) -> Result<Outcome, Failure> {
    for n in 0..1_000_000 {
        cx.once(&format!("step-{n}"), || Ok(n))?;
    }
    Ok(Outcome::done())
}
