//! Which requests may be signed: those that the operator's patterns and targets cover.
//!
//! A path is compared as its server will read it. What two servers could read in two ways, such as
//! an encoded slash, is covered by no pattern.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Uri};
use percent_encoding::{percent_decode, percent_decode_str};
use url::form_urlencoded;
use wasq_core::aws::signer::SIGNATURE_HEADERS;

use crate::config::{RequestPattern, SignRule};
use crate::sandbox::text::sanitize;

const TARGET: &str = "x-amz-target";
const JSON: &str = "application/x-amz-json-1.";
/// Chooses another protocol than the one in which `X-Amz-Target` names the operation.
const PROTOCOL: &str = "smithy-protocol";

/// Parameters of S3 that reach no further than the path: of listings, of an upload's parts, of how
/// an answer is written. `x-id` is what SDKs add for their logs.
const S3_PARAMETERS: [&str; 12] = [
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "list-type",
    "marker",
    "max-keys",
    "partNumber",
    "prefix",
    "start-after",
    "uploadId",
    "x-id",
];
const S3_RESPONSE_PARAMETERS: &str = "response-";

/// S3 acts on headers that begin so. Those below say of the object that the path names how it is
/// sent, checked, kept and described. Each other one does more: it reads another object, sets what
/// a sub-resource has, has somebody else pay, or is newer than this list.
const S3_HEADER: &str = "x-amz-";
const S3_HEADERS: [&str; 11] = [
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-max-parts",
    "x-amz-object-attributes",
    "x-amz-optional-object-attributes",
    "x-amz-part-number-marker",
    "x-amz-storage-class",
    "x-amz-te",
    "x-amz-trailer",
    "x-amz-user-agent",
    "x-amz-write-offset-bytes",
];
const S3_HEADER_STARTS: [&str; 5] =
    ["x-amz-checksum-", "x-amz-if-match-", "x-amz-meta-", "x-amz-sdk-", "x-amz-server-side-encryption"];

/// How much of a guest's text an error quotes.
const QUOTED_BYTES: usize = 256;

/// A request that is neither signed nor sent. The words are for the handler, whose failure has them
/// as its reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host signs no such request, {method} {host}{path}: {reason}")]
pub struct NotGranted {
    method: Method,
    host: String,
    path: String,
    reason: Reason,
}

/// What of it was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("no pattern in {key}.requests covers it; add one, if it is meant")]
    Request { key: String },
    #[error(
        "a pattern in {key}.requests covers no path with an empty or dot segment, a backslash, or an encoded slash; write the \
         path plainly"
    )]
    Path { key: String },
    #[error(
        "its {part} `{name}` does more than its path says; let it through with `?{name}` after the pattern in {key}.requests, \
         if it is meant"
    )]
    Beside { part: &'static str, name: String, key: String },
    #[error("its X-Amz-Target `{target}` is not in {key}.targets; add it, if it is meant")]
    Target { target: String, key: String },
    #[error(
        "{key}.targets covers JSON calls alone: a POST without a query, with one X-Amz-Target and the content type \
         application/x-amz-json-1.0 or 1.1"
    )]
    NoJsonCall { key: String },
}

/// Whether a rule covers a request. `uri` is the guest's own, and `request` is what would be sent.
pub fn check(rule: &SignRule, key: &str, is_s3: bool, uri: &Uri, request: &Parts) -> Result<(), Box<NotGranted>> {
    let refuse = |path: &str, reason| {
        Box::new(NotGranted {
            method: request.method.clone(),
            host: request.uri.authority().map(ToString::to_string).unwrap_or_default(),
            path: sanitize(path, QUOTED_BYTES),
            reason,
        })
    };
    if let Some(patterns) = &rule.requests {
        // The guest's own path: what is sent has no dot segments any more, and it is not the
        // handler's meaning to send that.
        let of_guest = plain(uri.path());
        let of_request = plain(request.uri.path());
        let (Some(_), Some(path)) = (of_guest, of_request) else {
            return Err(refuse(uri.path(), Reason::Path { key: key.to_owned() }));
        };
        check_patterns(patterns, key, is_s3, &path, request).map_err(|reason| refuse(request.uri.path(), reason))?;
    }
    if let Some(targets) = &rule.targets {
        check_target(targets, key, request).map_err(|reason| refuse(request.uri.path(), reason))?;
    }
    Ok(())
}

/// A path, decoded; none if another reader could take it for another path.
fn plain(path: &str) -> Option<Vec<u8>> {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    // Decoded once more, for a reader that decodes twice.
    let twice: Vec<u8> = percent_decode(&decoded).collect();
    for reading in [path.as_bytes(), &decoded, &twice] {
        let mut segments = reading.split(|byte| *byte == b'/').skip(1).peekable();
        let mut is_plain = !reading.contains(&b'\\') && !reading.contains(&0);
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            is_plain &= !matches!(segment, b"." | b"..") && (is_last || !segment.is_empty());
        }
        let slashes = |text: &[u8]| text.iter().filter(|byte| **byte == b'/').count();
        if !is_plain || slashes(reading) != slashes(path.as_bytes()) {
            return None;
        }
    }
    Some(decoded)
}

/// Whether one pattern lets the whole request through.
fn check_patterns(
    patterns: &[RequestPattern],
    key: &str,
    is_s3: bool,
    path: &[u8],
    request: &Parts,
) -> Result<(), Reason> {
    let mut reason = Reason::Request { key: key.to_owned() };
    for pattern in patterns.iter().filter(|pattern| pattern.covers(&request.method, path, !is_s3)) {
        match beside(pattern, is_s3, request) {
            None => return Ok(()),
            Some((part, name)) => {
                reason = Reason::Beside { part, name: sanitize(&name, QUOTED_BYTES), key: key.to_owned() };
            }
        }
    }
    Err(reason)
}

/// What of a request to S3 is beside the path and not let through: the part and its name.
fn beside(pattern: &RequestPattern, is_s3: bool, request: &Parts) -> Option<(&'static str, String)> {
    if !is_s3 {
        return None;
    }
    let may_ask = |name: &str| {
        S3_PARAMETERS.contains(&name) || name.starts_with(S3_RESPONSE_PARAMETERS) || pattern.names_query(name)
    };
    let query = form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes());
    let parameter = query.map(|(name, _)| name.into_owned()).find(|name| !may_ask(name));
    let is_harmless = |name: &str| {
        !name.starts_with(S3_HEADER)
            || S3_HEADERS.contains(&name)
            || S3_HEADER_STARTS.iter().any(|start| name.starts_with(start))
            // The host writes these anew.
            || SIGNATURE_HEADERS.iter().any(|own| own == name)
    };
    let mut headers = request.headers.keys().map(http::HeaderName::as_str);
    let header = headers.find(|name| !is_harmless(name) && !pattern.names_header(name));
    let parameter = parameter.map(|name| ("query parameter", name));
    parameter.or(header.map(|name| ("header", name.to_owned())))
}

/// Whether it is a JSON call of one of the operations, and can be taken for no other call.
fn check_target(targets: &[String], key: &str, request: &Parts) -> Result<(), Reason> {
    let one = |name: &str| {
        let mut values = request.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let is_json_call = request.method == Method::POST
        && request.uri.query().is_none_or(str::is_empty)
        && !request.headers.contains_key(PROTOCOL)
        && one(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with(JSON));
    match one(TARGET) {
        Some(target) if is_json_call && targets.iter().any(|own| own == target) => Ok(()),
        Some(target) if is_json_call => {
            Err(Reason::Target { target: sanitize(target, QUOTED_BYTES), key: key.to_owned() })
        }
        Some(_) | None => Err(Reason::NoJsonCall { key: key.to_owned() }),
    }
}
