//! What the name of an AWS endpoint tells: the service and the region that a signature for it
//! names.
//!
//! Read from the right: a partition's suffix, `vpce`, the region, `dualstack`, the service. What is
//! left of the service names a bucket, an account, an API, a VPC endpoint.

use super::partition::{PARTITIONS, is_region};

/// The suffix of Lambda's and others' own URLs.
const URL_SUFFIX: &str = "on.aws";

/// Services that are signed for by another name than their endpoint's.
const SIGNED_AS: [(&str, &str); 16] = [
    ("appsync-api", "appsync"),
    ("bedrock-agent", "bedrock"),
    ("bedrock-agent-runtime", "bedrock"),
    ("bedrock-runtime", "bedrock"),
    ("control-kinesis", "kinesis"),
    ("data-kinesis", "kinesis"),
    ("ddb", "dynamodb"),
    ("email", "ses"),
    ("iot", "iotdata"),
    ("lambda-url", "lambda"),
    ("pinpoint", "mobiletargeting"),
    ("queue", "sqs"),
    ("s3-accesspoint", "s3"),
    ("s3-control", "s3"),
    ("streams", "dynamodb"),
    ("sync-states", "states"),
];

/// Services with one endpoint for all regions: they are signed for in the first.
const GLOBAL: [&str; 8] = ["cloudfront", "iam", "organizations", "queue", "route53", "s3", "shield", "sts"];
const GLOBAL_REGION: &str = "us-east-1";

/// Services whose endpoints have the region before their own name: `eu-west-1.es.amazonaws.com`.
const REGION_FIRST: [&str; 3] = ["aoss", "es", "queue"];

/// What is known of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub service: Option<String>,
    pub region: Option<String>,
}

impl Endpoint {
    /// Reads a host name in lower case. None if it is not AWS's.
    pub fn of(host: &str) -> Option<Self> {
        let suffixes = PARTITIONS.iter().flat_map(|one| [one.domain, one.dual_stack_domain]).chain([URL_SUFFIX]);
        let left = suffixes.into_iter().find_map(|suffix| host.strip_suffix(suffix))?;
        let Some(left) = left.strip_suffix('.') else {
            // The suffix itself is AWS's, and tells nothing. Another name that ends so is not.
            return left.is_empty().then(Self::default);
        };
        let mut labels: Vec<&str> = left.split('.').collect();
        labels.pop_if(|last| *last == "vpce");
        let mut region = labels.pop_if(|last| is_region(last)).map(str::to_owned);
        labels.pop_if(|last| *last == "dualstack");
        let Some(last) = labels.pop() else { return Some(Self { service: None, region }) };
        // `s3-eu-west-1.amazonaws.com`, of regions before 2019.
        if let Some(old) = last.strip_prefix("s3-").filter(|rest| region.is_none() && is_region(rest)) {
            return Some(Self { service: Some("s3".into()), region: Some(old.to_owned()) });
        }
        let name = last.strip_suffix("-fips").or(last.strip_prefix("fips-")).unwrap_or(last);
        if region.is_none() && REGION_FIRST.contains(&name) {
            region = labels.pop_if(|before| is_region(before)).map(str::to_owned);
        }
        if region.is_none() {
            if !GLOBAL.contains(&name) {
                return Some(Self::default());
            }
            region = Some(GLOBAL_REGION.into());
        }
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // Of one zone of S3 Express; its calls are signed by sessions of its own.
        let is_known = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(is_name)
            && !name.starts_with("s3express")
            && !name.starts_with("s3-website");
        let service = SIGNED_AS.iter().find(|(endpoint, _)| *endpoint == name).map_or(name, |(_, signed)| *signed);
        Some(Self { service: is_known.then(|| service.to_owned()), region })
    }
}

#[cfg(test)]
mod tests;
