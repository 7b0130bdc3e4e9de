"""HTTP to the hosts that the manifest's allowed_outbound_hosts names. It blocks: a handler has its instance to itself."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from . import _json
from ._backend import Answer, Backend, NoAnswer, Request
from ._failures import Failure, Retry, Unavailable, milliseconds

# What is kept back of the handler's own time, so that it can still say which host did not answer.
_TIME_TO_REPORT_MS = 250
_URL = re.compile(r"(https?)://([^/?#@\s]+)([/?][^#\s]*)?(?:#.*)?", re.IGNORECASE)


class HttpError(Exception):
    """No usable answer. One that is not caught is a retry, or unavailable where its host is down."""

    def __init__(self, reason: str, host: str, kind: str, status: int | None = None, after: float | None = None) -> None:
        super().__init__(reason)
        self.host, self.kind, self.status, self.after = host, kind, status, after

    def failure(self) -> Failure:
        """What it is to the host."""
        if self.kind == "connect" or self.status in (429, 503):
            return Unavailable(self.host, str(self), self.after)
        return Retry(str(self))


class Response:
    """An answer, whatever its status."""

    def __init__(self, what: str, host: str, answer: Answer) -> None:
        self._what, self._host = what, host
        self.status, self.headers, self.body = answer.status, answer.headers, answer.body

    @property
    def ok(self) -> bool:
        """Whether its status is one of success."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def text(self) -> str:
        """Its body, as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """Its body, read as JSON."""
        return _json.decode(self.body, f"{self._what}: the answer's body")

    def raise_for_status(self) -> Response:
        """Itself, if its status is one of success. 429 and 503 are an unavailable host."""
        if self.ok:
            return self
        after = self.header("retry-after") or ""
        seconds = float(after) if after.isdecimal() and len(after) < 10 else None
        raise HttpError(f"{self._what}: answered {self.status}", self._host, "status", self.status, seconds)


class Http:
    """Makes requests."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get(self, url: str, **options: Any) -> Response:
        """As `request`."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Response:
        """As `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> Response:
        """As `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> Response:
        """As `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> Response:
        """As `request`."""
        return self.request("DELETE", url, **options)

    def request(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        body: bytes | str = b"",
        headers: dict[str, str] | None = None,
        key: bool | str = False,
        timeout: float | timedelta = 10,
    ) -> Response:
        """Sends a request and waits for the answer. `key` adds the message's idempotency key, for one effect of several by
        its name."""
        parts = _URL.fullmatch(url)
        if parts is None:
            raise HttpError(f"{method} request: the URL is not http:// or https:// with a host", "", "unsendable")
        scheme, authority, path = parts[1].lower(), parts[2], parts[3] or "/"
        path = f"/{path}" if path.startswith("?") else path
        what = f"{method} {scheme}://{authority}{path.split('?')[0]}"
        host = re.sub(r":\d+$", "", authority).lower()
        sent = list((headers or {}).items())
        if key:
            own = self._backend.idempotency_key()
            sent.append(("idempotency-key", own if key is True else f"{own}:{key}"))
        data = body.encode() if isinstance(body, str) else body
        if json is not None:
            data = _json.encode(json, "the request")
            if not any(name.lower() == "content-type" for name, _ in sent):
                sent.append(("content-type", "application/json"))
        limit = max(1, min(milliseconds(timeout), self._backend.remaining_ms() - _TIME_TO_REPORT_MS))
        try:
            answer = self._backend.request(Request(method, scheme, authority, path, sent, data, limit))
        except NoAnswer as error:
            raise HttpError(f"{what}: {error}", host, error.kind) from None
        return Response(what, host, answer)
