//! Leaves something in a global, and fails if it finds something there.

use std::sync::atomic::{AtomicU32, Ordering};

use wasq_sdk::{Context, Failure, Outcome};

static SEEN: AtomicU32 = AtomicU32::new(0);

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Result<Outcome, Failure> {
    match SEEN.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Outcome::done()),
        seen => Err(Failure::reject(format!("this instance has seen {seen} messages before"))),
    }
}
