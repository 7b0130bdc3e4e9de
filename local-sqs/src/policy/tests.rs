use super::{super::record::Permission, *};

const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:q";

/// A definition with this policy and these permissions from before.
fn definition(policy: Option<&str>, labels: &[&str]) -> Definition {
    let permission = Permission { accounts: vec!["111111111111".into()], actions: vec!["SendMessage".into()] };
    Definition {
        number: 1,
        name: "q".into(),
        home: None,
        attributes: policy.map(|policy| ("Policy".to_owned(), policy.to_owned())).into_iter().collect(),
        tags: Default::default(),
        permissions: labels.iter().map(|label| ((*label).to_owned(), permission.clone())).collect(),
        created_s: 0,
        modified_s: 0,
        next_seq: 1,
    }
}

#[test]
fn old_permissions_that_the_policy_cannot_take_are_kept() {
    let full: Vec<Value> = (0..MAX_STATEMENTS).map(|index| json!({ "Sid": index.to_string() })).collect();
    for (policy, kept) in [
        (None, &[][..]),
        (Some(json!({ "Statement": [] })), &[]),
        (Some(json!({ "Statement": [{ "Sid": "a" }] })), &["a"]),
        (Some(json!({ "Statement": full })), &["a", "b"]),
        (Some(json!({ "Id": "x".repeat(MAX_POLICY_BYTES) })), &["a", "b"]),
        (Some(json!("no object")), &["a", "b"]),
    ] {
        let policy = policy.map(|policy| policy.to_string());
        let mut moved = definition(policy.as_deref(), &["a", "b"]);
        move_permissions_into_policy(&mut moved, ARN);
        assert_eq!(moved.permissions.keys().collect::<Vec<_>>(), kept, "{policy:?}");
        if kept.len() == 2 {
            assert_eq!(moved.attributes.get("Policy"), policy.as_ref());
        }
        // What is kept outlives another start.
        let written = serde_json::to_string(&moved).unwrap();
        assert_eq!(serde_json::from_str::<Definition>(&written).unwrap(), moved);
    }
}

#[test]
fn a_policy_that_is_no_object_is_not_overwritten() {
    let (accounts, actions) = (["111111111111".to_owned()], ["SendMessage".to_owned()]);
    let grant = Grant { label: "l", accounts: &accounts, actions: &actions };
    for policy in ["[]", "1", "{", ""] {
        let error = add(Some(policy), ARN, &grant).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameterValue, "{policy}");
    }
    assert!(add(None, ARN, &grant).is_ok() && add(Some("{}"), ARN, &grant).is_ok());
}
