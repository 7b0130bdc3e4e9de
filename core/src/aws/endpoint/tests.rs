use super::*;

#[test]
fn a_host_name_tells_service_and_region() {
    let check = |host: &str, expect: &str| {
        let shown = match Endpoint::of(host) {
            None => "not AWS".to_owned(),
            Some(Endpoint { service, region }) => {
                format!("{} {}", service.as_deref().unwrap_or("-"), region.as_deref().unwrap_or("-"))
            }
        };
        assert_eq!(shown, expect, "{host}");
    };
    // S3 in all of its forms.
    check("s3.eu-central-1.amazonaws.com", "s3 eu-central-1");
    check("acme.s3.eu-central-1.amazonaws.com", "s3 eu-central-1");
    check("acme.with.dots.s3.eu-central-1.amazonaws.com", "s3 eu-central-1");
    check("s3.amazonaws.com", "s3 us-east-1");
    check("acme.s3.amazonaws.com", "s3 us-east-1");
    check("us-west-2.s3.amazonaws.com", "s3 us-east-1");
    check("s3-eu-west-1.amazonaws.com", "s3 eu-west-1");
    check("acme.s3-us-gov-west-1.amazonaws.com", "s3 us-gov-west-1");
    check("s3.dualstack.us-west-2.amazonaws.com", "s3 us-west-2");
    check("acme.s3.dualstack.us-west-2.amazonaws.com", "s3 us-west-2");
    check("s3-fips.us-gov-west-1.amazonaws.com", "s3 us-gov-west-1");
    check("s3-fips.dualstack.us-east-1.amazonaws.com", "s3 us-east-1");
    check("photos-123456789012.s3-accesspoint.eu-west-1.amazonaws.com", "s3 eu-west-1");
    check("123456789012.s3-control.eu-west-1.amazonaws.com", "s3 eu-west-1");
    check("acme--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com", "- us-east-1");
    check("acme.s3-website.eu-central-1.amazonaws.com", "- eu-central-1");
    check("bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com", "s3 us-east-1");
    // Services.
    check("sqs.eu-west-1.amazonaws.com", "sqs eu-west-1");
    check("eu-west-1.queue.amazonaws.com", "sqs eu-west-1");
    check("queue.amazonaws.com", "sqs us-east-1");
    check("sns.ap-southeast-2.amazonaws.com", "sns ap-southeast-2");
    check("dynamodb.us-east-1.amazonaws.com", "dynamodb us-east-1");
    check("123456789012.ddb.us-east-1.amazonaws.com", "dynamodb us-east-1");
    check("states.eu-central-1.amazonaws.com", "states eu-central-1");
    check("sync-states.eu-central-1.amazonaws.com", "states eu-central-1");
    check("email.eu-west-1.amazonaws.com", "ses eu-west-1");
    check("events.eu-west-1.amazonaws.com", "events eu-west-1");
    check("secretsmanager.mx-central-1.amazonaws.com", "secretsmanager mx-central-1");
    check("abc123.execute-api.eu-west-1.amazonaws.com", "execute-api eu-west-1");
    check("abc123.lambda-url.eu-west-1.on.aws", "lambda eu-west-1");
    check("search-logs-x.eu-west-1.es.amazonaws.com", "es eu-west-1");
    check("bedrock-runtime.us-east-1.amazonaws.com", "bedrock us-east-1");
    check("abc-ats.iot.eu-west-1.amazonaws.com", "iotdata eu-west-1");
    check("iam.amazonaws.com", "iam us-east-1");
    check("sts.amazonaws.com", "sts us-east-1");
    check("sts.eu-west-1.amazonaws.com", "sts eu-west-1");
    // FIPS, dual-stack, VPC endpoints.
    check("dynamodb-fips.us-gov-east-1.amazonaws.com", "dynamodb us-gov-east-1");
    check("fips-sqs.us-east-1.amazonaws.com", "sqs us-east-1");
    check("sqs.eu-west-1.api.aws", "sqs eu-west-1");
    check("dynamodb-fips.us-east-1.api.aws", "dynamodb us-east-1");
    check("vpce-0abc-xyz.sqs.us-east-1.vpce.amazonaws.com", "sqs us-east-1");
    check("vpce-0abc-xyz-us-east-1a.sns.us-east-1.vpce.amazonaws.com", "sns us-east-1");
    // Other partitions.
    check("sqs.cn-north-1.amazonaws.com.cn", "sqs cn-north-1");
    check("acme.s3.cn-northwest-1.amazonaws.com.cn", "s3 cn-northwest-1");
    check("s3.dualstack.cn-north-1.amazonaws.com.cn", "s3 cn-north-1");
    check("lambda.cn-north-1.api.amazonwebservices.com.cn", "lambda cn-north-1");
    check("sqs.us-gov-west-1.amazonaws.com", "sqs us-gov-west-1");
    check("sqs.eusc-de-east-1.amazonaws.eu", "sqs eusc-de-east-1");
    // What tells nothing, and what is not AWS's.
    check("amazonaws.com", "- -");
    check("eu-west-1.amazonaws.com", "- eu-west-1");
    check("example.amazonaws.com", "- -");
    check("my_service.eu-west-1.amazonaws.com", "- eu-west-1");
    for other in ["amazonaws.com.evil.example", "evilamazonaws.com", "s3.example.com", "127.0.0.1", "localhost", "aws"]
    {
        check(other, "not AWS");
    }
}
