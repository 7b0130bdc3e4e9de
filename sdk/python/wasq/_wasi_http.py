"""A request over wasi:http. It blocks, and keeps the host's words."""

from __future__ import annotations

from typing import Any

from componentize_py_types import Err
from wit_world.imports import outgoing_handler, types
from wit_world.imports.streams import StreamError_Closed, StreamError_LastOperationFailed

from ._backend import Answer, NoAnswer, Request

_READ_BYTES = 64 * 1024
# WASI's limit for one blocking write.
_WRITE_BYTES = 4096
# The most that is read of an answer's body.
_ANSWER_MAX_BYTES = 16 * 1024 * 1024

# Codes of a request that was never on its way, and others that have words of their own.
_CONNECT = {
    "DnsTimeout": "the name was not resolved in time",
    "DestinationNotFound": "destination not found",
    "DestinationUnavailable": "destination unavailable",
    "DestinationIpUnroutable": "no route to its address",
    "ConnectionRefused": "refused",
    "ConnectionTimeout": "it was not made in time (the host's egress.connect_timeout)",
}
_BROKEN = {
    "HttpRequestDenied": "the host denied the request: name its scheme, host and port in allowed_outbound_hosts",
    "DestinationIpProhibited": "its address is a prohibited one",
}
_METHODS = {name.upper(): getattr(types, f"Method_{name}") for name in ("Get", "Head", "Post", "Put", "Delete", "Options", "Patch")}


def request(request: Request) -> Answer:
    """Sends a request and reads the whole answer."""
    try:
        pending = _send(request)
        response = _wait(pending)
        headers = [(name, value.decode("latin-1")) for name, value in response.headers().entries()]
        return Answer(response.status(), headers, _read(response))
    except Err as error:
        raise _no_answer(error.value) from None


def _send(request: Request) -> Any:
    headers = [(name, value.encode()) for name, value in request.headers]
    if request.body:
        headers.append(("content-length", str(len(request.body)).encode()))
    try:
        outgoing = types.OutgoingRequest(types.Fields.from_list(headers))
        method = _METHODS.get(request.method)
        outgoing.set_method(method() if method else types.Method_Other(request.method))
        outgoing.set_scheme(types.Scheme_Https() if request.scheme == "https" else types.Scheme_Http())
        outgoing.set_authority(request.authority)
        outgoing.set_path_with_query(request.path)
    except Err as error:
        raise NoAnswer("unsendable", f"its method, URL or a header cannot be sent ({error.value})") from None
    options = types.RequestOptions()
    for set_timeout in (options.set_connect_timeout, options.set_first_byte_timeout, options.set_between_bytes_timeout):
        set_timeout(request.timeout_ms * 1_000_000)
    sink = outgoing.body() if request.body else None
    pending = outgoing_handler.handle(outgoing, options)
    if sink is not None:
        try:
            with sink.write() as stream:
                for at in range(0, len(request.body), _WRITE_BYTES):
                    stream.blocking_write_and_flush(request.body[at : at + _WRITE_BYTES])
        except Err as error:
            # When the stream closes early, the answer says why.
            if not isinstance(error.value, (StreamError_Closed, StreamError_LastOperationFailed)):
                raise
            return pending
        types.OutgoingBody.finish(sink, None)
    return pending


def _wait(pending: Any) -> Any:
    with pending.subscribe() as ready:
        ready.block()
    # A result in a result: the outer one says whether it was taken before.
    inner = pending.get().value
    if isinstance(inner, Err):
        raise inner
    return inner.value


def _read(response: Any) -> bytes:
    parts: list[bytes] = []
    length = 0
    with response.consume() as body, body.stream() as stream:
        while True:
            try:
                part = stream.blocking_read(_READ_BYTES)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return b"".join(parts)
                if not isinstance(error.value, StreamError_LastOperationFailed):
                    raise
                code = types.http_error_code(error.value.value)
                raise _no_answer(code) if code else NoAnswer("broken", error.value.value.to_debug_string()) from None
            length += len(part)
            if length > _ANSWER_MAX_BYTES:
                raise NoAnswer("broken", f"the answer's body is over the limit of {_ANSWER_MAX_BYTES} bytes")
            parts.append(part)


def _no_answer(code: Any) -> NoAnswer:
    name = type(code).__name__.removeprefix("ErrorCode_")
    if name == "DnsError":
        return NoAnswer("connect", f"no connection: the name was not resolved: {code.value.rcode or 'no reason'}")
    if name in _CONNECT:
        return NoAnswer("connect", f"no connection: {_CONNECT[name]}")
    value = getattr(code, "value", None)
    return NoAnswer("broken", value if isinstance(value, str) else _BROKEN.get(name, name))
