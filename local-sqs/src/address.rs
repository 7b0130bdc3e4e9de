//! Where a queue lives: its region, its account and its name, as ARNs and URLs write them.
//!
//! Requests say their region and account in the scope of their signature; `http` reads them there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The region of a request that says none.
pub const DEFAULT_REGION: &str = "us-east-1";

/// Characters of a region's name at most. AWS's longest have some 15.
const MAX_REGION_CHARS: usize = 32;

/// Whether it may be a region's name: small letters, digits and hyphens.
pub fn is_region(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_REGION_CHARS).contains(&text.len()) && text.bytes().all(allowed)
}

/// An AWS account: twelve digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Account([u8; 12]);

impl Account {
    /// The account of a request whose access key id is none.
    pub const DEFAULT: Self = Self(*b"000000000000");

    /// Reads twelve digits; nothing if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 12] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an account is ASCII digits")
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Account {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no account: it has twelve digits"))
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.as_str().to_owned()
    }
}

/// The region and account that a queue belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    pub region: String,
    pub account: Account,
}

impl Home {
    /// Whether it is this region of this account.
    pub fn is(&self, region: &str, account: Account) -> bool {
        self.region == region && self.account == account
    }
}

/// The parts of a queue's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArnParts<'a> {
    pub region: &'a str,
    /// As it is written, for it may not be an account's twelve digits.
    pub account: &'a str,
    pub name: &'a str,
}

/// Reads a queue's ARN; nothing if it is something else.
pub fn parse_arn(arn: &str) -> Option<ArnParts<'_>> {
    let mut parts = arn.split(':');
    let (arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
    (arn == "arn" && service == "sqs" && parts.next().is_none()).then_some(ArnParts { region, account, name })
}

/// A queue's ARN.
pub fn arn(region: &str, account: Account, name: &str) -> String {
    format!("arn:{}:sqs:{region}:{account}:{name}", partition(region))
}

fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// The account, if there is one, and the name in a queue's URL: the last two segments of its path.
/// A bare name is its own last segment, and a slash at the end says nothing.
pub fn parse_url(url: &str) -> (Option<Account>, &str) {
    let url = url.strip_suffix('/').unwrap_or(url);
    match url.rsplit_once('/') {
        None => (None, url),
        Some((before, name)) => (before.rsplit('/').next().and_then(Account::parse), name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_arns_are_taken_apart() {
        let account = Account::parse("123456789012");
        for (url, expect) in [
            ("http://localhost:9324/123456789012/jobs", (account, "jobs")),
            ("https://sqs.eu-west-1.amazonaws.com/123456789012/jobs.fifo", (account, "jobs.fifo")),
            ("http://localhost:9324/queue/jobs", (None, "jobs")),
            ("/123456789012/jobs/", (account, "jobs")),
            ("/123/jobs", (None, "jobs")),
            ("jobs", (None, "jobs")),
            ("http://jobs", (None, "jobs")),
        ] {
            assert_eq!(parse_url(url), expect, "{url}");
        }
        let parts = ArnParts { region: "eu-west-1", account: "1", name: "q" };
        assert_eq!(parse_arn("arn:aws-cn:sqs:eu-west-1:1:q"), Some(parts));
        for no_arn in ["", "q", "arn:aws:sns:eu-west-1:1:q", "arn:aws:sqs:eu-west-1:1:q:more", "arn:aws:sqs:1:q"] {
            assert_eq!(parse_arn(no_arn), None, "{no_arn}");
        }
        assert_eq!(arn("cn-north-1", Account::DEFAULT, "q"), "arn:aws-cn:sqs:cn-north-1:000000000000:q");
        assert_eq!(Account::parse("12345678901a"), None);
    }
}
