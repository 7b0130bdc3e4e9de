//! AWS's partitions: which regions each has, and the domains of its endpoints, as the endpoint
//! rules of AWS's SDKs have them.

/// A partition.
#[derive(Debug)]
pub struct Partition {
    /// As ARNs have it.
    pub name: &'static str,
    /// What its regions begin with.
    region_prefix: &'static str,
    pub domain: &'static str,
    /// The domain of endpoints that have IPv6, too.
    pub dual_stack_domain: &'static str,
}

const fn partition(
    name: &'static str,
    region_prefix: &'static str,
    domain: &'static str,
    dual_stack_domain: &'static str,
) -> Partition {
    Partition { name, region_prefix, domain, dual_stack_domain }
}

/// The first has what no other has.
pub const PARTITIONS: [Partition; 8] = [
    partition("aws", "", "amazonaws.com", "api.aws"),
    partition("aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    partition("aws-us-gov", "us-gov-", "amazonaws.com", "api.aws"),
    partition("aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    partition("aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    partition("aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    partition("aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    partition("aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
];

impl Partition {
    pub fn of_region(region: &str) -> &'static Self {
        let others = PARTITIONS[1..].iter();
        others.into_iter().find(|one| region.starts_with(one.region_prefix)).unwrap_or(&PARTITIONS[0])
    }

    /// The partition that an ARN names.
    pub fn named(name: &str) -> &'static Self {
        PARTITIONS.iter().find(|one| one.name == name).unwrap_or(&PARTITIONS[0])
    }
}

/// The host of a service in a region.
pub fn host(service: &str, region: &str, use_fips: bool, use_dual_stack: bool) -> String {
    let partition = Partition::of_region(region);
    let fips = if use_fips { "-fips" } else { "" };
    match (service, use_dual_stack) {
        // S3's dual-stack endpoints have a label of their own.
        ("s3", true) => format!("s3{fips}.dualstack.{region}.{}", partition.domain),
        (_, true) => format!("{service}{fips}.{region}.{}", partition.dual_stack_domain),
        (_, false) => format!("{service}{fips}.{region}.{}", partition.domain),
    }
}

/// Whether a label is a region: `eu-central-1`, `us-gov-west-1`.
pub fn is_region(label: &str) -> bool {
    let mut parts = label.split('-');
    let area = parts.next().is_some_and(|area| (2..=4).contains(&area.len()) && is_word(area));
    let last = parts.next_back().is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
    let middle: Vec<_> = parts.collect();
    area && last && (1..=2).contains(&middle.len()) && middle.into_iter().all(is_word)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_the_domain_of_its_partition() {
        let check = |service: &str, region: &str, flags: (bool, bool), expect: &str| {
            assert_eq!(host(service, region, flags.0, flags.1), expect);
        };
        check("sns", "eu-west-1", (false, false), "sns.eu-west-1.amazonaws.com");
        check("sns", "cn-north-1", (false, true), "sns.cn-north-1.api.amazonwebservices.com.cn");
        check("s3", "us-gov-west-1", (true, false), "s3-fips.us-gov-west-1.amazonaws.com");
        check("s3", "us-east-1", (true, true), "s3-fips.dualstack.us-east-1.amazonaws.com");
        check("s3", "eu-isoe-west-1", (false, false), "s3.eu-isoe-west-1.cloud.adc-e.uk");
        check("s3", "us-isob-east-1", (false, false), "s3.us-isob-east-1.sc2s.sgov.gov");
        check("s3", "eusc-de-east-1", (false, false), "s3.eusc-de-east-1.amazonaws.eu");
        assert_eq!(Partition::named("aws-iso-f").domain, "csp.hci.ic.gov");
        assert_eq!(Partition::named("aws-none").name, "aws");
    }
}
