use super::{
    super::{address::Home, record::Definition},
    *,
};

/// A registry of queues by number: name, region and account; an empty region is every region.
fn registry(queues: &[(&str, &str, &str)]) -> Registry {
    let mut registry = Registry::default();
    for (index, (name, region, account)) in queues.iter().enumerate() {
        let home = Home { region: (*region).to_owned(), account: Account::parse(account).unwrap_or(Account::DEFAULT) };
        registry.insert(Arc::new(Queue::new(Definition {
            number: index as u64,
            name: (*name).to_owned(),
            home: Some(home).filter(|_| !region.is_empty()),
            attributes: Default::default(),
            tags: Default::default(),
            permissions: Default::default(),
            created_s: 0,
            modified_s: 0,
            next_seq: 1,
        })));
    }
    registry
}

fn number(queue: Option<&Arc<Queue>>) -> Option<u64> {
    queue.map(|queue| queue.number)
}

const ONE: &str = "111111111111";

#[test]
fn a_name_means_the_requests_region_and_account() {
    let registry = registry(&[("q", "us-east-1", ""), ("q", "us-east-1", ONE), ("everywhere", "", "")]);
    for (region, account, name, expect) in [
        ("us-east-1", "", "q", Some(0)),
        ("us-east-1", ONE, "q", Some(1)),
        ("us-west-2", "", "q", None),
        ("us-west-2", "", "everywhere", Some(2)),
        ("us-west-2", ONE, "everywhere", None),
    ] {
        let account = Account::parse(account).unwrap_or(Account::DEFAULT);
        assert_eq!(number(registry.named(region, account, name)), expect, "{region} {account} {name}");
    }
}

#[test]
fn a_url_finds_the_only_queue_of_its_account_and_name() {
    let registry = registry(&[
        ("q", "us-east-1", ""),
        ("two", "us-east-1", ""),
        ("two", "us-west-2", ""),
        ("theirs", "us-east-1", ONE),
        ("everywhere", "", ""),
    ]);
    for (url, region, expect) in [
        ("http://h/000000000000/q", "us-east-1", Some(0)),
        ("http://h/000000000000/q", "eu-west-1", Some(0)),
        ("q", "eu-west-1", Some(0)),
        ("http://h/000000000000/two", "us-west-2", Some(2)),
        ("http://h/000000000000/two", "eu-west-1", None),
        ("http://h/111111111111/theirs", "eu-west-1", Some(3)),
        ("theirs", "us-east-1", None),
        ("http://h/111111111111/q", "us-east-1", None),
        ("http://h/000000000000/everywhere", "eu-west-1", Some(4)),
        ("http://h/111111111111/everywhere", "eu-west-1", None),
    ] {
        assert_eq!(number(registry.at_url(url, region, Account::DEFAULT)), expect, "{url} from {region}");
    }
    let one = Account::parse(ONE).unwrap();
    assert_eq!(number(registry.at_url("everywhere", "us-east-1", one)), None, "it is of the default account only");
}

#[test]
fn an_arn_means_its_own_region_and_account() {
    let mut registry = registry(&[("q", "us-east-1", ""), ("everywhere", "", "")]);
    for (reference, expect) in [
        ("arn:aws:sqs:us-east-1:000000000000:q", Some(0)),
        ("arn:aws:sqs:us-west-2:000000000000:q", None),
        ("arn:aws:sqs:us-west-2:000000000000:everywhere", Some(1)),
        ("arn:aws:sqs:us-west-2:111111111111:everywhere", None),
        ("arn:aws:sqs:us-west-2:1:everywhere", None),
        ("everywhere", Some(1)),
        ("q", None),
    ] {
        assert_eq!(number(registry.referred(reference)), expect, "{reference}");
    }
    let queue = registry.of_name("q")[0].clone();
    queue.set_everywhere();
    assert_eq!(number(registry.named("eu-west-1", Account::DEFAULT, "q")), Some(0));
    registry.remove(&queue);
    assert!(registry.of_name("q").is_empty() && registry.iter().count() == 1);
}

#[test]
fn only_a_queue_of_every_region_has_a_policy_from_before_there_were_accounts() {
    let registry = registry(&[("q", "us-east-1", ""), ("old", "", ""), ("dead", "", "")]);
    let arn = |account: &str| format!("arn:aws:sqs:us-east-1:{account}:dead");
    for (source, account, expect) in [
        ("q", "000000000000", Some(2)),
        ("q", ONE, None),
        ("old", "000000000000", Some(2)),
        ("old", ONE, Some(2)),
        ("old", "1", Some(2)),
    ] {
        let source = &registry.of_name(source)[0];
        let found = number(registry.dead_letter_queue(source, &arn(account)));
        assert_eq!(found, expect, "{} {account}", source.name);
    }
}
