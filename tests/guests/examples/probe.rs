//! A handler that does what its message's body orders, well or badly.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use wasq_sdk::{AttributeValue, Context, End, Failure, Member, OnFailure, Outcome, Waiting, tracing};

/// One order; `{"do": "done"}`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Order {
    /// Tells `url` who is asking, and does what it answers. `{plugin}` in the URL is the variable
    /// `plugin`.
    Ask {
        url: String,
    },
    Done,
    Result {
        bytes: usize,
    },
    Discard {
        reason: String,
    },
    Snooze {
        ms: u64,
    },
    Retry {
        reason: String,
        after_ms: Option<u64>,
    },
    Unavailable {
        dependency: String,
        after_ms: Option<u64>,
    },
    Reject {
        reason: String,
    },
    Panic {
        message: String,
    },
    Exit {
        code: i32,
    },
    Loop,
    Sleep {
        ms: u64,
    },
    /// Does each step once: tells its URL. Then goes on.
    Steps {
        urls: BTreeMap<String, String>,
        then: Box<Order>,
    },
    /// Puts `count` messages into the outbox. Then goes on.
    Outbox {
        queue: String,
        kind: String,
        body: serde_json::Value,
        count: usize,
        group: Option<String>,
        #[serde(default)]
        delay_s: u64,
        /// When, in seconds since 1970.
        at_s: Option<u64>,
        then: Box<Order>,
    },
    /// Sends members of a group to the queue that the message came from, and says what follows it.
    /// Without a name it is the group that the message is a member of. Then goes on.
    Group {
        name: Option<String>,
        members: Vec<serde_json::Value>,
        #[serde(default)]
        follow_ups: Vec<serde_json::Value>,
        #[serde(default)]
        on_failure: String,
        then: Box<Order>,
    },
    /// Tells `url` of the group whose end the message follows, and of its members. Then goes on.
    Ended {
        url: String,
        then: Option<Box<Order>>,
    },
    /// Waits for an answer. It hands the token out once, and obeys what it is told with the answer.
    Wait {
        name: String,
        timeout_ms: u64,
        /// Where it hands the token out.
        hand_out: String,
        /// Where it says what came of it.
        then: String,
    },
    /// Gets a URL, and fails with `?` unless the answer is a success.
    Http {
        url: String,
    },
    /// Sends a request, and fails with the answer's status and text unless it is a success. An
    /// answer without the text `expect` is none.
    Call {
        method: String,
        url: String,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: String,
        #[serde(default)]
        expect: String,
    },
    /// Writes `count` lines of `text` to the log and to stdout.
    Log {
        text: String,
        count: usize,
    },
}

#[wasq_sdk::handler]
fn probe(order: Order, cx: &Context) -> Result<Outcome, Failure> {
    obey(order, cx)
}

fn obey(order: Order, cx: &Context) -> Result<Outcome, Failure> {
    match order {
        Order::Ask { url } => obey(ask(&url, cx)?, cx),
        Order::Done => Ok(Outcome::done()),
        Order::Result { bytes } => Ok(Outcome::result(vec![b'r'; bytes])),
        Order::Discard { reason } => Ok(Outcome::discard(reason)),
        Order::Snooze { ms } => Ok(Outcome::snooze(Duration::from_millis(ms))),
        Order::Retry { reason, after_ms } => Err(after(Failure::retry(reason), after_ms)),
        Order::Unavailable { dependency, after_ms } => {
            Err(after(Failure::unavailable(dependency, "the probe says so"), after_ms))
        }
        Order::Reject { reason } => Err(Failure::reject(reason)),
        Order::Panic { message } => panic!("{message}"),
        Order::Exit { code } => std::process::exit(code),
        Order::Loop => loop {
            black_box(());
        },
        Order::Sleep { ms } => {
            std::thread::sleep(Duration::from_millis(ms));
            Ok(Outcome::done())
        }
        Order::Steps { urls, then } => {
            for (name, url) in urls {
                cx.once(&name, || Ok(cx.http().post(&url).body(Vec::new()).send()?.error_for_status()?.status()))?;
            }
            obey(*then, cx)
        }
        Order::Outbox { queue, kind, body, count, group, delay_s, at_s, then } => {
            for _ in 0..count {
                let mut message = cx.outbox(&queue, &kind).delay(Duration::from_secs(delay_s));
                if let Some(group) = &group {
                    message = message.group(group);
                }
                if let Some(at_s) = at_s {
                    message = message.at(SystemTime::UNIX_EPOCH + Duration::from_secs(at_s));
                }
                message.send(&body)?;
            }
            obey(*then, cx)
        }
        Order::Group { name, members, follow_ups, on_failure, then } => {
            let group = name.as_deref().map_or_else(|| cx.own_group(), |name| cx.group(name));
            let group = group.on_failure(match on_failure.as_str() {
                "wait" => OnFailure::Wait,
                "cancel" => OnFailure::Cancel,
                _ => OnFailure::Send,
            });
            for member in &members {
                group.send("self", "probe", member)?;
            }
            for follow_up in &follow_ups {
                group.then("self", "probe", follow_up)?;
            }
            obey(*then, cx)
        }
        Order::Ended { url, then } => {
            let group = cx.ended_group().ok_or_else(|| Failure::reject("it follows no group"))?;
            let members = group.members().map(|member| member.map(|member| end_text(&member)));
            let report = serde_json::json!({
                "name": group.name(),
                "done": group.summary().done,
                "discarded": group.summary().discarded,
                "dead_lettered": group.summary().dead_lettered,
                "members": members.collect::<Result<Vec<_>, _>>()?,
                "key": cx.idempotency_key(),
            });
            tell(&url, &report, cx)?;
            then.map_or(Ok(Outcome::done()), |then| obey(*then, cx))
        }
        Order::Wait { name, timeout_ms, hand_out, then } => {
            let came = match cx.wait_for(&name, Duration::from_millis(timeout_ms))? {
                Waiting::Pending(pending) => {
                    cx.once("handed out", || tell(&hand_out, &serde_json::json!({ "token": pending.token() }), cx))?;
                    return Ok(pending.outcome());
                }
                Waiting::Answered(body) => String::from_utf8_lossy(&body).into_owned(),
                Waiting::TimedOut => "timed out".to_owned(),
            };
            tell(&then, &serde_json::json!({ "came": came, "attempt": cx.attempt() }), cx)?;
            Ok(Outcome::done())
        }
        Order::Http { url } => {
            cx.http().get(&url).send()?.error_for_status()?;
            Ok(Outcome::done())
        }
        Order::Call { method, url, headers, body, expect } => {
            let request = cx.http().method(&method, &url).body(body);
            let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
            let answer = request.send()?;
            let text = String::from_utf8_lossy(answer.bytes());
            match answer.status() {
                200..=299 if text.contains(&expect) => Ok(Outcome::done()),
                status => Err(Failure::reject(format!("answered {status}: {text}"))),
            }
        }
        Order::Log { text, count } => {
            for _ in 0..count {
                tracing::info!("{text}");
                println!("{text}");
            }
            Ok(Outcome::done())
        }
    }
}

/// How a member of a group has ended.
fn end_text(member: &Member) -> String {
    match &member.end {
        End::Done(None) => "done".to_owned(),
        End::Done(Some(result)) => format!("done with {} bytes", result.len()),
        End::Discarded(reason) => format!("discarded: {reason}"),
        End::DeadLettered(reason) => format!("dead-lettered: {reason}"),
        End::Open => "open".to_owned(),
    }
}

fn after(failure: Failure, ms: Option<u64>) -> Failure {
    match ms {
        Some(ms) => failure.after(Duration::from_millis(ms)),
        None => failure,
    }
}

fn tell(url: &str, what: &serde_json::Value, cx: &Context) -> Result<(), Failure> {
    cx.http().post(url).json(what).send()?.error_for_status()?;
    Ok(())
}

fn ask(url: &str, cx: &Context) -> Result<Order, Failure> {
    let message = cx.message();
    let attributes: BTreeMap<_, _> =
        message.attributes().iter().map(|attribute| (&attribute.name, shown(&attribute.value))).collect();
    let report = serde_json::json!({
        "attempt": cx.attempt(),
        "key": cx.idempotency_key(),
        "id": message.id(),
        "sent_at": cx.sent_at().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        "kind": message.kind(),
        "body": String::from_utf8_lossy(message.body()),
        "content_type": message.content_type(),
        "attributes": attributes,
        "remaining_ms": cx.remaining().as_millis() as u64,
    });
    let url = url.replace("{plugin}", &cx.variable("plugin").unwrap_or_default());
    // Held answers are waited for as long as the handler may run.
    let request = cx.http().post(url).timeout(cx.remaining()).json(&report);
    Ok(request.send()?.error_for_status()?.json()?)
}

fn shown(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Text(text) => text.clone(),
        AttributeValue::Number(number) => format!("number {number}"),
        AttributeValue::Binary(bytes) => format!("binary {bytes:?}"),
    }
}
