//! Signatures of HTTP requests to AWS (SigV4): whose, for which service, in which region.
//!
//! The requests are those that the SDK does not make: a handler's, and the host's own. Whoever
//! sends one has a [`Signer`] for its destination, and signs last, over what goes out.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity as SdkIdentity;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Uri, request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentDecode, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};
use tracing::subscriber::NoSubscriber;

use super::identity::{Identity, NoIdentity};
use crate::causes::causes;
use crate::clock;

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// The headers that a signature is made of. Those that a request has already are replaced.
pub const SIGNATURE_HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-security-token"),
    CONTENT_SHA256,
];

/// What is encoded in a query, and in a path.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
pub(super) const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// What a signature says of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyHash {
    /// Its SHA-256, in hexadecimal.
    Sha256(String),
    /// Nothing. Only S3 takes this, over TLS.
    Unsigned,
}

impl BodyHash {
    pub fn of(body: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Why a request is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error(transparent)]
    NoIdentity(#[from] NoIdentity),
    /// Something in it belongs to no signature, such as a header's bytes.
    #[error("it cannot be signed: {0}")]
    Unsignable(String),
}

/// Signs requests to one service.
#[derive(Clone, Debug)]
pub struct Signer {
    identity: Arc<Identity>,
    service: String,
    region: Option<String>,
}

impl Signer {
    /// `service` as signatures name it. Without a region it is the identity's own.
    pub fn new(identity: Arc<Identity>, service: impl Into<String>, region: Option<String>) -> Self {
        Self { identity, service: service.into(), region }
    }

    pub fn service(&self) -> &str {
        &self.service
    }

    /// Whether this is S3 in one of its forms. It has rules of its own for paths and bodies.
    pub fn is_s3(&self) -> bool {
        matches!(self.service.as_str(), "s3" | "s3-object-lambda" | "s3-outposts")
    }

    /// Whether anything can be signed now.
    ///
    /// # Errors
    /// Why there are no credentials, or no region.
    pub async fn check(&self) -> Result<(), NoIdentity> {
        self.identity.credentials().await?;
        match self.region {
            Some(_) => Ok(()),
            None => self.identity.region().await.map(|_| ()),
        }
    }

    /// Sets the headers of a signature. What is changed of the request after this, but for headers
    /// that are added, makes the signature a wrong one.
    ///
    /// The URL is rewritten to the one encoding that AWS signs by: it says the same as before.
    ///
    /// # Errors
    /// When there are no credentials, or no region, or the request cannot be signed as it is.
    pub async fn sign(&self, request: &mut request::Parts, body: BodyHash) -> Result<(), SignError> {
        let credentials = self.identity.credentials().await?;
        let region = match &self.region {
            Some(region) => region.clone(),
            None => self.identity.region().await?,
        };
        let time = UNIX_EPOCH + Duration::from_millis(clock::unix_ms().0);
        self.sign_at(request, body, credentials, &region, time)
    }

    fn sign_at(
        &self,
        request: &mut request::Parts,
        body: BodyHash,
        credentials: Credentials,
        region: &str,
        time: SystemTime,
    ) -> Result<(), SignError> {
        let unsignable = |error: &(dyn std::error::Error + 'static)| SignError::Unsignable(causes(error));
        for name in SIGNATURE_HEADERS {
            request.headers.remove(name);
        }
        request.uri = encoded(&request.uri, self.is_s3()).map_err(|error| unsignable(&error))?;
        let body = match body {
            BodyHash::Sha256(hash) => SignableBody::Precomputed(hash),
            BodyHash::Unsigned => SignableBody::UnsignedPayload,
        };
        let identity = SdkIdentity::from(credentials);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(&self.service)
            .time(time)
            .settings(self.settings())
            .build()
            .map_err(|error| unsignable(&error))?
            .into();
        let headers = request.headers.iter().map(|(name, value)| match value.to_str() {
            Ok(value) => Ok((name.as_str(), value)),
            Err(_) => Err(SignError::Unsignable(format!("its header `{name}` has bytes that are not ASCII"))),
        });
        let headers = headers.collect::<Result<Vec<_>, _>>()?.into_iter();
        let signable = SignableRequest::new(request.method.as_str(), request.uri.to_string(), headers, body)
            .map_err(|error| unsignable(&error))?;
        // It would trace the request, with the session's token in it.
        let signed = tracing::subscriber::with_default(NoSubscriber::new(), || sign(signable, &params));
        let (instructions, _) = signed.map_err(|error| unsignable(&error))?.into_parts();
        for (name, value) in instructions.headers() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| unsignable(&error))?;
            let mut value = HeaderValue::from_str(value).map_err(|error| unsignable(&error))?;
            // Shown as `Sensitive`, and kept out of HTTP/2's tables.
            value.set_sensitive(true);
            request.headers.insert(name, value);
        }
        Ok(())
    }

    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.is_s3() {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        // OpenSearch Serverless wants it too.
        if self.is_s3() || self.service == "aoss" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

/// A URL as AWS encodes it: everything but letters, digits, `-._~` and what divides its parts. AWS
/// computes the signature over this form, whatever arrives. Of services other than S3 the path is
/// taken as it arrives, and so it is left alone.
fn encoded(uri: &Uri, with_path: bool) -> Result<Uri, http::Error> {
    let mut text = match with_path {
        true => encode(percent_decode_str(uri.path()), IN_PATH),
        false => uri.path().to_owned(),
    };
    // A plus is a space there, as in forms.
    let query = uri.query().unwrap_or_default().replace('+', " ");
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => {
            format!("{}={}", encode(percent_decode_str(name), IN_QUERY), encode(percent_decode_str(value), IN_QUERY))
        }
        None => encode(percent_decode_str(pair), IN_QUERY),
    };
    let pairs: Vec<_> = query.split('&').filter(|part| !part.is_empty()).map(pair).collect();
    if !pairs.is_empty() {
        text = format!("{text}?{}", pairs.join("&"));
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(text.parse().map_err(http::Error::from)?);
    Ok(Uri::from_parts(parts)?)
}

fn encode(decoded: PercentDecode<'_>, set: &'static AsciiSet) -> String {
    percent_encode(&decoded.collect::<Vec<u8>>(), set).to_string()
}

#[cfg(test)]
mod tests;
