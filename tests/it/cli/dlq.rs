//! `wasq dlq`: dead letters listed, summed up, replayed, mended, discarded and exported.

mod discard;
mod edit;
mod export;
mod groups;
mod ls;
mod moved;
mod oversized;
mod replay;
mod watch;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use wasq::dlq::{LETTER_ATTRIBUTE, OWN_KEY_ATTRIBUTE};
use wasq_core::message::AttributeValue;
use wasq_queues::{Outgoing, batches};

use super::binary::{Wasq, wasq};
use crate::support::{Plugin, Rig, Setup, until};

fn dlq(rig: &Rig, arguments: &[&str]) -> Wasq {
    on_queue(rig, arguments, &["--queue", rig.config.queues.keys().next().unwrap()])
}

/// The command with these arguments in the place of `--queue`.
fn on_queue(rig: &Rig, arguments: &[&str], queue: &[&str]) -> Wasq {
    let url = rig.sqs.endpoint_url();
    // Nobody listens on port 1.
    let admin = rig.admin_addr().map_or("127.0.0.1:1".into(), |addr| addr.to_string());
    let target = ["--endpoint-url", &url, "--admin", &admin];
    wasq(["dlq"].iter().chain(arguments).chain(queue).chain(&target)).env("WASQ_CONFIG", "/nowhere/wasq.toml")
}

/// The probe gives up after its first failure. The host runs.
async fn rig() -> Rig {
    let mut rig = setup().without_host().await;
    allow_redrive(&rig, 1000).await;
    rig.start_host().await;
    rig
}

/// The same without a host: what is sent stays in its queue.
async fn still() -> Rig {
    let rig = setup().without_host().await;
    allow_redrive(&rig, 1000).await;
    rig
}

fn setup() -> Setup {
    Setup::new().plugin(Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1\n"))
}

/// Without a config the DLQ is found by the queue's redrive policy.
async fn allow_redrive(rig: &Rig, max_receive_count: u32) {
    let name = rig.config.queues.keys().next().unwrap();
    let dlq = if name.ends_with(".fifo") { "jobs-dlq.fifo" } else { "jobs-dlq" };
    let arn = rig.queue(dlq).await.attributes().await.unwrap()["QueueArn"].clone();
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": max_receive_count }).to_string();
    let queue = rig.queue(name).await;
    let set = rig.client.set_queue_attributes().queue_url(queue.url());
    set.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
}

async fn dead(rig: &Rig, count: usize) {
    until(&format!("{count} dead letters"), || async { rig.counts("jobs-dlq").await == (count, 0, 0) }).await;
    if rig.admin_addr().is_some() {
        rig.emptied().await;
    }
}

/// A letter as a host sends it; `more` changes its envelope.
fn letter(key: &str, body: impl ToString, more: Value) -> Outgoing {
    let mut envelope = json!({
        "queue": "jobs", "message_id": format!("original of {key}"), "type": "probe", "plugin": "probe", "class": "retry",
        "reason": "no answer after 10 s", "attempts": 1, "receive_count": 1, "last_failed_at": 1_700_000_000_000u64, "key": key,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        envelope[name] = value.clone();
    }
    let attributes = [("type", "probe".to_owned()), (LETTER_ATTRIBUTE, envelope.to_string())];
    Outgoing {
        body: body.to_string().into(),
        attributes: attributes.map(|(name, value)| (name.to_owned(), AttributeValue::string(value))).into(),
        delay_s: 0,
        group: None,
        deduplication_id: None,
    }
}

/// Puts letters into the DLQ. The answer is their ids there.
async fn bury(rig: &Rig, letters: &[Outgoing]) -> Vec<String> {
    let queue = rig.queue("jobs-dlq").await;
    let mut ids = Vec::new();
    for batch in batches(letters) {
        ids.extend(queue.send(batch).await.into_iter().map(|answer| answer.unwrap().0));
    }
    ids
}

/// The keys of the messages in `jobs`, which are taken out.
async fn keys_in_jobs(rig: &Rig) -> Vec<String> {
    let queue = rig.queue("jobs").await;
    let mut keys = Vec::new();
    loop {
        let deliveries =
            queue.receive(10, std::time::Duration::ZERO, std::time::Duration::from_secs(60)).await.unwrap();
        if deliveries.is_empty() {
            keys.sort();
            return keys;
        }
        for delivery in deliveries {
            keys.push(delivery.attributes[OWN_KEY_ATTRIBUTE].text().unwrap().to_owned());
            queue.delete(&[delivery.receipt]).await.remove(0).unwrap();
        }
    }
}

fn ids(list: &Value) -> Vec<String> {
    let ids = list.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned());
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids
}
