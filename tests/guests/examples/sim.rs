//! A handler for the simulator: does its steps, fills its outbox, and then acts as its message says
//! for this attempt.

use std::cell::Cell;
use std::time::Duration;

use serde::Deserialize;
use wasq_sdk::{Context, End, Failure, OnFailure, Outcome, Waiting};

#[derive(Deserialize)]
struct Order {
    /// The message's number.
    n: u32,
    /// None where its plugin keeps no steps.
    steps: u32,
    outbox: u32,
    outbox_delay_s: u64,
    /// What each attempt does; the last is for all that follow.
    acts: Vec<Act>,
    /// The group that it opens, or adds to.
    group: Option<GroupOrder>,
    /// Whether it follows a group, and is to say how that ended.
    #[serde(default)]
    reads: bool,
}

#[derive(Deserialize)]
struct GroupOrder {
    /// None is the group that the message is a member of.
    name: Option<String>,
    on_failure: String,
    members: Vec<serde_json::Value>,
    follow_up: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Act {
    Done,
    /// Sleeps so many milliseconds, then is done.
    Sleep(u64),
    Retry,
    Reject,
    Trap,
    /// Snoozes once, then is done.
    Snooze,
    /// Waits for an answer, which does not come each time, and then is done.
    Wait,
}

#[wasq_sdk::handler]
fn sim(order: Order, cx: &Context) -> Result<Outcome, Failure> {
    for step in 0..order.steps {
        cx.once(&format!("s{step}"), || Ok(cx.attempt()))?;
    }
    for place in 0..order.outbox {
        // Another attempt would say something else: what is sent twice must be what was recorded
        // once.
        let plugin = cx.variable("plugin")?;
        let note = serde_json::json!({ "n": order.n, "plugin": plugin, "place": place, "attempt": cx.attempt() });
        cx.outbox("out", "note").delay(Duration::from_secs(order.outbox_delay_s)).send(&note)?;
    }
    if let Some(order) = &order.group {
        let group = order.name.as_deref().map_or_else(|| cx.own_group(), |name| cx.group(name));
        let group = group.on_failure(match order.on_failure.as_str() {
            "wait" => OnFailure::Wait,
            "cancel" => OnFailure::Cancel,
            _ => OnFailure::Send,
        });
        for member in &order.members {
            group.send("self", "member", member)?;
        }
        if let Some(follow_up) = &order.follow_up {
            group.then("self", "ready", follow_up)?;
        }
    }
    if order.reads {
        // The world hears of it by this.
        cx.once("members", || {
            let group = cx.ended_group().ok_or_else(|| Failure::reject("it follows no group"))?;
            let (mut done, mut dead, mut others) = (0, 0, 0);
            for member in group.members() {
                match member?.end {
                    End::Done(_) => done += 1,
                    End::DeadLettered(_) => dead += 1,
                    End::Discarded(_) | End::Open => others += 1,
                }
            }
            Ok(serde_json::json!({ "group": group.name(), "done": done, "dead": dead, "others": others }).to_string())
        })?;
    }
    let place = (cx.attempt() as usize).min(order.acts.len()) - 1;
    match order.acts[place] {
        Act::Done => Ok(Outcome::done()),
        Act::Sleep(ms) => {
            std::thread::sleep(Duration::from_millis(ms));
            if order.steps > 0 {
                cx.once("slept", || Ok(()))?;
            }
            Ok(Outcome::done())
        }
        Act::Retry => Err(Failure::retry("as its message says")),
        Act::Reject => Err(Failure::reject("as its message says")),
        Act::Trap => panic!("as its message says"),
        Act::Wait => {
            let came = match cx.wait_for("answer", Duration::from_secs(3))? {
                Waiting::Pending(pending) => {
                    // The world hears of it by this.
                    cx.once("token", || Ok(pending.token().to_owned()))?;
                    return Ok(pending.outcome());
                }
                Waiting::Answered(body) => String::from_utf8_lossy(&body).into_owned(),
                Waiting::TimedOut => "timed out".to_owned(),
            };
            cx.once("came", || Ok(came))?;
            Ok(Outcome::done())
        }
        Act::Snooze => {
            let first = Cell::new(false);
            cx.once("snoozed", || {
                first.set(true);
                Ok(())
            })?;
            Ok(if first.get() { Outcome::snooze(Duration::from_secs(1)) } else { Outcome::done() })
        }
    }
}
