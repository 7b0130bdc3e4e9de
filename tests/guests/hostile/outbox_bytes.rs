//! Puts large messages into the outbox: few enough, but not all of them together.

use wasq_sdk::{Context, Failure, Outcome};

#[wasq_sdk::handler]
fn handle(cx: &Context) -> Result<Outcome, Failure> {
    for _ in 0..90 {
        cx.outbox("", "flood").send_bytes(vec![b' '; 1_000_000])?;
    }
    Ok(Outcome::done())
}
