//! Puts messages into the outbox, as many as it may.

use wasq_sdk::{Context, Failure, Outcome};

#[wasq_sdk::handler]
fn handle(cx: &Context) -> Result<Outcome, Failure> {
    for n in 0..1_000_000 {
        cx.outbox("", "flood").send(&n)?;
    }
    Ok(Outcome::done())
}
