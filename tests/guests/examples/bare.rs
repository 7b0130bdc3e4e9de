//! A handler without an outbox: it does what its message's body orders, or what it is answered.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use wasq_sdk::{Context, Failure, Outcome};

/// One order; `{"do": "done"}`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Order {
    /// Tells `url` which attempt is asking, and does what it answers.
    Ask {
        url: String,
    },
    Done,
    Retry {
        reason: String,
    },
    Snooze {
        ms: u64,
    },
    Sleep {
        ms: u64,
    },
    Reject {
        reason: String,
    },
    Trap,
    /// Does what is there for this attempt; the last is for all that follow.
    Each {
        attempts: Vec<Order>,
    },
    /// Tells `url` once.
    Step {
        url: String,
    },
}

#[wasq_sdk::handler]
fn bare(order: Order, cx: &Context) -> Result<Outcome, Failure> {
    obey(order, cx)
}

fn obey(order: Order, cx: &Context) -> Result<Outcome, Failure> {
    let tell = |url: &str| {
        let report = json!({ "attempt": cx.attempt() });
        cx.http().post(url).body(report.to_string().into_bytes()).send()?.error_for_status()
    };
    match order {
        Order::Ask { url } => obey(tell(&url)?.json()?, cx),
        Order::Done => Ok(Outcome::done()),
        Order::Retry { reason } => Err(Failure::retry(reason)),
        Order::Snooze { ms } => Ok(Outcome::snooze(Duration::from_millis(ms))),
        Order::Sleep { ms } => {
            std::thread::sleep(Duration::from_millis(ms));
            Ok(Outcome::done())
        }
        Order::Reject { reason } => Err(Failure::reject(reason)),
        Order::Trap => panic!("as its message says"),
        Order::Each { mut attempts } => {
            let place = (cx.attempt() as usize).min(attempts.len()) - 1;
            obey(attempts.swap_remove(place), cx)
        }
        Order::Step { url } => {
            cx.once("step", || Ok(tell(&url)?.status()))?;
            Ok(Outcome::done())
        }
    }
}
