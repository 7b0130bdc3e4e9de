//! A handler that does not use the SDK's words: it writes to stdout and stderr, and traps; or it
//! makes its own failure of a call.

use std::io::Write;

use serde::Deserialize;
use wasq_sdk::{Context, Failure};

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Order {
    /// Writes both in turns, without a newline at the end, and traps.
    Trap { stdout: Vec<String>, stderr: Vec<String> },
    /// Calls, and says of a fault only that there was one.
    Call { url: String },
}

#[wasq_sdk::handler]
fn words(order: Order, cx: &Context) -> Result<(), Failure> {
    match order {
        Order::Trap { stdout, stderr } => {
            for (out, err) in stdout.iter().zip(&stderr) {
                print!("{out}");
                std::io::stdout().flush()?;
                eprint!("{err}");
            }
            std::process::abort()
        }
        Order::Call { url } => match cx.http().get(url).send() {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::retry("a call failed")),
        },
    }
}
