use super::*;

fn check_one(name: &str, value: &str, fifo: bool) -> Result<(), Code> {
    check(&QueueAttributes::from([(name.to_owned(), value.to_owned())]), fifo).map_err(|error| error.code)
}

#[test]
fn values_are_bounded_as_in_the_reference() {
    for (name, value, fifo, expect) in [
        ("DelaySeconds", "900", false, Ok(())),
        ("DelaySeconds", "901", false, Err(Code::InvalidAttributeValue)),
        ("DelaySeconds", "-1", false, Err(Code::InvalidAttributeValue)),
        ("MaximumMessageSize", "1048577", false, Err(Code::InvalidAttributeValue)),
        ("Nonsense", "1", false, Err(Code::InvalidAttributeName)),
        ("QueueArn", "x", false, Err(Code::InvalidAttributeName)),
        ("FifoQueue", "true", false, Err(Code::InvalidAttributeName)),
        ("FifoQueue", "true", true, Ok(())),
        ("ContentBasedDeduplication", "true", false, Err(Code::InvalidAttributeName)),
        ("DeduplicationScope", "group", true, Err(Code::InvalidAttributeValue)),
        ("Policy", "{", false, Err(Code::InvalidAttributeValue)),
        ("RedrivePolicy", "{}", false, Err(Code::InvalidParameterValue)),
    ] {
        assert_eq!(check_one(name, value, fifo), expect, "{name}={value}");
    }
}

#[test]
fn redrive_policies_take_counts_as_number_and_as_text() {
    for count in ["3", "\"3\""] {
        let policy = format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:0:dlq","maxReceiveCount":{count}}}"#);
        assert_eq!(redrive(&policy), Ok(Some(Redrive { target: "dlq".into(), max_receives: 3 })));
    }
    assert_eq!(redrive(""), Ok(None));
}

#[test]
fn allow_policies_name_their_sources() {
    let policy = r#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:0:a"]}"#;
    let allow = RedriveAllow::parse(policy).unwrap();
    assert!(allow.allows("a") && !allow.allows("b"));
}
