//! Letters summed up by what made them fail.

use serde_json::{Value, json};

use super::{bury, dlq, letter, still};

#[tokio::test]
async fn letters_with_like_reasons_are_one_group() {
    let rig = still().await;
    let at = |key: &str, class: &str, reason: &str, more: Value| {
        let mut fields = json!({ "class": class, "reason": reason });
        for (name, value) in more.as_object().unwrap() {
            fields[name] = value.clone();
        }
        letter(key, "{}", fields)
    };
    let buried = [
        at("a", "retry", "order 17 is locked by 'ada'", json!({ "last_failed_at": 3000, "first_failed_at": 2000 })),
        at("b", "retry", "order 18 is locked by 'bob'", json!({ "last_failed_at": 5000, "plugin": "other" })),
        at("c", "retry", "order 19 is locked by 'eve'", json!({ "last_failed_at": 1500 })),
        at("d", "reject", "order 17 is locked by 'ada'", json!({})),
        at("e", "retry", "no route", json!({ "type": "invoice" })),
    ];
    bury(&rig, &buried).await;
    let groups = dlq(&rig, &["groups", "--json"]).check(0, &[]).await.json();
    let groups = groups.as_array().unwrap();
    let counts: Vec<_> = groups.iter().map(|group| group["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [3, 1, 1], "the largest first");
    let first = &groups[0];
    assert_eq!((&first["type"], &first["class"]), (&json!("probe"), &json!("retry")));
    assert_eq!((&first["first_failed_at"], &first["last_failed_at"]), (&json!(1500), &json!(5000)));
    assert_eq!(first["plugins"], json!(["other", "probe"]));
    assert!(first["example"]["reason"].as_str().unwrap().starts_with("order 1"));
    let fingerprint = first["fingerprint"].as_str().unwrap();
    assert_eq!(fingerprint, wasq::dlq::fingerprint::fingerprint("order 5 is locked by 'you'"));

    let table = dlq(&rig, &["groups"]).check(0, &[fingerprint, "other, probe", "invoice", "no route"]).await;
    assert!(table.out.contains("1970-01-01 00:00:01"), "{}", table.out);
    let narrowed = dlq(&rig, &["ls", "--fingerprint", fingerprint, "--class", "retry", "--json"]).check(0, &[]).await;
    assert_eq!(narrowed.json().as_array().unwrap().len(), 3);
    let filtered = dlq(&rig, &["groups", "--type", "invoice", "--json"]).check(0, &[]).await.json();
    assert_eq!(filtered.as_array().unwrap().len(), 1);
    assert_eq!(rig.counts("jobs-dlq").await, (5, 0, 0));
    rig.end().await;
}
