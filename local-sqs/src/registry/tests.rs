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
    ] {
        assert_eq!(number(registry.at_url(url, region, Account::DEFAULT)), expect, "{url} from {region}");
    }
}

#[test]
fn an_arn_means_its_own_region_and_account() {
    let mut registry = registry(&[("q", "us-east-1", ""), ("everywhere", "", "")]);
    for (reference, expect) in [
        ("arn:aws:sqs:us-east-1:000000000000:q", Some(0)),
        ("arn:aws:sqs:us-west-2:000000000000:q", None),
        ("arn:aws:sqs:us-west-2:000000000000:everywhere", Some(1)),
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
