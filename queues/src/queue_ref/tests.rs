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
        QueueRef::Arn(arn) => (arn.url(None), arn.url(Some("http://127.0.0.1:4566/"))),
        other => panic!("{other:?}"),
    };
    let check = |partition: &str, region: &str, domain: &str| {
        let (at_aws, at_endpoint) = url(&format!("arn:{partition}:sqs:{region}:1:jobs"));
        assert_eq!(at_aws, format!("https://sqs.{region}.{domain}/1/jobs"));
        assert_eq!(at_endpoint, "http://127.0.0.1:4566/1/jobs");
        // Both name the same queue, in the same region.
        assert_eq!((parse(&at_aws).region(), parse(&at_aws).endpoint()), (Some(region), None), "{at_aws}");
    };
    check("aws", "eu-west-1", "amazonaws.com");
    check("aws-cn", "cn-north-1", "amazonaws.com.cn");
    check("aws-us-gov", "us-gov-east-1", "amazonaws.com");
    check("aws-iso", "us-iso-east-1", "c2s.ic.gov");
    check("aws-iso-b", "us-isob-east-1", "sc2s.sgov.gov");
    check("aws-iso-e", "eu-isoe-west-1", "cloud.adc-e.uk");
    check("aws-iso-f", "us-isof-south-1", "csp.hci.ic.gov");
    check("aws-eusc", "eusc-de-east-1", "amazonaws.eu");
}

#[test]
fn a_url_that_its_region_does_not_lead_to_is_asked_at_its_own_host() {
    let check = |text: &str, expect: Option<&str>| assert_eq!(parse(text).endpoint(), expect, "{text}");
    check("https://sqs.eu-west-1.amazonaws.com/1/jobs", None);
    check("https://eu-west-1.queue.amazonaws.com/1/jobs", None);
    check("https://queue.amazonaws.com/1/jobs", None);
    check("jobs", None);
    check("arn:aws:sqs:eu-west-1:1:jobs", None);
    let vpce = "https://vpce-0a1-x.sqs.eu-west-1.vpce.amazonaws.com";
    check(&format!("{vpce}/1/jobs"), Some(vpce));
    check("https://sqs-fips.us-east-1.amazonaws.com/1/jobs", Some("https://sqs-fips.us-east-1.amazonaws.com"));
    check("https://sqs.us-east-1.api.aws/1/jobs", Some("https://sqs.us-east-1.api.aws"));
    check("http://127.0.0.1:9324/000000000000/jobs", Some("http://127.0.0.1:9324"));
    check(
        "http://sqs.eu-west-1.localhost.localstack.cloud:4566/1/jobs",
        Some("http://sqs.eu-west-1.localhost.localstack.cloud:4566"),
    );
}
