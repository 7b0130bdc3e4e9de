use super::*;

#[test]
fn a_policy_that_would_take_messages_away_is_refused() {
    let check = |policy: Option<&str>, dlq: Option<&str>, fifo: bool, expect: Result<&str, &str>| {
        let attributes = policy.map(|text| ("RedrivePolicy".to_owned(), text.to_owned())).into_iter().collect();
        let config = QueueConfig { dlq: dlq.map(str::to_owned), ..QueueConfig::default() };
        let got = check("q", fifo, &config, Some(&attributes), 5).map_err(|error| error.to_string());
        match expect {
            Ok(name) => assert_eq!(got.as_ref().map(|redrive| redrive.dlq.as_str()), Ok(name), "{policy:?}"),
            Err(part) => assert!(got.as_ref().is_err_and(|error| error.contains(part)), "{policy:?} gave {got:?}"),
        }
    };
    let policy =
        |count: &str| format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:x:1:q-dlq","maxReceiveCount":{count}}}"#);
    check(Some(&policy("1000")), None, false, Ok("arn:aws:sqs:x:1:q-dlq"));
    check(Some(&policy("\"1000\"")), Some("other"), false, Ok("other"));
    check(Some(&policy("5")), None, false, Err("maxReceiveCount 5"));
    check(Some(&policy("3")), Some("other"), false, Err("5 attempts"));
    check(None, None, false, Err("no DLQ"));
    check(None, Some("q-dlq"), false, Ok("q-dlq"));
    check(None, Some("q-dlq"), true, Err("FIFO"));
    check(None, Some("q-dlq.fifo"), false, Err("standard"));
    check(Some("{"), None, false, Err("cannot be read"));
    let unknown = super::check("q", false, &QueueConfig::default(), None, 5).unwrap_err().to_string();
    assert!(unknown.contains("allow sqs:GetQueueAttributes"), "{unknown}");
}

#[test]
fn a_redrive_policy_of_few_receives_is_a_warning_that_says_what_uses_it_up() {
    let warning = |max_receive_count| Redrive { dlq: "q-dlq".into(), max_receive_count }.warning();
    assert_eq!((warning(None), warning(Some(500)), warning(Some(1_000))), (None, None, None));
    let text = warning(Some(6)).unwrap();
    for part in ["maxReceiveCount 6", "snooze", "breaker-open", "paused", "busy", "1000"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_standard_queue_has_no_deduplication_ids_to_make_keys_of() {
    let config =
        QueueConfig { key_from: KeyFrom::DeduplicationId, dlq: Some("q-dlq".into()), ..QueueConfig::default() };
    let none = QueueAttributes::new();
    let error = check("q", false, &config, Some(&none), 5).unwrap_err().to_string();
    assert!(error.contains("`key_from = \"deduplication-id\"`"), "{error}");
}

#[test]
fn an_unroutable_after_that_outlives_the_queues_retention_is_refused() {
    let check = |unroutable_after_s, retention_s: Option<u64>, fits: bool| {
        let unroutable_after = Duration::from_secs(unroutable_after_s);
        let config = QueueConfig { unroutable_after, ..QueueConfig::default() };
        let answer = check_retention("q", &config, retention_s.map(Duration::from_secs));
        assert_eq!(answer.is_ok(), fits, "{unroutable_after_s} s of {retention_s:?} s: {answer:?}");
    };
    check(3_600, Some(3_601), true);
    check(3_600, Some(3_600), false);
    check(3_600, None, true);
    check(86_400, Some(60), true);
    check(300, Some(60), true);
    let config = QueueConfig { unroutable_after: Duration::from_secs(90), ..QueueConfig::default() };
    let error = check_retention("q", &config, Some(Duration::from_secs(60))).unwrap_err().to_string();
    assert!(error.contains("`unroutable_after` is 1m 30s") && error.contains("after 1m ("), "{error}");
}

#[test]
fn a_delivery_limit_that_would_take_messages_away_is_refused_and_a_small_one_is_a_warning() {
    let check = |limit| check_deliveries("q", limit, 5).map_err(|error| error.to_string());
    assert!(check(DeliveryLimit::Deliveries(5)).is_err_and(|error| error.contains("5 deliveries (x-delivery-limit)")));
    for limit in [DeliveryLimit::Deliveries(6), DeliveryLimit::Default, DeliveryLimit::None] {
        assert_eq!(check(limit), Ok(()));
    }
    assert_eq!(
        (delivery_warning(DeliveryLimit::None), delivery_warning(DeliveryLimit::Deliveries(1_000))),
        (None, None)
    );
    for (limit, part) in
        [(DeliveryLimit::Deliveries(21), "after 21 deliveries"), (DeliveryLimit::Default, "RabbitMQ 4")]
    {
        let text = delivery_warning(limit).expect("it is small");
        assert!(text.contains(part) && text.contains("topology apply"), "{text}");
    }
}

#[test]
fn a_run_that_outlasts_what_the_broker_allows_is_a_warning() {
    let warning = |broker, minutes: u64| timeout_warning(broker, Duration::from_secs(minutes * 60));
    assert_eq!((warning(Broker::Sqs, 700), warning(Broker::RabbitMq, 28)), (None, None));
    let text = warning(Broker::RabbitMq, 29).expect("with its margin it is longer");
    for part in ["timeout 29m", "`consumer_timeout`, 30m", "more than 31m"] {
        assert!(text.contains(part), "{text}");
    }
}
