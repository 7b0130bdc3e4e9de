//! The signature of a direct call: AWS's Signature Version 4 in headers, of a `POST` to `/`. Its
//! keys are the library's, and made once a day and template. Its canonical request is written here,
//! because the library parses and orders anew what each of these calls has alike: that costs more
//! than the hashes. Tests hold that both sign alike, and that botocore finds the signature right.

use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Signs calls of one identity to one endpoint. Clones share its key.
#[derive(Clone)]
pub(super) struct CallSigner {
    who: Credentials,
    region: String,
    service: String,
    host: HeaderValue,
    key: Arc<Mutex<Option<DayKey>>>,
}

/// A key is good for one day.
#[derive(Clone)]
struct DayKey {
    day: String,
    key: Arc<[u8]>,
}

impl CallSigner {
    /// For calls to the root of this URL. None for any other.
    pub fn new(uri: &Uri, who: Credentials, region: &str, service: &str) -> Option<Self> {
        if uri.path() != "/" || uri.query().is_some() {
            return None;
        }
        // As the connection says it: the scheme's own port is left out (RFC 9110, 4.2.3).
        let host = match (uri.scheme_str()?, uri.port_u16()) {
            ("http", Some(80)) | ("https", Some(443)) | (_, None) => uri.host()?.to_owned(),
            (_, Some(port)) => format!("{}:{port}", uri.host()?),
        };
        let (region, service) = (region.to_owned(), service.to_owned());
        Some(Self { who, region, service, host: HeaderValue::from_str(&host).ok()?, key: Arc::default() })
    }

    /// Adds the headers of the signature to all others. None if one cannot be signed.
    pub fn sign(&self, headers: &mut HeaderMap, body: &[u8], at: SystemTime) -> Option<()> {
        let date = jiff::Timestamp::try_from(at).ok()?.strftime("%Y%m%dT%H%M%SZ").to_string();
        let (day, _) = date.split_once('T')?;
        headers.insert(DATE, HeaderValue::from_str(&date).ok()?);
        if let Some(token) = self.who.session_token() {
            let mut token = HeaderValue::from_str(token).ok()?;
            token.set_sensitive(true);
            headers.insert(TOKEN, token);
        }
        let (request, names) = self.canonical_request(headers, body)?;
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let mut to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n");
        push_hash(&mut to_sign, request.as_bytes());
        let signature = calculate_signature(self.key(day, at), to_sign.as_bytes());
        let id = self.who.access_key_id();
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&authorization).ok()?);
        Some(())
    }

    /// The request as it is signed, and the names of its signed headers.
    fn canonical_request(&self, headers: &HeaderMap, body: &[u8]) -> Option<(String, String)> {
        // Proxies may change who calls.
        let signed = headers.iter().filter(|(name, _)| **name != USER_AGENT).chain([(&HOST, &self.host)]);
        let signed = signed.map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let mut signed = signed.collect::<Option<Vec<_>>>()?;
        signed.sort_unstable();
        let (mut request, mut names) = (String::with_capacity(1024), String::with_capacity(128));
        request.push_str("POST\n/\n\n");
        for (name, value) in signed {
            request.extend([name, ":"]);
            for (index, word) in value.split_ascii_whitespace().enumerate() {
                request.extend([if index == 0 { "" } else { " " }, word]);
            }
            request.push('\n');
            names.extend([if names.is_empty() { "" } else { ";" }, name]);
        }
        request.extend(["\n", &names, "\n"]);
        push_hash(&mut request, body);
        Some((request, names))
    }

    fn key(&self, day: &str, at: SystemTime) -> Arc<[u8]> {
        let mut newest = self.key.lock();
        if let Some(DayKey { key, .. }) = newest.as_ref().filter(|newest| newest.day == day) {
            return key.clone();
        }
        let key = generate_signing_key(self.who.secret_access_key(), at, &self.region, &self.service);
        let key: Arc<[u8]> = key.as_ref().into();
        *newest = Some(DayKey { day: day.to_owned(), key: key.clone() });
        key
    }
}

/// The SHA-256 in hexadecimal.
fn push_hash(text: &mut String, bytes: &[u8]) {
    for byte in Sha256::digest(bytes) {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(half.into(), 16).expect("half a byte is a digit"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4;
    use aws_smithy_runtime_api::client::identity::Identity;

    use super::*;

    #[test]
    fn it_signs_as_the_library_does() {
        let body = "{\"TableName\":\"ü\"}".as_bytes();
        let midnight = UNIX_EPOCH + Duration::from_secs(1_795_996_800);
        for url in [
            "https://dynamodb.eu-west-1.amazonaws.com/",
            "https://123456789012.ddb.eu-west-1.amazonaws.com:443",
            "http://127.0.0.1:8000/",
            "http://[::1]:80/",
        ] {
            for token in [None, Some("a+token/=".to_owned())] {
                let who = Credentials::new("AKID", "secret", token, None, "test");
                let uri: Uri = url.parse().unwrap();
                let signer = CallSigner::new(&uri, who.clone(), "eu-west-1", "dynamodb").expect("its root");
                // The day changes from one to the next, and back.
                for at in [midnight, midnight - Duration::from_millis(1), midnight] {
                    let mut ours = HeaderMap::new();
                    for (name, value) in [
                        ("content-type", "application/x-amz-json-1.0"),
                        ("x-amz-target", "DynamoDB_20120810.PutItem"),
                        ("x-amzn-query-mode", "true"),
                        ("user-agent", "aws-sdk-rust/1  os/linux"),
                        ("x-amz-user-agent", " aws-sdk-rust/1  os/linux lang/rust "),
                    ] {
                        ours.insert(name, HeaderValue::from_static(value));
                    }
                    let headers = ours.clone();
                    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
                    let signable = SignableRequest::new("POST", url, headers, SignableBody::Bytes(body)).unwrap();
                    let identity = Identity::from(who.clone());
                    let params = v4::SigningParams::builder().identity(&identity).region("eu-west-1").name("dynamodb");
                    let params = params.time(at).settings(SigningSettings::default()).build().unwrap().into();
                    let (theirs, _) = sign(signable, &params).unwrap().into_parts();
                    signer.sign(&mut ours, body, at).expect("it signs");
                    for (name, value) in theirs.headers() {
                        assert_eq!(ours[name], value, "{url} {name}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_a_root_is_called() {
        let who = Credentials::new("AKID", "secret", None, None, "test");
        for url in ["http://localhost/sqs", "http://localhost/?a=b", "/"] {
            assert!(CallSigner::new(&url.parse().unwrap(), who.clone(), "eu-west-1", "sqs").is_none(), "{url}");
        }
    }
}
