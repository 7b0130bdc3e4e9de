//! What is said of bodies that go by S3, checked.

use bytesize::ByteSize;

use super::{Config, OutletConfig, QueueConfig};

/// Where large bodies of a queue are, and which are.
pub struct ClaimCheck {
    pub bucket: String,
    pub over_bytes: usize,
}

impl ClaimCheck {
    fn new(bucket: Option<&String>, over: ByteSize) -> Option<Self> {
        let over_bytes = usize::try_from(over.as_u64()).unwrap_or(usize::MAX);
        Some(Self { bucket: bucket?.clone(), over_bytes })
    }
}

impl QueueConfig {
    pub fn claim_check(&self) -> Option<ClaimCheck> {
        ClaimCheck::new(self.claim_check_bucket.as_ref(), self.claim_check_over)
    }
}

impl OutletConfig {
    pub fn claim_check(&self) -> Option<ClaimCheck> {
        ClaimCheck::new(self.claim_check_bucket.as_ref(), self.claim_check_over)
    }
}

/// A key, its value, and the rule that it breaks.
type Fault = (String, String, String);

impl Config {
    /// Of the queue or outlet of this name.
    pub fn claim_check(&self, name: &str) -> Option<ClaimCheck> {
        let queue = self.queues.get(name).and_then(QueueConfig::claim_check);
        queue.or_else(|| self.outlets.get(name).and_then(OutletConfig::claim_check))
    }

    pub(super) fn claim_check_fault(&self) -> Option<Fault> {
        let of_queue = |(name, queue): (&String, &QueueConfig)| {
            let key = |field: &str| format!("queues.{name}.{field}");
            if queue.delete_payload && queue.claim_check_bucket.is_none() {
                let rule = "name the bucket in `claim_check_bucket`, or leave it out";
                return Some((key("delete_payload"), "true without a bucket".to_owned(), rule.to_owned()));
            }
            fault(key, queue.claim_check_bucket.as_deref(), queue.claim_check_over)
        };
        let of_outlet = |(name, outlet): (&String, &OutletConfig)| {
            let key = |field: &str| format!("outlets.{name}.{field}");
            fault(key, outlet.claim_check_bucket.as_deref(), outlet.claim_check_over)
        };
        self.queues.iter().find_map(of_queue).or_else(|| self.outlets.iter().find_map(of_outlet))
    }
}

fn fault(key: impl Fn(&str) -> String, bucket: Option<&str>, over: ByteSize) -> Option<Fault> {
    if let Some(bucket) = bucket.filter(|bucket| !is_bucket(bucket)) {
        let rule = "a bucket's name has 3 to 63 lower-case letters, digits, hyphens and periods";
        return Some((key("claim_check_bucket"), format!("{bucket:?}"), rule.to_owned()));
    }
    let bounds = ByteSize::kib(1)..=ByteSize::mib(1);
    (!bounds.contains(&over))
        .then(|| (key("claim_check_over"), over.to_string(), "use 1 KiB to 1 MiB, which SQS takes at most".to_owned()))
}

/// S3's rule for new buckets (S3 user guide, "Bucket naming rules"), without its reserved prefixes.
fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'.'))
        && name.bytes().next().is_some_and(plain)
        && name.bytes().next_back().is_some_and(plain)
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_cannot_be_one_and_a_size_out_of_bounds_are_refused() {
        let check = |text: &str, expect: Option<&str>| {
            let parsed = Config::parse(&format!("[queues.a]\n{text}"), std::path::Path::new("wasq.toml"));
            match (parsed, expect) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
                (parsed, _) => panic!("{text}: {parsed:?}"),
            }
        };
        check("claim_check_bucket = 'acme-big.eu'\ndelete_payload = true", None);
        check("claim_check_bucket = 'Acme'", Some("queues.a.claim_check_bucket"));
        check("claim_check_bucket = 's3://acme'", Some("lower-case"));
        check("claim_check_over = '2MiB'", Some("queues.a.claim_check_over"));
        check("delete_payload = true", Some("queues.a.delete_payload"));
        check("[outlets.b]\nclaim_check_bucket = 'x'", Some("outlets.b.claim_check_bucket"));
    }
}
