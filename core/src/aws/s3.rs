//! The three calls to S3 that the host makes itself, for bodies that are too large for a queue.
//! They are plain HTTP requests under the host's own signature: the SDK's client for S3 would be
//! the largest part of a build.

use bytes::Bytes;
use http::Method;
use percent_encoding::utf8_percent_encode;

use super::AwsConfig;
use super::caller::{CallError, Caller, EMPTY_MAX_BYTES};
use super::signer::IN_PATH;

/// The SDK's own variable for where S3 is.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_S3";
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
    #[error("S3 does not answer with {object}: {error}")]
    Failed { object: ObjectRef, error: CallError },
}

impl S3Error {
    /// Whether it may pass by itself.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Failed { error, .. } => error.may_pass(),
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
        self.call(Method::PUT, object, body, EMPTY_MAX_BYTES).await.map(drop)
    }

    /// Deletes it, if it is there.
    pub async fn delete(&self, object: &ObjectRef) -> Result<(), S3Error> {
        self.call(Method::DELETE, object, Bytes::new(), EMPTY_MAX_BYTES).await.map(drop)
    }

    async fn call(&self, method: Method, object: &ObjectRef, body: Bytes, max: usize) -> Result<Bytes, S3Error> {
        let is_get = method == Method::GET;
        let answer = async {
            let region = match &self.region {
                Some(region) => region.clone(),
                None => self.caller.region().await?,
            };
            let (endpoint, host) = (self.caller.endpoint_url().await, self.caller.host(&region).await);
            self.caller.call(method, &url(object, endpoint.as_deref(), &host), &region, body, max).await
        };
        answer.await.map_err(|error: CallError| match error {
            // A bucket that is not there is a setting to be corrected.
            CallError::Refused { status: 404, code } if is_get && code.as_deref() != Some(NO_BUCKET) => {
                S3Error::Missing(object.clone())
            }
            CallError::TooLarge { max_bytes } => S3Error::TooLarge { object: object.clone(), max_bytes },
            error => S3Error::Failed { object: object.clone(), error },
        })
    }
}

/// S3's code for a bucket that is not there.
const NO_BUCKET: &str = "NoSuchBucket";

/// A bucket whose name has a dot has no certificate of its own, and other endpoints have no host for
/// each bucket.
fn url(object: &ObjectRef, endpoint: Option<&str>, host: &str) -> String {
    let ObjectRef { bucket, key } = object;
    let key = utf8_percent_encode(key, IN_PATH);
    match endpoint {
        Some(endpoint) => format!("{endpoint}/{bucket}/{key}"),
        None if bucket.contains('.') => format!("https://{host}/{bucket}/{key}"),
        None => format!("https://{bucket}.{host}/{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_own_host_where_it_can() {
        let check = |bucket: &str, key: &str, endpoint: Option<&str>, expect: &str| {
            let object = ObjectRef { bucket: bucket.to_owned(), key: key.to_owned() };
            assert_eq!(url(&object, endpoint, "s3.eu-west-1.amazonaws.com"), expect);
        };
        check("big", "a b/é", None, "https://big.s3.eu-west-1.amazonaws.com/a%20b/%C3%A9");
        check("my.big", "k", None, "https://s3.eu-west-1.amazonaws.com/my.big/k");
        check("big", "k", Some("http://127.0.0.1:5000"), "http://127.0.0.1:5000/big/k");
    }
}
