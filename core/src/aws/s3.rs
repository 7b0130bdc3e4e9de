//! The three calls to S3 that the host makes itself, for bodies that are too large for a queue.
//! They are plain HTTP requests under the host's own signature: the SDK's client for S3 would be
//! the largest part of a build.

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::AwsConfig;
use super::caller::{Answer, CallError, Caller};
use super::endpoint::domain_of;
use super::identity::NoIdentity;

/// The SDK's own variable for where S3 is.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_S3";
/// What an object's key keeps in a URL.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    pub bucket: String,
    pub key: String,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum S3Error {
    #[error("there is no {0}")]
    Missing(ObjectRef),
    #[error("{object} has more than {max_bytes} bytes")]
    TooLarge { object: ObjectRef, max_bytes: usize },
    /// S3 has answered, and not with the object.
    #[error("S3 answers HTTP {status} for {object}{code}")]
    Refused { object: ObjectRef, status: u16, code: String },
    #[error("S3 does not answer for {object}: {reason}")]
    NoAnswer { object: ObjectRef, reason: String },
    #[error("{0}")]
    NoIdentity(#[from] NoIdentity),
}

impl S3Error {
    /// Whether it may pass by itself: throttled, 5xx, no answer.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, .. } => Answer::may_pass(*status),
            Self::NoAnswer { .. } | Self::NoIdentity(_) => true,
            Self::Missing(_) | Self::TooLarge { .. } => false,
        }
    }
}

/// A client of one account and region. Clones share its connections.
#[derive(Clone, Debug)]
pub struct S3 {
    caller: Caller,
    region: Option<String>,
}

impl S3 {
    /// `region` is the buckets'; without it the one that the SDK's chain finds.
    pub fn new(aws: &AwsConfig, region: Option<String>) -> Self {
        Self { caller: Caller::new(aws, "s3", ENDPOINT), region: region.or_else(|| aws.region.clone()) }
    }

    /// The object's bytes. No more than `max_bytes` are read.
    pub async fn get(&self, object: &ObjectRef, max_bytes: usize) -> Result<Bytes, S3Error> {
        self.call(Method::GET, object, Bytes::new(), max_bytes).await
    }

    pub async fn put(&self, object: &ObjectRef, body: Bytes) -> Result<(), S3Error> {
        self.call(Method::PUT, object, body, ANSWER_MAX_BYTES).await.map(drop)
    }

    /// Deletes it, if it is there.
    pub async fn delete(&self, object: &ObjectRef) -> Result<(), S3Error> {
        self.call(Method::DELETE, object, Bytes::new(), ANSWER_MAX_BYTES).await.map(drop)
    }

    async fn call(&self, method: Method, object: &ObjectRef, body: Bytes, max: usize) -> Result<Bytes, S3Error> {
        let region = match &self.region {
            Some(region) => region.clone(),
            None => self.caller.region().await?,
        };
        let object = || object.clone();
        let url = self.url(&object(), &region);
        let answer = self.caller.call(method, &url, &region, body, max).await.map_err(|error| match error {
            CallError::NoIdentity(error) => S3Error::NoIdentity(error),
            CallError::TooLarge { max_bytes } => S3Error::TooLarge { object: object(), max_bytes },
            CallError::NoAnswer(reason) => S3Error::NoAnswer { object: object(), reason },
        })?;
        match answer.status {
            _ if answer.is_success() => Ok(answer.body),
            404 => Err(S3Error::Missing(object())),
            status => {
                let code = answer.code().map(|code| format!(": {code}")).unwrap_or_default();
                Err(S3Error::Refused { object: object(), status, code })
            }
        }
    }

    /// A bucket whose name has a dot has no certificate of its own, and other endpoints have no
    /// host for each bucket.
    fn url(&self, object: &ObjectRef, region: &str) -> String {
        let ObjectRef { bucket, key } = object;
        let key = utf8_percent_encode(key, IN_PATH);
        let host = format!("s3.{region}.{}", domain_of(region));
        match &self.caller.endpoint_url {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
            None if bucket.contains('.') => format!("https://{host}/{bucket}/{key}"),
            None => format!("https://{bucket}.{host}/{key}"),
        }
    }
}

/// Bytes of an answer without an object, at most.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_own_host_where_it_can() {
        let check = |bucket: &str, key: &str, region: &str, endpoint: Option<&str>, expect: &str| {
            let aws = AwsConfig { endpoint_url: endpoint.map(str::to_owned), ..AwsConfig::default() };
            let object = ObjectRef { bucket: bucket.to_owned(), key: key.to_owned() };
            assert_eq!(S3::new(&aws, None).url(&object, region), expect);
        };
        check("big", "a b/é", "eu-west-1", None, "https://big.s3.eu-west-1.amazonaws.com/a%20b/%C3%A9");
        check("my.big", "k", "cn-north-1", None, "https://s3.cn-north-1.amazonaws.com.cn/my.big/k");
        check("big", "k", "eu-west-1", Some("http://127.0.0.1:5000/"), "http://127.0.0.1:5000/big/k");
    }
}
