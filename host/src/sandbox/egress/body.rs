//! The bodies of a request and its answer, held to their limits while they stream.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use super::errors::last;
use super::exceeded::{Bound, Bounds, Exceeded};
use super::traffic::Traffic;

/// What a guest sends. When it is too long, `over` says so: the error itself may be lost on its way
/// through HTTP.
pub struct RequestBody {
    inner: WasiBody,
    limit: usize,
    left: usize,
    over: Arc<OnceLock<Exceeded>>,
    traffic: Arc<Traffic>,
}

impl RequestBody {
    pub fn new(inner: WasiBody, limit: usize, over: Arc<OnceLock<Exceeded>>, traffic: Arc<Traffic>) -> Self {
        Self { inner, limit, left: limit, over, traffic }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let Poll::Ready(Some(Ok(frame))) = &polled else { return polled };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                self.traffic.sent(bytes);
                polled
            }
            None => {
                let exceeded = *self.over.get_or_init(|| Exceeded::RequestBytes(self.limit));
                Poll::Ready(Some(Err(exceeded.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What comes back, until its end, its limit, or its time is up.
pub struct ResponseBody {
    /// None after an error: nothing more comes.
    inner: Option<Incoming>,
    limit: usize,
    left: usize,
    between_bytes: Bound,
    /// Begins when the guest waits: a guest that reads late does not make the answer slow.
    pause: Option<Pin<Box<Sleep>>>,
    total: Bound,
    end: Pin<Box<Sleep>>,
    request_over: Arc<OnceLock<Exceeded>>,
    /// The request counts as open while its answer is read.
    #[expect(dead_code, reason = "dropping it ends the request")]
    open: OwnedSemaphorePermit,
    traffic: Arc<Traffic>,
}

impl ResponseBody {
    /// The body of an answer to a request that must be over by `end`.
    ///
    /// # Errors
    /// When the answer says that it is too long.
    pub fn new(
        inner: Incoming,
        limit: usize,
        bounds: Bounds,
        end: Instant,
        request_over: Arc<OnceLock<Exceeded>>,
        open: OwnedSemaphorePermit,
        traffic: Arc<Traffic>,
    ) -> Result<Self, Exceeded> {
        if inner.size_hint().lower() > limit as u64 {
            return Err(Exceeded::ResponseBytes(limit));
        }
        Ok(Self {
            inner: Some(inner),
            limit,
            left: limit,
            between_bytes: bounds.between_bytes,
            pause: None,
            total: bounds.total,
            end: Box::pin(sleep_until(end)),
            request_over,
            open,
            traffic,
        })
    }

    fn poll_bounded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        // Looked at first, since an answer that drips for ever is always ready.
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Exceeded::Total(self.total).into())));
        }
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                self.pause = None;
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                match self.left.checked_sub(bytes) {
                    Some(left) => {
                        self.left = left;
                        self.traffic.received(bytes);
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => Poll::Ready(Some(Err(Exceeded::ResponseBytes(self.limit).into()))),
                }
            }
            Poll::Ready(Some(Err(error))) => {
                let broken = || Error::InternalError(Some(format!("the answer broke off: {}", last(&error))));
                let over = self.request_over.get().copied();
                Poll::Ready(Some(Err(over.map_or_else(broken, Error::from))))
            }
            Poll::Pending => {
                let between_bytes = self.between_bytes;
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(between_bytes.time)));
                pause.as_mut().poll(cx).map(|()| Some(Err(Exceeded::BetweenBytes(between_bytes).into())))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.poll_bounded(cx);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            self.inner = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
