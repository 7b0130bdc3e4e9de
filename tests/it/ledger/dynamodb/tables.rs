//! Tables and items that are not as they should be.

use super::*;

#[tokio::test]
async fn errors_name_the_table_and_the_way_out() {
    let proxy = Proxy::new(&servers::dynalite().address);
    let ledger = open(&proxy.url()).await;
    let check = async |status, code, parts: &[&str]| {
        proxy.make(Trouble::Answers(status, code));
        is_unavailable(ledger.ping().await, parts);
    };
    check(400, "AccessDeniedException", &["dynamodb:PutItem", "not allowed", "`wasq-ledger`", "grant"]).await;
    check(400, "ResourceNotFoundException", &["no table `wasq-ledger`"]).await;
    check(400, "ProvisionedThroughputExceededException", &["`wasq-ledger`", "ProvisionedThroughputExceeded"]).await;
    check(500, "InternalServerError", &["`wasq-ledger`", "InternalServerError"]).await;
    proxy.make(Trouble::Answers(400, "AccessDeniedException"));
    let error = try_open(&proxy.url(), "wasq-ledger", true).await.err().expect("it may not look").to_string();
    assert!(error.contains("dynamodb:DescribeTable is not allowed on the table `wasq-ledger`"), "{error}");
}

#[tokio::test]
async fn a_missing_table_says_how_to_make_it() {
    let url = servers::moto().url();
    let error = try_open(&url, "missing-ledger", false).await.err().expect("there is none").to_string();
    assert!(error.contains("no table `missing-ledger`") && error.contains("create = true"), "{error}");
    let script: Vec<_> = error.lines().filter(|line| line.starts_with("aws ")).collect();
    let aws = servers::client(".venv/bin/aws");
    let path = format!(
        "{}:{}",
        aws.parent().expect("it is in a directory").display(),
        std::env::var("PATH").expect("there is one")
    );
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-euc", &script.join("\n")]).env("PATH", path).stdin(Stdio::null()).kill_on_drop(true);
    shell
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let made = shell.output().await.expect("there is a shell");
    assert!(made.status.success(), "{script:#?}\n{}", String::from_utf8_lossy(&made.stderr));
    let ledger = try_open(&url, "missing-ledger", false).await.expect("the commands have made it");
    fresh(&ledger, new_key(), LONG).await;
    expires(&url, "missing-ledger").await;
}

#[tokio::test]
async fn a_table_that_the_host_makes_removes_what_is_old() {
    let url = servers::moto().url();
    try_open(&url, "made-ledger", true).await.expect("it is made");
    expires(&url, "made-ledger").await;
}

/// Whether the table removes items by `expires_at`.
async fn expires(url: &str, table: &str) {
    let answer = client(url).await.describe_time_to_live().table_name(table).send().await.unwrap();
    let ttl = answer.time_to_live_description.expect("the table has a description");
    assert_eq!(ttl.attribute_name.as_deref(), Some("expires_at"));
    assert_eq!(ttl.time_to_live_status.expect("a status").as_str(), "ENABLED");
}

#[tokio::test]
async fn a_table_with_other_keys_is_refused_by_name() {
    for url in [servers::moto().url(), servers::dynalite().url()] {
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
        let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
        let call = client(&url).await.create_table().table_name("orders").key_schema(key);
        let call = call.attribute_definitions(id.build().unwrap()).billing_mode(BillingMode::PayPerRequest);
        call.send().await.expect("it makes a table");
        let error = try_open(&url, "orders", true).await.err().expect("it is another table").to_string();
        assert!(error.contains("`orders` is not a ledger") && error.contains("`id` (S)"), "{error}");
    }
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_is_damaged() {
    let url = servers::dynalite().url();
    let ledger = open(&url).await;
    let key = new_key();
    let call = client(&url).await.put_item().table_name("wasq-ledger");
    let call = call.item("key", AttributeValue::B(Blob::new(key.0)));
    call.item("item", AttributeValue::S("entry".into())).send().await.unwrap();
    let answer = ledger.claim(key, &crate::ledger::contract::request("body", "message", LONG)).await;
    assert!(
        matches!(&answer, Err(LedgerError::Damaged(what)) if what.contains(&key.to_hex()) && what.contains("`state`")),
        "{answer:?}"
    );
}

/// Against dynalite alone: moto takes the first, and says the second in words of its own.
#[tokio::test]
async fn an_attribute_that_an_update_cannot_build_on_is_damage() {
    let url = servers::dynalite().url();
    let ledger = open(&url).await;
    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    let damaged = |answer: Result<(), LedgerError>| {
        let Err(LedgerError::Damaged(what)) = &answer else { panic!("expected damage, got {answer:?}") };
        assert!(what.contains(&key.to_hex()) && what.contains("UpdateItem"), "{what}");
    };
    change(&url, key, "steps", AttributeValue::S("none".into())).await;
    damaged(ledger.put_step(key, fence, "step", b"value").await);
    change(&url, key, "attempts", AttributeValue::S("many".into())).await;
    damaged(ledger.finish(key, fence, Finish::Released { ran: true }).await);
}

#[tokio::test]
async fn what_is_too_large_for_an_item_is_no_outage() {
    let ledger = open(&servers::dynalite().url()).await;
    let key = new_key();
    let fence = fresh(&ledger, key, LONG).await.fence;
    let too_large = |answer: &Result<(), LedgerError>| matches!(answer, Err(LedgerError::TooLarge(_)));
    let value = vec![b'x'; 400 * 1024];
    let answer = ledger.put_step(key, fence, "large", &value).await;
    assert!(too_large(&answer), "{answer:?}");
    let answer = ledger.put_envelope(&key.to_hex(), &value, LONG).await;
    assert!(too_large(&answer), "{answer:?}");
    // All small steps stand in the key's item.
    let steps = [("others".to_owned(), AttributeValue::B(Blob::new(&value[..390 * 1024])))];
    change(&servers::dynalite().url(), key, "steps", AttributeValue::M(steps.into())).await;
    let mut answer = Ok(());
    for n in 0..20 {
        answer = ledger.put_step(key, fence, &n.to_string(), &value[..1_000]).await;
        if answer.is_err() {
            break;
        }
    }
    assert!(too_large(&answer), "{answer:?}");
    finish(&ledger, key, fence, done(LONG)).await;
}
