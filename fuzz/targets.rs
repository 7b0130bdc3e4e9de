//! What the fuzzers call, with bytes of any kind: each reads them as the host reads what others
//! wrote, and panics where the host would, or where an answer contradicts another.

#![allow(dead_code, reason = "each fuzzer takes one of them")]

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use url::Url;
use wasq::config::{Envelope, Limits, QueueConfig};
use wasq::flow::decode::{self, Decoded, Part, Typed};
use wasq::plugins::manifest::Manifest;
use wasq::sandbox::Sandbox;
use wasq::sandbox::egress::Destination;
use wasq_core::clock;
use wasq_core::message::{AttributeData, AttributeValue, Attributes, Delivery, MessageId, Receipt, UnixMs};

/// A message's body, in every envelope. Its first line is the type's attribute, unless it is empty.
pub fn decode(data: &[u8]) {
    let (first, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&data[..0], data),
    };
    let mut attributes = Attributes::new();
    if !first.is_empty() {
        let text = AttributeData::Text(String::from_utf8_lossy(first).into_owned());
        attributes.insert("type".into(), AttributeValue { data_type: "String".into(), value: text });
    }
    let delivery = Delivery {
        message_id: MessageId("m".into()),
        receipt: Receipt("r".into()),
        body: Bytes::copy_from_slice(body),
        attributes,
        receive_count: 1,
        sent_at: UnixMs(0),
        enqueued_at: UnixMs(0),
        group: None,
        deduplication_id: None,
        trace_header: None,
        received_at: clock::now(),
    };
    for envelope in [Envelope::Plain, Envelope::Sns, Envelope::Eventbridge, Envelope::Cloudevents, Envelope::Auto] {
        let queue = QueueConfig { envelope, split: true, ..QueueConfig::default() };
        match decode::decode(&delivery, &queue) {
            Ok(Decoded::Message(typed) | Decoded::Notice(_, typed)) => assert_named(&typed),
            Ok(Decoded::Batch(parts)) => {
                assert!(parts.len() > 1, "a batch has several records");
                parts.iter().for_each(|part| assert_reads_alone(part, &queue));
            }
            Err(reason) => assert!(!reason.is_empty(), "a refusal has a reason"),
        }
    }
}

fn assert_named(typed: &Typed) {
    assert!(!typed.message.kind.0.is_empty() && !typed.message.key.is_empty(), "a message has a type and a key");
}

/// A record's letter is replayed as a message of its own.
fn assert_reads_alone(part: &Part, queue: &QueueConfig) {
    assert_named(&part.typed);
    let Ok(Decoded::Message(again)) = decode::decode(&part.delivery, queue) else {
        panic!("a record is a message of its own: {part:?}")
    };
    let (message, again) = (&part.typed.message, &again.message);
    assert_eq!((&message.kind, &message.key, &message.body), (&again.kind, &again.key, &again.body));
}

/// A plugin's manifest. What is accepted is within the bounds that the host counts on.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(manifest) = Manifest::parse(text) else { return };
    assert!((1..=64).contains(&manifest.name.len()) && !manifest.name.contains(['/', '.', '\n']), "{}", manifest.name);
    assert!(!manifest.timeout.is_zero() && manifest.timeout <= HOURS_12, "{:?}", manifest.timeout);
    assert!(manifest.retry.maximum_interval <= HOURS_12, "{:?}", manifest.retry);
    assert!(!manifest.types.is_empty());
}

const HOURS_12: Duration = Duration::from_secs(12 * 60 * 60);

/// A rule of an allow-list, a newline, and the URL that a guest asks for.
pub fn egress(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((rule, asked)) = text.split_once('\n') else { return };
    let Ok(rule) = Destination::parse(rule) else { return };
    let shown = Destination::parse(&rule.to_string());
    assert_eq!(shown.as_ref().ok(), Some(&rule), "a rule is read as it is shown: {rule}");
    let Ok(url) = Url::parse(asked) else { return };
    let allowed = rule.allows(&url);
    let again = Url::parse(url.as_str()).expect("a URL in its canonical form is a URL");
    assert_eq!(rule.allows(&again), allowed, "the canonical form of {asked} has the same answer");
    if !allowed {
        return;
    }
    assert!(matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none());
    // A rule made of what is asked for allows it, and an exact rule is that one.
    let host = url.host_str().expect("what is allowed has a host");
    let port = url.port_or_known_default().expect("http and https have a port");
    let own = Destination::parse(&format!("{}://{host}:{port}", url.scheme())).expect("it has the form of a rule");
    assert!(own.allows(&url));
    assert!(rule == own || rule.to_string().contains("://*."), "{rule} allowed {url}");
}

/// A file in the plugin directory.
pub fn component(data: &[u8]) {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    if wasq::plugins::check_format(data).is_err() {
        return;
    }
    let sandbox = SANDBOX.get_or_init(|| {
        let limits = Limits { max_instances: 1, ..Limits::default() };
        Sandbox::without_ticks(&limits).expect("an engine can be made")
    });
    // Whatever it is, it is taken or refused.
    drop(sandbox.compile(data));
}
