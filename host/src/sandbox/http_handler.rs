//! Components that know nothing of wasq: one that exports `wasi:http/incoming-handler` gets each
//! message as a request, and its answer's status says how the work went.
//!
//! | answer | what it is |
//! | --- | --- |
//! | 2xx | done; a JSON body is the result |
//! | 422 | reject |
//! | 429, 503 | unavailable, until `Retry-After` |
//! | any other | retry |

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::error::Context;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::bindings::Returned;
use super::bindings::wasq::worker::messages::{AttributeValue, Failure, Message, Outcome, Unavailable};
use super::egress::retry_after;
use super::state::State;

/// The host that a request names. Nothing listens there.
const AUTHORITY: &str = "wasq.internal";
/// What a type has in a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What a text in a header cannot have as it is.
const HEADER_TEXT: &AsciiSet = &CONTROLS.add(b'%');
/// How much of an answer's body becomes a reason.
const REASON_MAX_BYTES: usize = 1024;

type Answered = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// Makes an instance, and sends it the message.
pub async fn call(
    pre: &ProxyPre<State>,
    store: &mut Store<State>,
    message: Message,
    instantiated: impl Fn(),
) -> Returned {
    let instance = pre.instantiate_async(&mut *store).await?;
    instantiated();
    let request = request(message, store.data())?;
    let (sender, receiver) = oneshot::channel::<Answered>();
    let is_answered = Arc::new(AtomicBool::new(false));
    let answered = is_answered.clone();
    let incoming = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let outparam = store.data_mut().http().new_response_outparam_from_callback(move |answer| {
        answered.store(true, Ordering::Relaxed);
        // The other side is dropped with the run only.
        drop(sender.send(answer));
    })?;
    let limit = store.data().limits.result_bytes.max(REASON_MAX_BYTES);
    let answer = {
        // The body is read while the guest writes it.
        let answer = async {
            match receiver.await {
                Ok(answer) => read(answer, limit).await,
                // It was dropped without an answer: the call says why.
                Err(_) => std::future::pending().await,
            }
        };
        let call = instance.wasi_http_incoming_handler().call_handle(&mut *store, incoming, outparam);
        let (mut call, mut answer) = (pin!(call), pin!(answer));
        tokio::select! {
            biased;
            read = &mut answer => {
                call.await?;
                Some(read)
            }
            called = &mut call => {
                called?;
                if is_answered.load(Ordering::Relaxed) { Some(answer.await) } else { None }
            }
        }
    };
    let Some(answer) = answer else {
        return Ok(Err(Failure::Retry("it ended without an answer to its request".into())));
    };
    let (said, retry_after) = outcome(answer, store.data());
    store.data_mut().retry_after = retry_after;
    Ok(said)
}

/// The message as a request: `POST /TYPE`.
fn request(message: Message, state: &State) -> wasmtime::Result<Request<Full<Bytes>>> {
    let path = utf8_percent_encode(&message.kind, SEGMENT).to_string();
    let mut request = Request::post(format!("http://{AUTHORITY}/{path}"))
        .header(HOST, AUTHORITY)
        .header(CONTENT_LENGTH, message.body.len())
        .header(CONTENT_TYPE, text(&message.content_type))
        .header("idempotency-key", state.key.to_hex())
        .header("wasq-attempt", state.attempt)
        .header("wasq-message-id", text(&message.id))
        .header("wasq-sent-at-ms", state.sent_at.0)
        .header("wasq-type", text(&message.kind));
    if let Some(traceparent) = &state.message.traceparent {
        request = request.header("traceparent", text(traceparent));
    }
    for attribute in message.attributes {
        // SQS's names are header names, too. Another broker's may not be: such an attribute is left
        // out.
        let Ok(name) = HeaderName::try_from(format!("wasq-attribute-{}", attribute.name)) else { continue };
        request = request.header(
            name,
            match attribute.value {
                AttributeValue::Text(value) | AttributeValue::Number(value) => text(&value),
                AttributeValue::Binary(bytes) => text(&BASE64.encode(bytes)),
            },
        );
    }
    request.body(Full::new(message.body.into())).context("the message cannot be a request")
}

/// Text in a header: what is not ASCII, control characters and `%` are percent-encoded.
fn text(value: &str) -> HeaderValue {
    let encoded = utf8_percent_encode(value, HEADER_TEXT).to_string();
    HeaderValue::try_from(encoded).expect("what a header cannot have is encoded")
}

/// An answer whose body has been read, as far as it was wanted.
struct Answer {
    status: StatusCode,
    is_json: bool,
    retry_after: Option<Duration>,
    /// As much of it as is wanted.
    body: Vec<u8>,
    is_cut: bool,
}

async fn read(answer: Answered, limit: usize) -> Result<Answer, String> {
    let (head, body) = answer.map_err(|code| format!("its answer is an error: {code:?}"))?.into_parts();
    let header = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_json = header(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind == "application/json" || kind.ends_with("+json")
    });
    let retry_after =
        header(http::header::RETRY_AFTER).and_then(|value| retry_after(value.trim(), wasq_core::clock::unix_ms()));
    let (mut body, mut kept, mut is_cut) = (body, Vec::new(), false);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("its answer broke off: {error:?}"))?;
        let Ok(data) = frame.into_data() else { continue };
        // All of it is read: a guest whose answer nobody reads would wait for ever.
        let room = limit - kept.len();
        is_cut |= data.len() > room;
        kept.extend_from_slice(&data[..data.len().min(room)]);
    }
    Ok(Answer { status: head.status, is_json, retry_after, body: kept, is_cut })
}

/// What an answer says of the work, and when to try again.
fn outcome(answer: Result<Answer, String>, state: &State) -> (Result<Outcome, Failure>, Option<Duration>) {
    let Answer { status, is_json, retry_after, body, is_cut } = match answer {
        Ok(answer) => answer,
        Err(reason) => return (Err(Failure::Retry(reason)), None),
    };
    let said = || match String::from_utf8_lossy(&body[..body.len().min(REASON_MAX_BYTES)]).trim() {
        "" => format!("answered {status}"),
        text => format!("answered {status}: {text}"),
    };
    match status.as_u16() {
        200..=299 if is_json && is_cut => {
            let limit = state.limits.result_bytes;
            let reason = format!("its answer is a result of more than {limit} bytes (limits.result_bytes)");
            (Err(Failure::Retry(reason)), None)
        }
        200..=299 => (Ok(Outcome::Done((is_json && !body.is_empty()).then_some(body))), None),
        422 => (Err(Failure::Reject(said())), None),
        429 | 503 => {
            let down = Unavailable { dependency: state.policy.plugin.clone(), reason: said() };
            (Err(Failure::Unavailable(down)), retry_after)
        }
        _ => (Err(Failure::Retry(said())), None),
    }
}
