use super::*;

fn attributes(of: &[(&str, &str)]) -> QueueAttributes {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn values_are_checked_as_in_the_reference() {
    use Code::{InvalidAttributeName, InvalidAttributeValue, InvalidParameterValue};
    for (name, value, fifo, expect) in [
        ("DelaySeconds", "900", false, Ok("900")),
        ("DelaySeconds", "901", false, Err(InvalidAttributeValue)),
        ("DelaySeconds", "-1", false, Err(InvalidAttributeValue)),
        ("MaximumMessageSize", "1048577", false, Err(InvalidAttributeValue)),
        ("Nonsense", "1", false, Err(InvalidAttributeName)),
        ("QueueArn", "x", false, Err(InvalidAttributeName)),
        ("SqsManagedSseEnabled", "True", false, Ok("true")),
        ("SqsManagedSseEnabled", "yes", false, Err(InvalidAttributeValue)),
        ("FifoQueue", "true", false, Err(InvalidAttributeName)),
        ("FifoQueue", "false", false, Err(InvalidAttributeName)),
        ("FifoQueue", "TRUE", true, Ok("true")),
        ("FifoQueue", "False", true, Err(InvalidAttributeValue)),
        ("ContentBasedDeduplication", "true", false, Err(InvalidAttributeName)),
        ("ContentBasedDeduplication", "False", true, Ok("false")),
        ("DeduplicationScope", "queue", false, Err(InvalidAttributeName)),
        ("DeduplicationScope", "group", true, Err(InvalidAttributeValue)),
        ("Policy", "{", false, Err(InvalidAttributeValue)),
        ("Policy", "", false, Ok("")),
        ("Policy", &format!(r#"{{"Id":"{}"}}"#, "x".repeat(8_184)), false, Err(InvalidAttributeValue)),
        ("KmsMasterKeyId", &"x".repeat(2_049), false, Err(InvalidAttributeValue)),
        ("RedrivePolicy", &format!("{{{}}}", " ".repeat(8_191)), false, Err(InvalidAttributeValue)),
        ("RedrivePolicy", "{}", false, Err(InvalidParameterValue)),
        ("RedrivePolicy", "", false, Ok("")),
    ] {
        let checked = checked(attributes(&[(name, value)]), fifo);
        let checked = checked.map(|all| all[name].clone()).map_err(|error| error.code);
        assert_eq!(checked.as_deref().map_err(|code| *code), expect, "{name}={value}");
    }
}

#[test]
fn errors_are_in_the_words_of_sqs() {
    for (name, value, fifo, expect) in [
        ("FifoQueue", "true", false, "Unknown Attribute FifoQueue."),
        (
            "FifoThroughputLimit",
            "perQueue",
            false,
            "You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
        ),
        (
            "FifoQueue",
            "false",
            true,
            "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
        ),
        ("VisibilityTimeout", "x", false, "Invalid value for the parameter VisibilityTimeout."),
        (
            "RedrivePolicy",
            "no",
            false,
            "Value no for parameter RedrivePolicy is invalid. Reason: Redrive policy is not a valid JSON map.",
        ),
    ] {
        assert_eq!(checked(attributes(&[(name, value)]), fifo).unwrap_err().message, expect);
    }
}

#[test]
fn of_two_encryptions_one_is_on() {
    let check = |has: &[(&str, &str)], new: &[(&str, &str)], expect: &[(&str, &str)]| {
        let mut has = attributes(has);
        merge(&mut has, attributes(new));
        assert_eq!(has, attributes(expect), "{new:?}");
    };
    let with_key =
        [("KmsDataKeyReusePeriodSeconds", "300"), ("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "false")];
    check(&[("SqsManagedSseEnabled", "true")], &[("KmsMasterKeyId", "k")], &with_key);
    check(&with_key, &[("SqsManagedSseEnabled", "true")], &[("SqsManagedSseEnabled", "true")]);
    let off = [("KmsMasterKeyId", ""), ("KmsDataKeyReusePeriodSeconds", "300")];
    check(&with_key, &off, &[("SqsManagedSseEnabled", "false")]);
    let both = attributes(&[("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "true")]);
    assert_eq!(checked(both, false).unwrap_err().code, Code::InvalidAttributeName);
}

#[test]
fn attributes_differ_by_what_they_mean() {
    let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:d","maxReceiveCount":1}"#;
    let spaced = policy
        .replace(':', ": ")
        .replace("arn: aws: sqs: us-east-1: 000000000000: d", "arn:aws:sqs:us-east-1:000000000000:d");
    let has = attributes(&[("DelaySeconds", "1"), ("RedrivePolicy", policy)]);
    let check =
        |wanted: &[(&str, &str)], expect| assert_eq!(difference(&has, &attributes(wanted)), expect, "{wanted:?}");
    check(&[("DelaySeconds", "1"), ("RedrivePolicy", &spaced)], None);
    check(&[("Policy", "")], None);
    check(&[("DelaySeconds", "2")], Some("DelaySeconds"));
    check(&[("KmsMasterKeyId", "k")], Some("KmsMasterKeyId"));
}

#[test]
fn redrive_policies_take_counts_as_number_and_as_text() {
    let policy =
        |count: &str| format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:0:dlq","maxReceiveCount":{count}}}"#);
    for count in ["3", "\"3\""] {
        let expect = Redrive { target: "arn:aws:sqs:eu-west-1:0:dlq".into(), max_receives: 3 };
        assert_eq!(Redrive::parse(&policy(count)), Ok(expect));
        assert_eq!(Redrive::checked(policy(count)), Ok(policy("3")));
    }
    for count in ["0", "1001", "\"many\"", "null"] {
        let message = Redrive::parse(&policy(count)).unwrap_err().message;
        assert!(message.ends_with("valid values are from 1 to 1000 both inclusive."), "{message}");
    }
}

#[test]
fn allow_policies_name_their_sources() {
    let policy = r#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:0:a"]}"#;
    let allow = RedriveAllow::parse(policy).unwrap();
    assert!(allow.allows(|arn| arn.ends_with(":a")) && !allow.allows(|arn| arn.ends_with(":b")));
}
