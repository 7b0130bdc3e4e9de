//! Sleeps for ten hours in a call to the host.

use wasq_sdk::{Context, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Outcome {
    std::thread::sleep(std::time::Duration::from_secs(10 * 60 * 60));
    Outcome::done()
}
