//! A request over `wasi:http`.

use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme, http_error_code,
};
use wasip2::io::poll::{self, Pollable};
use wasip2::io::streams::StreamError;

use super::{Answer, FaultKind, MAX_RESPONSE_BYTES, Request};

/// The most that is asked of a response's stream at once.
const READ_BYTES: u64 = 64 * 1024;

/// Sends the request and reads the whole answer.
pub(crate) fn send(request: &Request) -> Result<Answer, FaultKind> {
    let deadline = Deadline::after(request.timeout);
    let outgoing = outgoing(request)?;
    let body = match request.body.is_empty() {
        true => None,
        false => Some(outgoing.body().map_err(|()| unsendable("its body was already taken"))?),
    };
    let pending = outgoing_handler::handle(outgoing, Some(options(request.timeout)?)).map_err(fault)?;
    if let Some(body) = body {
        write(body, &request.body, &deadline)?;
    }
    let response = wait(&pending, &deadline)?;
    read(&response, &deadline)
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, FaultKind> {
    let mut headers = request.headers.clone();
    if !request.body.is_empty() {
        // With a length the host need not send it in chunks, which many receivers of webhooks do
        // not understand.
        headers.push(("Content-Length".to_owned(), request.body.len().to_string().into_bytes()));
    }
    let headers =
        Fields::from_list(&headers).map_err(|error| unsendable(&format!("a header cannot be sent: {error}")))?;
    let outgoing = OutgoingRequest::new(headers);
    let scheme = if request.url.https { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method(&request.method)).map_err(|()| unsendable("the method is not one"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| unsendable("the URL's scheme is not one"))?;
    outgoing.set_authority(Some(&request.url.authority)).map_err(|()| unsendable("the URL's host is not one"))?;
    outgoing
        .set_path_with_query(Some(&request.url.path_and_query))
        .map_err(|()| unsendable("the URL's path is not one"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    }
}

fn options(timeout: Duration) -> Result<RequestOptions, FaultKind> {
    let options = RequestOptions::new();
    let timeout = Some(nanoseconds(timeout));
    // The deadline is what bounds the whole; these let the host give up by itself, and say at what.
    options.set_connect_timeout(timeout).map_err(|()| unsendable("the host has no connect timeout"))?;
    options.set_first_byte_timeout(timeout).map_err(|()| unsendable("the host has no first-byte timeout"))?;
    Ok(options)
}

/// Writes the body as fast as the other side takes it. When the stream closes early, the response
/// says why.
fn write(body: OutgoingBody, mut bytes: &[u8], deadline: &Deadline) -> Result<(), FaultKind> {
    let stream = body.write().map_err(|()| unsendable("its body was already written"))?;
    while !bytes.is_empty() {
        let room = match stream.check_write() {
            Ok(0) => {
                deadline.wait(&stream.subscribe())?;
                continue;
            }
            Ok(room) => bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)),
            Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => return Ok(()),
        };
        let (chunk, rest) = bytes.split_at(room);
        match stream.write(chunk) {
            Ok(()) => bytes = rest,
            Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => return Ok(()),
        }
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(fault)
}

fn wait(pending: &FutureIncomingResponse, deadline: &Deadline) -> Result<IncomingResponse, FaultKind> {
    loop {
        match pending.get() {
            Some(Ok(response)) => return response.map_err(fault),
            Some(Err(())) => return Err(FaultKind::Broken("its answer was already taken".to_owned())),
            None => deadline.wait(&pending.subscribe())?,
        }
    }
}

fn read(response: &IncomingResponse, deadline: &Deadline) -> Result<Answer, FaultKind> {
    let body = response.consume().map_err(|()| FaultKind::Broken("its body was already taken".to_owned()))?;
    let stream = body.stream().map_err(|()| FaultKind::Broken("its body was already read".to_owned()))?;
    let mut bytes = Vec::new();
    loop {
        match stream.read(READ_BYTES) {
            Ok(chunk) if chunk.is_empty() => deadline.wait(&stream.subscribe())?,
            Ok(chunk) if bytes.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                return Err(FaultKind::TooLarge(MAX_RESPONSE_BYTES));
            }
            Ok(chunk) if bytes.is_empty() => bytes = chunk,
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(match http_error_code(&error) {
                    Some(code) => fault(code),
                    None => FaultKind::Broken(error.to_debug_string()),
                });
            }
        }
    }
    Ok(Answer { status: response.status(), headers: response.headers().entries(), body: bytes })
}

/// The end of a request's time.
struct Deadline {
    timeout: Duration,
    timer: Pollable,
}

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self { timeout, timer: monotonic_clock::subscribe_duration(nanoseconds(timeout)) }
    }

    /// Waits until this is ready, or fails when the time is up first.
    fn wait(&self, ready: &Pollable) -> Result<(), FaultKind> {
        // What is ready is used even when the time is up as well.
        if poll::poll(&[ready, &self.timer]).contains(&0) { Ok(()) } else { Err(FaultKind::Timeout(self.timeout)) }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn unsendable(reason: &str) -> FaultKind {
    FaultKind::Unsendable(reason.to_owned())
}

/// What the host says, in words, and whether the request was ever on its way.
fn fault(code: ErrorCode) -> FaultKind {
    match code {
        ErrorCode::DnsTimeout => FaultKind::Connect("the name was not resolved in time".to_owned()),
        ErrorCode::DnsError(payload) => FaultKind::Connect(format!(
            "the name was not resolved: {}",
            payload.rcode.as_deref().unwrap_or("no reason")
        )),
        ErrorCode::DestinationNotFound => FaultKind::Connect("destination not found".to_owned()),
        ErrorCode::DestinationUnavailable => FaultKind::Connect("destination unavailable".to_owned()),
        ErrorCode::DestinationIpUnroutable => FaultKind::Connect("no route to its address".to_owned()),
        ErrorCode::ConnectionRefused => FaultKind::Connect("refused".to_owned()),
        ErrorCode::ConnectionTimeout => {
            FaultKind::Connect("it was not made in time (the host's egress.connect_timeout)".to_owned())
        }
        ErrorCode::HttpRequestDenied => FaultKind::Broken(
            "the host denied the request: name its scheme, host and port in allowed_outbound_hosts".to_owned(),
        ),
        ErrorCode::DestinationIpProhibited => FaultKind::Broken("its address is a prohibited one".to_owned()),
        ErrorCode::InternalError(Some(reason)) => FaultKind::Broken(reason),
        // The others name themselves, and are all the same to a handler.
        other => FaultKind::Broken(format!("{other:?}").trim_start_matches("ErrorCode::").to_owned()),
    }
}
