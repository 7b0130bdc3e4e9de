use std::path::Path;

use super::*;

/// A plugin's rule with these lines for a destination; what else the config has stands before.
fn parse(before: &str, destination: &str, lines: &str) -> Result<Config, String> {
    let text = format!("{before}\n[queues.q]\n[plugins.p.sign.'{destination}']\n{lines}");
    Config::parse(&text, Path::new("wasq.toml")).map_err(|error| error.to_string())
}

#[test]
fn a_rule_has_what_its_destination_tells_unless_it_says_otherwise() {
    let check = |before: &str, destination: &str, lines: &str, expect: &str| {
        let config = parse(before, destination, lines).unwrap_or_else(|error| panic!("{destination}: {error}"));
        let (_, rule) = config.sign_rules("p").unwrap().remove(0);
        assert_eq!(format!("{} {}", rule.service, rule.region.as_deref().unwrap_or("-")), expect, "{destination}");
    };
    check("", "https://s3.eu-central-1.amazonaws.com", "", "s3 eu-central-1");
    check("", "https://S3.EU-Central-1.AmazonAWS.com:443", "", "s3 eu-central-1");
    check("", "https://*.s3.eu-central-1.amazonaws.com", "", "s3 eu-central-1");
    check("", "https://sqs.cn-north-1.amazonaws.com.cn", "", "sqs cn-north-1");
    check("", "https://vpce-1-x.sns.eu-west-1.vpce.amazonaws.com", "region = 'eu-west-2'", "sns eu-west-2");
    check("", "https://x.eu-west-1.amazonaws.com", "service = 'appsync'", "appsync eu-west-1");
    check("", "http://127.0.0.1:5000", "service = 's3'", "s3 -");
    check("", "http://[::1]:5000", "service = 's3'", "s3 -");
    check("", "http://*.s3.localhost:5000", "service = 's3'", "s3 -");
    let open = "egress = { open_hosts = ['LocalStack:4566'] }";
    check(open, "http://localstack:4566", "service = 'sqs'\nregion = 'eu-west-1'", "sqs eu-west-1");
    let aws = "aws = { endpoint_url = 'http://moto.internal:5000' }";
    check(aws, "http://moto.internal:5000", "service = 'sqs'", "sqs -");
    let lists = "role = 'arn:aws-us-gov:iam::123456789012:role/team/r'\ntargets = ['DynamoDB_20120810.GetItem']\n\
                 requests = ['POST /']";
    check("", "https://dynamodb.us-gov-west-1.amazonaws.com", lists, "dynamodb us-gov-west-1");
}

#[test]
fn a_rule_that_cannot_be_is_refused_with_file_key_and_way_out() {
    let check = |before: &str, destination: &str, lines: &str, field: &str, expect: &str| {
        let error = parse(before, destination, lines).expect_err(destination);
        // The key's own line, or its table's.
        let line = before.lines().count().max(1) + 2;
        let key = format!("`plugins.p.sign.\"{destination}\"{field}` is ");
        let has_line = (line..line + 3).any(|line| error.starts_with(&format!("wasq.toml: line {line}: {key}")));
        assert!(has_line && error.contains(expect), "{error:?} has no {key:?} and {expect:?}");
    };
    let s3 = "https://s3.eu-central-1.amazonaws.com";
    for bad in
        ["s3.amazonaws.com", "ftp://s3.amazonaws.com", "https://s3.amazonaws.com/acme", "https://u:p@s3.amazonaws.com"]
    {
        check("", bad, "", "", "scheme://host[:port]");
    }
    check("", "https://*.*.amazonaws.com", "", "", "scheme://host[:port]");
    check("", "https://example.com", "service = 's3'", "", "no endpoint of AWS");
    check("", "https://amazonaws.com.evil.example", "service = 's3'", "", "egress.open_hosts");
    check("", "https://s3.amazonaws.com.example.org", "service = 's3'", "", "no endpoint of AWS");
    // Another port is another host.
    check("egress = { open_hosts = ['minio:9000'] }", "http://minio:9001", "service = 's3'", "", "egress.open_hosts");
    check("", "http://s3.eu-central-1.amazonaws.com", "", "", "use https");
    check("", "https://*.amazonaws.com", "service = 's3'", "", "wildcard");
    check("", "https://*.sqs.eu-west-1.amazonaws.com", "", "", "wildcard");
    check("", "https://*.execute-api.eu-west-1.amazonaws.com", "service = 's3'", "", "wildcard");
    check("", "https://thing.amazonaws.com", "", ".service", "such as `s3`");
    check("", "http://127.0.0.1:5000", "", ".service", "such as `s3`");
    check("", s3, "service = 'S3'", ".service", "a-z");
    check("", s3, "service = ''", ".service", "a-z");
    check("", s3, "region = 'eu central'", ".region", "a-z");
    for role in [
        "thumbnails",
        "arn:aws:iam::1234:role/r",
        "arn:aws:iam::123456789012:user/r",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:sts::123456789012:assumed-role/r/s",
        "arn:aws:iam:eu-west-1:123456789012:role/r",
    ] {
        check("", s3, &format!("role = '{role}'"), ".role", "arn:aws:iam::123456789012:role/");
    }
    check("", s3, "requests = []", ".requests", "at least one");
    check("", s3, "requests = ['GET /a/*', 'get /a']", ".requests", "\"get /a\": write METHOD /path");
    check("", s3, "targets = ['DynamoDB_20120810.GetItem']", ".targets", "use `requests`");
    let dynamodb = "https://dynamodb.eu-west-1.amazonaws.com";
    check("", dynamodb, "targets = []", ".targets", "at least one");
    check("", dynamodb, "targets = ['GetItem']", ".targets", "whole X-Amz-Target");
    check("", dynamodb, "targets = ['DynamoDB_20120810.*']", ".targets", "whole X-Amz-Target");
    let twice = format!("[plugins.p.sign.'{s3}:443']");
    assert!(parse("", s3, &twice).unwrap_err().contains("there twice"));
    let twice = "[plugins.p.sign.'https://S3.eu-central-1.amazonaws.com.']";
    assert!(parse("", s3, twice).unwrap_err().contains("there twice"));
    assert!(parse("", s3, "servise = 's3'").unwrap_err().contains("servise"));
}
