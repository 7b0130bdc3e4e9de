//! Does what its message's body orders, as the handlers in the other languages do.
//! tests/it/languages has the cases.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};
use wasq_sdk::{AttributeValue, Context, Failure, OnFailure, Outcome, Waiting, tracing};

#[derive(Deserialize)]
struct Typed {
    typed: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    items: Vec<Item>,
    #[allow(dead_code, reason = "a body may have it, and then it is a string")]
    note: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[allow(dead_code, reason = "a body must have it")]
    sku: String,
    quantity: u64,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Order {
    Done,
    Result { value: Value },
    EchoBody,
    Discard { reason: String },
    Snooze { ms: u64 },
    Retry { reason: String, after_ms: Option<u64> },
    Unavailable { dependency: String, reason: String, after_ms: Option<u64> },
    Reject { reason: String },
    Error { text: String },
    Typed,
    Once { name: String, url: String },
    OnceError { name: String, text: String },
    OnceReject { name: String, reason: String },
    Send {
        queue: String,
        kind: String,
        body: Value,
        #[serde(default)]
        delay_ms: u64,
        group: Option<String>,
        #[serde(default)]
        attributes: BTreeMap<String, Value>,
    },
    Group { name: String, members: Vec<Value>, follow: Value },
    Wait { name: String },
    Variable { name: String },
    Delivery,
    Attributes,
    Get { url: String },
    Post { url: String, json: Value, key: Option<String> },
    Log { text: String },
}

#[wasq_sdk::handler]
fn conformance(order: Order, cx: &Context) -> Result<Outcome, Failure> {
    let ms = Duration::from_millis;
    match order {
        Order::Done => Ok(Outcome::done()),
        Order::Result { value } => Outcome::json(&value),
        Order::EchoBody => Outcome::json(&json!({ "text": String::from_utf8_lossy(cx.message().body()) })),
        Order::Discard { reason } => Ok(Outcome::discard(reason)),
        Order::Snooze { ms: after } => Ok(Outcome::snooze(ms(after))),
        Order::Retry { reason, after_ms } => Err(after(Failure::retry(reason), after_ms)),
        Order::Unavailable { dependency, reason, after_ms } => {
            Err(after(Failure::unavailable(dependency, reason), after_ms))
        }
        Order::Reject { reason } => Err(Failure::reject(reason)),
        Order::Error { text } => Err(std::io::Error::other(text).into()),
        Order::Typed => {
            let Typed { typed } = cx.message().json()?;
            let sum: u64 = typed.items.iter().map(|item| item.quantity).sum();
            Outcome::json(&json!({ "name": typed.name, "sum": sum }))
        }
        Order::Once { name, url } => {
            let value = cx.once(&name, || {
                let request = cx.http().post(&url).idempotency_key_for(&name).json(&json!({}));
                Ok(request.send()?.error_for_status()?.json::<Value>()?)
            })?;
            Outcome::json(&value)
        }
        Order::OnceError { name, text } => {
            cx.once::<()>(&name, || Err(std::io::Error::other(text).into()))?;
            Ok(Outcome::done())
        }
        Order::OnceReject { name, reason } => {
            cx.once::<()>(&name, || Err(Failure::reject(reason)))?;
            Ok(Outcome::done())
        }
        Order::Send { queue, kind, body, delay_ms, group, attributes } => {
            let mut outgoing = cx.outbox(&queue, &kind).delay(ms(delay_ms));
            if let Some(group) = group {
                outgoing = outgoing.group(group);
            }
            for (name, value) in attributes {
                outgoing = match value {
                    Value::Number(number) => outgoing.attribute(name, AttributeValue::Number(number.to_string())),
                    other => outgoing.attribute(name, other.as_str().unwrap_or_default()),
                };
            }
            outgoing.send(&body)?;
            Ok(Outcome::done())
        }
        Order::Group { name, members, follow } => {
            let group = cx.group(&name).on_failure(OnFailure::Cancel);
            for body in &members {
                group.send("self", "member", body)?;
            }
            group.then("self", "follow", &follow)?;
            Ok(Outcome::done())
        }
        Order::Wait { name } => match cx.wait_for(&name, ms(60_000))? {
            Waiting::Pending(pending) => Ok(pending.outcome()),
            Waiting::Answered(body) => Ok(Outcome::result(body)),
            Waiting::TimedOut => Ok(Outcome::done()),
        },
        Order::Variable { name } => Outcome::json(&cx.variable(&name)?),
        Order::Delivery => {
            let sent_at = cx.sent_at().duration_since(SystemTime::UNIX_EPOCH)?;
            Outcome::json(&json!({
                "attempt": cx.attempt(), "key": cx.idempotency_key(), "sent_at_ms": sent_at.as_millis() as u64,
                "timely": !cx.remaining().is_zero() && cx.remaining() <= ms(60_000),
                "id": cx.message().id(), "kind": cx.message().kind(),
            }))
        }
        Order::Attributes => {
            let values = cx.message().attributes().iter().map(|attribute| {
                let value = match &attribute.value {
                    AttributeValue::Text(text) | AttributeValue::Number(text) => json!(text),
                    AttributeValue::Binary(bytes) => json!(bytes),
                };
                (attribute.name.clone(), value)
            });
            Outcome::json(&values.collect::<BTreeMap<_, _>>())
        }
        Order::Get { url } => {
            Outcome::json(&cx.http().get(&url).header("x-probe", "ü").send()?.error_for_status()?.json::<Value>()?)
        }
        Order::Post { url, json, key } => {
            let mut request = cx.http().post(&url).json(&json);
            if let Some(key) = key {
                request = request.idempotency_key_for(&key);
            }
            Outcome::json(&request.send()?.error_for_status()?.json::<Value>()?)
        }
        Order::Log { text } => {
            tracing::warn!("{text}");
            println!("{text}");
            Ok(Outcome::done())
        }
    }
}

fn after(failure: Failure, after_ms: Option<u64>) -> Failure {
    match after_ms {
        Some(after_ms) => failure.after(Duration::from_millis(after_ms)),
        None => failure,
    }
}
