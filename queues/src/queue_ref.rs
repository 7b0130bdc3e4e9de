//! How a queue is named: by its name in our own account and region, by its URL, or by its ARN. The
//! config, the command line and redrive policies all use these.

use std::fmt;

use wasq_core::aws::partition::{PARTITIONS, Partition, is_region};

use crate::queue::is_fifo;

/// A queue's name, URL or ARN, as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueRef {
    /// In our own account and region.
    Name(String),
    /// `region` where the host name tells it, as AWS's own do. `endpoint` where calls have to go
    /// to the URL's own host: one that the region alone does not lead to.
    Url {
        url: String,
        region: Option<String>,
        endpoint: Option<String>,
    },
    Arn(QueueArn),
}

/// `arn:PARTITION:sqs:REGION:ACCOUNT:NAME`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueArn {
    pub text: String,
    pub partition: String,
    pub region: String,
    pub account: String,
    pub name: String,
}

/// What a text is that is none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQueueRef {
    #[error("a queue's URL begins with http:// or https:// and ends with /ACCOUNT/NAME: {0}")]
    Url(String),
    #[error("a queue's ARN is arn:aws:sqs:REGION:ACCOUNT:NAME")]
    Arn,
    #[error(
        "a queue's name has letters, digits, hyphens and underscores, and .fifo at the end of a FIFO queue's; or give its URL \
         or ARN"
    )]
    Name,
}

impl QueueRef {
    /// Reads it, without the blanks around it.
    pub fn parse(text: &str) -> Result<Self, BadQueueRef> {
        let text = text.trim();
        if text.contains("://") {
            return Self::url(text);
        }
        if text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("arn:")) {
            return QueueArn::parse(text).map(Self::Arn).ok_or(BadQueueRef::Arn);
        }
        if is_name(text) { Ok(Self::Name(text.to_owned())) } else { Err(BadQueueRef::Name) }
    }

    fn url(text: &str) -> Result<Self, BadQueueRef> {
        let bad = |why: &str| BadQueueRef::Url(why.to_owned());
        // Scheme and host in lower case, as the standard has them.
        let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(&format!("its scheme is {}", url.scheme())));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("nothing follows its name"));
        }
        let name = url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if !is_name(name) {
            return Err(bad("it does not end with a queue's name"));
        }
        let region = url.host_str().and_then(region_of).map(str::to_owned);
        let is_usual =
            region.as_deref().is_some_and(|region| is_usual_host(url.host_str().unwrap_or_default(), region));
        let endpoint = (!is_usual).then(|| url.origin().ascii_serialization());
        Ok(Self::Url { url: url.as_str().trim_end_matches('/').to_owned(), region, endpoint })
    }

    /// The queue's name in SQS.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Url { url, .. } => url.rsplit('/').next().unwrap_or_default(),
            Self::Arn(arn) => &arn.name,
        }
    }

    pub fn is_fifo(&self) -> bool {
        is_fifo(self.name())
    }

    /// The region that it names.
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Url { region, .. } => region.as_deref(),
            Self::Arn(arn) => Some(&arn.region),
        }
    }

    /// Where it is asked for, if not at its region's endpoint.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Name(_) | Self::Arn(_) => None,
            Self::Url { endpoint, .. } => endpoint.as_deref(),
        }
    }

    /// The same for two texts that are known to name one queue, whichever way they do. A bare name
    /// is known to be one with the same bare name only.
    pub fn identity(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Arn(arn) => identity(&arn.region, &arn.account, &arn.name),
            Self::Url { url, region: None, .. } => url.clone(),
            Self::Url { url, region: Some(region), .. } => {
                let mut parts = url.rsplit('/');
                let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                identity(region, account, name)
            }
        }
    }
}

fn identity(region: &str, account: &str, name: &str) -> String {
    format!("{region}:{account}:{name}")
}

impl QueueArn {
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [_, partition, service, region, account, name] = parts[..] else { return None };
        let is_whole = partition.starts_with("aws") && service == "sqs" && !region.is_empty() && !account.is_empty();
        (is_whole && is_name(name)).then(|| Self {
            text: text.to_owned(),
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Its URL at `endpoint`, or else at AWS's own of its region and partition.
    pub fn url(&self, endpoint: Option<&str>) -> String {
        let own = || format!("https://sqs.{}.{}", self.region, Partition::named(&self.partition).domain);
        let endpoint = endpoint.map_or_else(own, |url| url.trim_end_matches('/').to_owned());
        format!("{endpoint}/{}/{}", self.account, self.name)
    }
}

impl fmt::Display for QueueRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name(name) => name,
            Self::Url { url, .. } => url,
            Self::Arn(arn) => &arn.text,
        })
    }
}

/// SQS's rule for names, without its limit of 80: other servers have their own.
fn is_name(text: &str) -> bool {
    let stem = text.strip_suffix(".fifo").unwrap_or(text);
    !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The region in a host name: `sqs.REGION.amazonaws.com`, `sqs-fips.…`, `vpce-….sqs.REGION.vpce.…`,
/// `sqs.REGION.api.aws`; the older `REGION.queue.amazonaws.com`, and `queue.amazonaws.com` for
/// us-east-1.
fn region_of(host: &str) -> Option<&str> {
    let labels: Vec<&str> = host.split('.').collect();
    if host == "queue.amazonaws.com" {
        return Some("us-east-1");
    }
    let after_service = labels.iter().position(|label| matches!(*label, "sqs" | "sqs-fips")).map(|at| at + 1);
    let before_queue = labels.iter().position(|label| *label == "queue").and_then(|at| at.checked_sub(1));
    let region = labels.get(after_service.or(before_queue)?)?;
    is_region(region).then_some(*region)
}

/// Whether calls for a region go to this host, or to one that stands for it: AWS's plain endpoints
/// and their older names. A VPC endpoint, a FIPS or a dual-stack one is asked for by its name
/// alone, and so is any other server.
fn is_usual_host(host: &str, region: &str) -> bool {
    let domains = || PARTITIONS.iter().map(|partition| partition.domain);
    host == "queue.amazonaws.com"
        || domains()
            .any(|domain| host == format!("sqs.{region}.{domain}") || host == format!("{region}.queue.{domain}"))
}

#[cfg(test)]
mod tests;
