//! Letters taken along.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wasq_core::message::{AttributeData, AttributeValue, Attributes};
use wasq_queues::Outgoing;

use super::{bury, dead, dlq, ids, letter, rig, still};

/// The message that an exported line tells of, without its envelope.
fn rebuilt(line: &Value) -> (String, Attributes) {
    let attributes = line["attributes"].as_object().unwrap().iter().map(|(name, entry)| {
        let data_type = entry["type"].as_str().unwrap().to_owned();
        let value = match entry["base64"].as_str() {
            Some(text) => AttributeData::Binary(STANDARD.decode(text).unwrap().into()),
            None => AttributeData::Text(entry["value"].as_str().unwrap().to_owned()),
        };
        (name.clone(), AttributeValue { data_type, value })
    });
    (line["body"].as_str().unwrap().to_owned(), attributes.collect())
}

#[tokio::test]
async fn an_export_has_all_that_a_letter_has_and_leaves_it() {
    let rig = rig().await;
    let body = "{ \"do\":\"reject\",\t\"reason\":\"é\\u00e9\" }";
    let sent = rig.message(body).attribute("shop", "north").binary("raw", "Binary.png", &[0, 159, 255]).key("k").send();
    let sent = sent.await;
    dead(&rig, 1).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("letters.jsonl");
    let path = file.to_str().unwrap();
    dlq(&rig, &["export", "--output", path]).check(0, &["1 exported to", path]).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text.lines().count(), 1);
    let listed = dlq(&rig, &["ls", "--json"]).check(0, &[]).await.json();
    assert_eq!((&line["id"], &line["letter"]), (&listed[0]["id"], &listed[0]["letter"]));
    assert_eq!((&line["letter"]["message_id"], &line["letter"]["key"]), (&json!(sent), &json!("k")));
    assert!(line["sent_at"].as_u64().is_some_and(|at| at > 1_700_000_000_000));

    // Sent again as it was exported, it is what it was.
    let (rebuilt_body, attributes) = rebuilt(&line);
    assert_eq!(rebuilt_body, body);
    let queue = rig.queue("jobs-dlq").await;
    let again = Outgoing { body: rebuilt_body.into(), attributes, delay_s: 0, group: None, deduplication_id: None };
    queue.send(&[again]).await.remove(0).unwrap();
    let second = std::time::Duration::from_secs(1);
    let mut both = Vec::new();
    while both.len() < 2 {
        both.extend(queue.receive(10, second, second * 60).await.unwrap());
    }
    both[0].attributes.remove("wasq");
    assert_eq!((&both[0].body, &both[0].attributes), (&both[1].body, &both[1].attributes));

    dlq(&rig, &["export", "--output", path]).check(1, &[path, "is there already"]).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    rig.end().await;
}

#[tokio::test]
async fn lines_go_to_stdout_and_can_be_filtered() {
    let rig = still().await;
    let letters: Vec<_> =
        (0..25).map(|n| letter(&format!("k{n}"), n, json!({ "class": (["retry", "reject"][n % 2]) }))).collect();
    bury(&rig, &letters).await;
    let ran = dlq(&rig, &["export", "--class", "reject"]).check(0, &["12 exported"]).await;
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 12);
    let rejected = dlq(&rig, &["ls", "--class", "reject", "--json"]).check(0, &[]).await.json();
    assert_eq!(ids(&Value::Array(lines)), ids(&rejected));
    assert_eq!(rig.counts("jobs-dlq").await, (25, 0, 0));
    rig.end().await;
}
