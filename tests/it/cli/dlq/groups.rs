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

    let variants: Vec<_> = first["variants"].as_array().unwrap().iter().map(|variant| &variant["letters"]).collect();
    assert_eq!((variants, &first["messages"]), (vec![&json!(1); 3], &json!(3)));
    let table = dlq(&rig, &["groups"]).check(0, &[fingerprint, "other, probe", "invoice", "no route"]).await;
    assert!(table.out.contains("1970-01-01 00:00:01"), "{}", table.out);
    let narrowed = dlq(&rig, &["ls", "--fingerprint", fingerprint, "--class", "retry", "--json"]).check(0, &[]).await;
    assert_eq!(narrowed.json().as_array().unwrap().len(), 3);
    let filtered = dlq(&rig, &["groups", "--type", "invoice", "--json"]).check(0, &[]).await.json();
    assert_eq!(filtered.as_array().unwrap().len(), 1);
    assert_eq!(rig.counts("jobs-dlq").await, (5, 0, 0));
    rig.end().await;
}

#[tokio::test]
async fn a_missing_field_is_a_cause_of_its_own_and_a_message_counts_once_for_all_its_plugins() {
    let rig = still().await;
    let at = |key: &str, plugin: &str, field: &str| {
        letter(
            key,
            "{}",
            json!({ "class": "reject", "plugin": plugin, "reason": format!("missing field `{field}` at line 1 column {}", key.len()) }),
        )
    };
    let buried: Vec<_> = ["ship", "bill", "mail"]
        .into_iter()
        .flat_map(|plugin| {
            [
                at("a", plugin, "customer"),
                at("bb", plugin, "customer"),
                at("c", plugin, "items"),
                at("d", plugin, "currency"),
            ]
        })
        .collect();
    bury(&rig, &buried).await;
    let groups = dlq(&rig, &["groups", "--json"]).check(0, &[]).await.json();
    let seen: Vec<_> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let reason = group["example"]["reason"].as_str().unwrap().split('`').nth(1).unwrap().to_owned();
            (group["messages"].as_u64().unwrap(), group["count"].as_u64().unwrap(), reason)
        })
        .collect();
    assert_eq!((seen.len(), &seen[0]), (3, &(2, 6, "customer".to_owned())));
    assert_eq!(groups[0]["plugins"], json!(["bill", "mail", "ship"]));
    dlq(&rig, &["groups"])
        .check(0, &["`customer` at line 1 column 1", "3 × missing field `customer` at line 1 column 2", "`currency`"])
        .await;

    let listed = dlq(&rig, &["ls", "--json"]).check(0, &[]).await.json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 4, "each message once");
    for message in listed {
        let mut plugins: Vec<_> =
            message["plugins"].as_array().unwrap().iter().map(|plugin| plugin.as_str().unwrap()).collect();
        plugins.sort_unstable();
        assert_eq!((plugins, message["letters"].as_array().unwrap().len()), (vec!["bill", "mail", "ship"], 3));
        assert_eq!(message["letters"][0]["id"], message["id"], "what was there is there");
    }
    assert_eq!(dlq(&rig, &["ls", "--limit", "2", "--json"]).check(0, &[]).await.json().as_array().unwrap().len(), 2);
    for columns in ["80", "60"] {
        for command in [&["ls"][..], &["groups"], &["replay", "--all", "--dry-run"], &["discard", "--all", "--dry-run"]]
        {
            let out = dlq(&rig, command).env("COLUMNS", columns).check(0, &[]).await.out;
            let widest = out.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= columns.parse().unwrap(), "{widest} of {columns}, {command:?}:\n{out}");
        }
    }
    assert_eq!(rig.counts("jobs-dlq").await, (12, 0, 0));
    rig.end().await;
}
