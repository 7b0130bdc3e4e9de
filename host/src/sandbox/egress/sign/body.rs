//! The body of a request that is signed: read whole, and hashed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};
use wasq_core::aws::signer::BodyHash;

use crate::config::Limits;
use crate::sandbox::egress::exceeded::Exceeded;

/// A longer body is hashed in a thread of its own, so that its hash holds up no other run.
const HASHED_IN_PLACE_BYTES: usize = 64 * 1024;

/// Memory for the bodies of all requests that are signed at once.
#[derive(Clone, Debug)]
pub struct BodyRoom {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// A body, and the room that it has until it is sent.
struct Held {
    body: BytesMut,
    room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl BodyRoom {
    /// What room is given out in: a semaphore counts to less than there are bytes.
    const UNIT: usize = 1024;

    pub fn new(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes.div_ceil(Self::UNIT))), bytes }
    }

    async fn take(&self, bytes: usize, until: Instant) -> Result<OwnedSemaphorePermit, Exceeded> {
        let units = bytes.div_ceil(Self::UNIT) as u32;
        let taken = tokio::time::timeout_at(until, self.free.clone().acquire_many_owned(units)).await;
        taken.ok().and_then(Result::ok).ok_or(Exceeded::SignedTotalBytes(self.bytes))
    }

    fn give_back_all_but(bytes: usize, room: &mut OwnedSemaphorePermit) {
        drop(room.split(room.num_permits().saturating_sub(bytes.div_ceil(Self::UNIT))));
    }
}

/// The body to send, and what a signature says of it. It waits for room until `until`.
///
/// What says that it is too long to be kept goes out as it comes where its signature need not have
/// its hash.
///
/// # Errors
/// When it is longer than `limits` let be signed, or breaks off; when there is no room for it.
pub async fn hashed(
    mut body: WasiBody,
    headers: &HeaderMap,
    may_be_unsigned: bool,
    limits: &Limits,
    room: &BodyRoom,
    until: Instant,
) -> Result<(WasiBody, BodyHash), Error> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if may_be_unsigned && declared.is_some_and(|bytes| bytes > limits.signed_bytes) {
        return Ok((body, BodyHash::Unsigned));
    }
    let bounds = [
        (limits.request_bytes, Exceeded::RequestBytes(limits.request_bytes)),
        (limits.signed_bytes, Exceeded::SignedBytes(limits.signed_bytes)),
        (room.bytes, Exceeded::SignedTotalBytes(room.bytes)),
    ];
    let [first, ..] = bounds;
    let (limit, over) = bounds.into_iter().fold(first, |least, other| if other.0 < least.0 { other } else { least });
    if declared.is_some_and(|bytes| bytes > limit) {
        return Err(over.into());
    }
    let mut held = Held { body: BytesMut::new(), room: None };
    while let Some(frame) = body.frame().await {
        // Trailers are no part of what is signed.
        let Ok(data) = frame?.into_data() else { continue };
        let bytes = held.body.len() + data.len();
        if bytes > limit {
            return Err(over.into());
        }
        // It has room for what it declares, and no more.
        if declared.is_some_and(|declared| bytes > declared) {
            return Err(Error::HttpRequestBodySize(Some(bytes as u64)));
        }
        if held.room.is_none() && !data.is_empty() {
            held.room = Some(room.take(declared.unwrap_or(limit).max(data.len()), until).await?);
        }
        held.body.extend_from_slice(&data);
    }
    if let Some(room) = &mut held.room {
        BodyRoom::give_back_all_but(held.body.len(), room);
    }
    let bytes = Bytes::from_owner(held);
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
    use std::time::Duration;

    use wasq_core::clock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_for_room_until_others_are_sent_and_no_longer_than_they_may() {
        let limits = Limits { signed_bytes: 4 * 1024, request_bytes: 1 << 20, ..Limits::default() };
        let room = BodyRoom::new(4 * 1024);
        let signed = async |bytes: usize, declared: bool| {
            let body = Full::new(Bytes::from(vec![b'x'; bytes])).map_err(|error| match error {}).boxed_unsync();
            let mut headers = HeaderMap::new();
            if declared {
                headers.insert(CONTENT_LENGTH, bytes.into());
            }
            let until = clock::now() + Duration::from_secs(30);
            hashed(body, &headers, false, &limits, &room, until).await.map_err(|error| error.to_string())
        };
        let (first, _) = signed(3_000, true).await.unwrap();
        // Nothing needs none; what fits has its place beside the first.
        signed(0, false).await.unwrap();
        let (second, _) = signed(1_000, true).await.unwrap();
        let error = signed(1_000, true).await.map(|_| ()).unwrap_err();
        assert!(error.contains("4096 bytes in all (limits.signed_total_bytes)"), "{error}");
        drop(second);
        // What declares less than it is has no room for the rest.
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, 1.into());
        let body = Full::new(Bytes::from_static(b"xx")).map_err(|error| match error {}).boxed_unsync();
        assert!(hashed(body, &headers, false, &limits, &room, clock::now()).await.is_err());
        // Without a length it wants the most that it may have, and gives back what it has not used.
        let waits = async { signed(10, false).await.unwrap() };
        let ends = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(first);
        };
        let (third, ()) = tokio::join!(waits, ends);
        signed(3 * 1024, true).await.unwrap();
        drop(third);
    }

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
            let until = clock::now() + Duration::from_secs(60);
            let got = hashed(body, &headers, may_be_unsigned, &limits, &BodyRoom::new(1024), until).await;
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
