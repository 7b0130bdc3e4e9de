//! The queue's redrive policy, checked before the first receive: SQS must not take messages away uncounted.

use std::collections::HashMap;

use crate::config::{OnExhausted, QueueConfig};

/// What is wrong between a queue and its DLQ.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error(
        "queue `{queue}`: its redrive policy has maxReceiveCount {max_receive_count}, but a message may take {attempts} \
         attempts: SQS would take it away before the host is done with it; set maxReceiveCount to 1000, or remove the policy"
    )]
    TooFewReceives { queue: String, max_receive_count: u32, attempts: u32 },
    #[error("queue `{queue}` has no DLQ: set `dlq` in [queues.{queue}], or give the queue a redrive policy")]
    NoDlq { queue: String },
    #[error("queue `{queue}`: its DLQ `{dlq}` must be {kind} like the queue itself, as SQS requires")]
    Kind { queue: String, dlq: String, kind: &'static str },
    #[error("queue `{queue}` is no FIFO queue and has no groups in order: remove `on_exhausted = \"block-group\"`")]
    NoGroups { queue: String },
    #[error("queue `{queue}`: its redrive policy cannot be read: {reason}")]
    Unreadable { queue: String, reason: String },
}

/// Checks a queue's attributes against the most `attempts` that a plugin makes. The answer is the DLQ's name or URL.
pub fn check(
    name: &str,
    fifo: bool,
    config: &QueueConfig,
    attributes: &HashMap<String, String>,
    attempts: u32,
) -> Result<String, RedriveError> {
    let unreadable = |reason: String| RedriveError::Unreadable { queue: name.to_owned(), reason };
    if config.on_exhausted == OnExhausted::BlockGroup && !fifo {
        return Err(RedriveError::NoGroups { queue: name.to_owned() });
    }
    let mut target = None;
    if let Some(text) = attributes.get("RedrivePolicy") {
        let policy: serde_json::Value = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        // SQS takes the number as a number or as a string.
        let count = &policy["maxReceiveCount"];
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok());
        let max_receive_count = count.ok_or_else(|| unreadable("no maxReceiveCount".into()))? as u32;
        if max_receive_count <= attempts {
            return Err(RedriveError::TooFewReceives { queue: name.to_owned(), max_receive_count, attempts });
        }
        target = policy["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next()).map(str::to_owned);
    }
    let dlq = config.dlq.clone().or(target).ok_or_else(|| RedriveError::NoDlq { queue: name.to_owned() })?;
    check_kinds(name, fifo, &dlq, dlq.ends_with(".fifo"))?;
    Ok(dlq)
}

/// A FIFO queue wants a FIFO DLQ, and a standard one a standard one.
pub fn check_kinds(name: &str, fifo: bool, dlq: &str, dlq_fifo: bool) -> Result<(), RedriveError> {
    if fifo == dlq_fifo {
        return Ok(());
    }
    let kind = if fifo { "FIFO" } else { "standard" };
    Err(RedriveError::Kind { queue: name.to_owned(), dlq: dlq.to_owned(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_would_take_messages_away_is_refused() {
        let check = |policy: Option<&str>, dlq: Option<&str>, fifo: bool, expect: Result<&str, &str>| {
            let attributes = policy.map(|text| ("RedrivePolicy".to_owned(), text.to_owned())).into_iter().collect();
            let config = QueueConfig { dlq: dlq.map(str::to_owned), ..QueueConfig::default() };
            let got = check("q", fifo, &config, &attributes, 5).map_err(|error| error.to_string());
            match expect {
                Ok(name) => assert_eq!(got.as_deref(), Ok(name), "{policy:?}"),
                Err(part) => assert!(got.as_ref().is_err_and(|error| error.contains(part)), "{policy:?} gave {got:?}"),
            }
        };
        let policy =
            |count: &str| format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:x:1:q-dlq","maxReceiveCount":{count}}}"#);
        check(Some(&policy("1000")), None, false, Ok("q-dlq"));
        check(Some(&policy("\"1000\"")), Some("other"), false, Ok("other"));
        check(Some(&policy("5")), None, false, Err("maxReceiveCount 5"));
        check(Some(&policy("3")), Some("other"), false, Err("5 attempts"));
        check(None, None, false, Err("no DLQ"));
        check(None, Some("q-dlq"), false, Ok("q-dlq"));
        check(None, Some("q-dlq"), true, Err("FIFO"));
        check(None, Some("q-dlq.fifo"), false, Err("standard"));
        check(Some("{"), None, false, Err("cannot be read"));
    }
}
