//! The body of a request that is signed: read whole, and hashed.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, Full, Limited};
use wasmtime_wasi_http::{Error, WasiBody};
use wasq_core::aws::signer::BodyHash;

use crate::config::Limits;
use crate::sandbox::egress::exceeded::Exceeded;

/// A longer body is hashed in a thread of its own: so long does the hash of this one hold up no
/// other run.
const HASHED_IN_PLACE_BYTES: usize = 64 * 1024;

/// The body to send, and what a signature says of it.
///
/// What says that it is too long to be kept goes out as it comes where its signature need not have
/// its hash.
///
/// # Errors
/// When it is longer than `limits` let be signed, or breaks off.
pub async fn hashed(
    body: WasiBody,
    headers: &HeaderMap,
    may_be_unsigned: bool,
    limits: &Limits,
) -> Result<(WasiBody, BodyHash), Error> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if may_be_unsigned && declared.is_some_and(|bytes| bytes > limits.signed_bytes as u64) {
        return Ok((body, BodyHash::Unsigned));
    }
    let over = match limits.request_bytes <= limits.signed_bytes {
        true => Exceeded::RequestBytes(limits.request_bytes),
        false => Exceeded::SignedBytes(limits.signed_bytes),
    };
    let limit = limits.request_bytes.min(limits.signed_bytes);
    if declared.is_some_and(|bytes| bytes > limit as u64) {
        return Err(over.into());
    }
    let bytes = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err(error.downcast::<Error>().map_or_else(|_| over.into(), |error| *error)),
    };
    let hash = match bytes.len() <= HASHED_IN_PLACE_BYTES {
        true => BodyHash::of(&bytes),
        false => in_own_thread(bytes.clone()).await?,
    };
    Ok((Full::new(bytes).map_err(|error| match error {}).boxed_unsync(), hash))
}

async fn in_own_thread(bytes: Bytes) -> Result<BodyHash, Error> {
    let hash = tokio::task::spawn_blocking(move || BodyHash::of(&bytes)).await;
    hash.map_err(|error| Error::InternalError(Some(format!("the request's body was not hashed: {error}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_says_its_length_goes_out_unsigned() {
        let limits = Limits { signed_bytes: 4, request_bytes: 100, ..Limits::default() };
        let check = async |bytes: usize, declared: bool, may_be_unsigned: bool, expect: Option<BodyHash>| {
            let text = vec![b'x'; bytes];
            let body = Full::new(Bytes::from(text)).map_err(|error| match error {}).boxed_unsync();
            let mut headers = HeaderMap::new();
            if declared {
                headers.insert(CONTENT_LENGTH, bytes.into());
            }
            let got = hashed(body, &headers, may_be_unsigned, &limits).await;
            match (got, expect) {
                (Ok((body, hash)), Some(expect)) => {
                    assert_eq!((hash, body.collect().await.unwrap().to_bytes().len()), (expect, bytes));
                }
                (Err(error), None) => assert!(error.to_string().contains("(limits.signed_bytes)"), "{error}"),
                (got, expect) => panic!("{bytes} bytes gave {:?}, not {expect:?}", got.map(|(_, hash)| hash)),
            }
        };
        check(4, true, true, Some(BodyHash::of(b"xxxx"))).await;
        check(5, true, true, Some(BodyHash::Unsigned)).await;
        check(5, false, true, None).await;
        check(5, true, false, None).await;
        check(5, false, false, None).await;
    }
}
