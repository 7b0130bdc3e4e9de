//! Messages of a client that is not ours: confluent-kafka for Python.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use wasq_core::message::AttributeData;
use wasq_queues::{KAFKA_KEY, KAFKA_TOMBSTONE, Queue};

use super::{cluster, delete, keyed, new_queue, receive_all, text};

/// How long the script may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the script, which produces or consumes, and gives what it printed.
async fn client(arguments: &[&str]) -> String {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients");
    let python = clients.join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run {}/setup.sh once", python.display(), clients.display());
    let run = tokio::process::Command::new(python)
        .arg(clients.join("kafka_client.py"))
        .arg(cluster().brokers())
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.expect("it ends in time").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints JSON")
}

#[tokio::test]
async fn what_another_client_produces_is_received() {
    let queue = new_queue(1).await;
    client(&["produce", queue.name()]).await;
    let all = receive_all(&queue, 4).await;
    let bodies: Vec<_> = all.iter().map(text).collect();
    assert_eq!(bodies, ["plain", "", "compressed", "odd"]);
    assert_eq!(all[0].sent_at.0, 1_700_000_000_000);
    assert_eq!(all[0].attributes["type"].text(), Some("greeting"));
    assert_eq!(all[0].attributes["twice"].text(), Some("2"), "the last one counts");
    assert_eq!(all[0].attributes["bytes"].value, AttributeData::Binary([0xff_u8, 0].as_slice().to_vec().into()));
    assert_eq!((all[0].attributes[KAFKA_KEY].text(), all[0].group.as_deref()), (Some("k1"), Some("k1")));
    assert_eq!(all[1].attributes[KAFKA_TOMBSTONE].text(), Some("true"));
    assert_eq!(all[2].group, None);
    assert_eq!((all[3].attributes[KAFKA_KEY].data_type.as_str(), &all[3].group), ("Binary", &None));
    delete(&queue, &all).await;
}

#[tokio::test]
async fn what_we_produce_another_client_consumes() {
    let queue = new_queue(4).await;
    let sent = [keyed("k1:a"), keyed("k2:b"), keyed("k3:c")];
    let mut partitions = Vec::new();
    for message in sent {
        let id = queue.send(&[message]).await.remove(0).unwrap();
        partitions.push(id.0.split(':').nth(1).unwrap().parse::<i64>().unwrap());
    }
    let printed = client(&["consume", queue.name(), "3"]).await;
    let mut messages: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    messages.sort_by_key(|message| message["key"].to_string());
    for (message, (n, partition)) in messages.iter().zip((1..).zip(partitions)) {
        assert_eq!(message["key"], format!("k{n}"));
        assert_eq!(message["headers"], serde_json::json!({ "type": "probe" }), "nothing of ours beside it");
        assert_eq!(message["partition"], partition);
        assert_eq!(message["murmur2"], partition, "where Kafka's own clients would put it");
    }
}
