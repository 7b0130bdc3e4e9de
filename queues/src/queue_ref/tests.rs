use super::*;

fn parse(text: &str) -> QueueRef {
    QueueRef::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn a_queue_is_named_by_its_name_url_or_arn() {
    let check = |text: &str, name: &str, region: Option<&str>| {
        let read = parse(text);
        assert_eq!((read.name(), read.region()), (name, region), "{text:?}");
        assert_eq!(read.is_fifo(), name.ends_with(".fifo"));
    };
    check("jobs", "jobs", None);
    check(" jobs.fifo\n", "jobs.fifo", None);
    check("https://sqs.eu-west-1.amazonaws.com/123456789012/jobs", "jobs", Some("eu-west-1"));
    check(" HTTPS://SQS.eu-west-1.AmazonAWS.com/123456789012/Jobs ", "Jobs", Some("eu-west-1"));
    check("https://sqs.us-gov-west-1.amazonaws.com/1/jobs.fifo", "jobs.fifo", Some("us-gov-west-1"));
    check("https://sqs.cn-north-1.amazonaws.com.cn/1/jobs", "jobs", Some("cn-north-1"));
    check("https://sqs-fips.us-east-1.amazonaws.com/1/jobs", "jobs", Some("us-east-1"));
    check("https://vpce-0a1-x.sqs.eu-west-1.vpce.amazonaws.com/1/jobs", "jobs", Some("eu-west-1"));
    check("https://sqs.us-east-1.api.aws/1/jobs", "jobs", Some("us-east-1"));
    check("https://eu-west-1.queue.amazonaws.com/1/jobs", "jobs", Some("eu-west-1"));
    check("https://queue.amazonaws.com/1/jobs", "jobs", Some("us-east-1"));
    check("http://sqs.eu-west-1.localhost.localstack.cloud:4566/1/jobs", "jobs", Some("eu-west-1"));
    check("http://127.0.0.1:9324/000000000000/jobs/", "jobs", None);
    check("http://sqs.example:9324/000000000000/jobs", "jobs", None);
    check("arn:aws:sqs:eu-west-1:123456789012:jobs", "jobs", Some("eu-west-1"));
    check("arn:aws-cn:sqs:cn-north-1:123456789012:jobs.fifo", "jobs.fifo", Some("cn-north-1"));
}

#[test]
fn a_text_that_names_no_queue_is_refused_with_the_rule() {
    let check = |text: &str, part: &str| {
        let error = QueueRef::parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    };
    check("", "letters, digits");
    check("two words", "letters, digits");
    check("a/b", "letters, digits");
    check(".fifo", "letters, digits");
    check("ftp://x/1/jobs", "its scheme is ftp");
    check("https://sqs.eu-west-1.amazonaws.com/", "end with a queue's name");
    check("https://sqs.eu-west-1.amazonaws.com/1/jobs?x=1", "nothing follows");
    check("http://", "/ACCOUNT/NAME");
    check("arn:aws:sns:eu-west-1:1:topic", "arn:aws:sqs:");
    check("arn:aws:sqs:eu-west-1:1", "arn:aws:sqs:");
    check("arn:aws:sqs:::jobs", "arn:aws:sqs:");
}

#[test]
fn a_queue_is_recognised_whichever_way_it_is_named() {
    let same =
        |a: &str, b: &str, expect: bool| assert_eq!(parse(a).identity() == parse(b).identity(), expect, "{a} and {b}");
    let (arn, url) = ("arn:aws:sqs:eu-west-1:1:jobs", "https://sqs.eu-west-1.amazonaws.com/1/jobs");
    same(arn, url, true);
    same(url, "https://eu-west-1.queue.amazonaws.com/1/jobs", true);
    same(url, "https://sqs.eu-west-1.amazonaws.com/2/jobs", false);
    same(url, "https://sqs.us-east-1.amazonaws.com/1/jobs", false);
    same("jobs", " jobs", true);
    same("jobs", url, false);
    same("http://127.0.0.1:1/0/jobs", "HTTP://127.0.0.1:1/0/jobs/", true);
}

#[test]
fn an_arn_has_its_url_at_aws() {
    let url = |text: &str| match parse(text) {
        QueueRef::Arn(arn) => arn.url(),
        other => panic!("{other:?}"),
    };
    assert_eq!(url("arn:aws:sqs:eu-west-1:1:jobs"), "https://sqs.eu-west-1.amazonaws.com/1/jobs");
    assert_eq!(url("arn:aws-cn:sqs:cn-north-1:1:jobs"), "https://sqs.cn-north-1.amazonaws.com.cn/1/jobs");
}
