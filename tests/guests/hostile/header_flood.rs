//! Adds headers to a request that it never sends, as many as it may; says how many bytes they had.

use wasip2::http::types::Fields;
use wasq_sdk::{Context, Failure, Outcome};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Result<Outcome, Failure> {
    let (fields, value) = (Fields::new(), vec![b'x'; 1_000]);
    for n in 0..1_000_000 {
        if fields.append("x-flood", &value).is_err() {
            return Err(Failure::reject(format!("refused after {n} headers")));
        }
    }
    Ok(Outcome::done())
}
