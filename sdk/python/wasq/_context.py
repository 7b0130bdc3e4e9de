"""What a handler knows of its delivery, and what it can ask of the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar, cast

from . import _json
from ._backend import Backend, NewMessage, Part
from ._failures import Failure, HostError, Reject, Retry, describe, milliseconds
from ._group import EndedGroup, Group
from ._http import Http, HttpError
from ._message import Message
from ._outcomes import Snooze

T = TypeVar("T")
# The longest delay: 136 years.
_DELAY_MAX_S = 2**32 - 1


@dataclass
class Pending:
    """Nobody has answered yet. Whoever has the token may, once, on the host's ingress port."""

    token: str
    _timeout: float | timedelta

    def outcome(self) -> Snooze:
        """How the handler ends, to wait."""
        return Snooze(self._timeout)


@dataclass
class Waiting:
    """Where a wait stands: `pending`, an answer, or neither once its time is over."""

    pending: Pending | None = None
    answer: bytes | None = None

    @property
    def timed_out(self) -> bool:
        """Whether the time is over without an answer."""
        return self.pending is None and self.answer is None

    def json(self) -> Any:
        """The answer read as JSON."""
        if self.answer is None:
            raise Reject("there is no answer")
        return _json.decode(self.answer, "the answer")


@contextmanager
def _at(place: str) -> Iterator[None]:
    """A refusal of the host's becomes a failure that names the place."""
    try:
        yield
    except HostError as error:
        raise error.failure(place) from None


class Context:
    """One delivery of a message."""

    def __init__(self, message: Message, backend: Backend) -> None:
        self._backend = backend
        self.message = message
        self.http = Http(backend)

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._backend.attempt()

    @property
    def remaining(self) -> float:
        """Seconds until the host stops this handler."""
        return self._backend.remaining_ms() / 1000

    @property
    def idempotency_key(self) -> str:
        """The same in every delivery of this message."""
        return self._backend.idempotency_key()

    @property
    def sent_at(self) -> datetime:
        """When the producer sent the message."""
        return datetime.fromtimestamp(self._backend.sent_at_ms() / 1000, timezone.utc)

    def variable(self, name: str) -> str:
        """A variable of the manifest, or the operator's value in its place."""
        value = self._backend.variable(name)
        if value is None:
            raise Retry(f"variable `{name}` is not set: declare it under [variables] in plugin.toml")
        return value

    def once(self, name: str, work: Callable[[], T]) -> T:
        """Does a part of the work once: a later attempt gets what it gave, as JSON has it."""
        place = f"step `{name}`"
        with _at(place):
            known = self._backend.step(name)
        if known is not None:
            try:
                return cast(T, _json.decode(known, place))
            except Reject:
                reason = "what an earlier attempt recorded does not fit this version of the handler"
                raise Retry(f"{place}: {reason}") from None
        try:
            value = work()
        except Failure as failure:
            raise failure.within(place) from failure.__cause__
        except HttpError as error:
            raise error.failure().within(place) from None
        except Exception as error:
            raise Retry(f"{place}: {describe(error)}") from error
        data = _json.encode(value, f"{place}: its value")
        with _at(place):
            self._backend.record_step(name, data)
        # As a later attempt reads it.
        return cast(T, _json.decode(data, place))

    def send(
        self,
        queue: str,
        kind: str,
        body: object,
        *,
        delay: float | timedelta = 0,
        at: datetime | None = None,
        group: str | None = None,
        attributes: dict[str, str | int | bytes] | None = None,
    ) -> None:
        """Sends a message when this handler succeeds. `self` is the queue that this message came from."""
        self._send(queue, kind, body, delay=delay, at=at, group=group, attributes=attributes)

    def group(self, name: str) -> Group:
        """A group of messages under a name of this plugin's own."""
        return Group(name, self._send)

    @property
    def own_group(self) -> Group:
        """The group that this message is a member of."""
        return Group(None, self._send)

    @property
    def ended_group(self) -> EndedGroup | None:
        """The group whose end this message follows."""
        end = self._backend.ended_group()
        return None if end is None else EndedGroup(end, self._members)

    def _members(self, first: int) -> Any:
        with _at("the group's members"):
            return self._backend.members(first)

    def wait_for(self, name: str, timeout: float | timedelta) -> Waiting:
        """Waits for an answer from outside, without running."""
        with _at(f"wait `{name}`"):
            wait = self._backend.wait(name, milliseconds(timeout))
        if wait.state == "pending":
            return Waiting(pending=Pending(wait.token, timeout))
        return Waiting(answer=wait.body if wait.state == "answered" else None)

    def _send(
        self,
        queue: str,
        kind: str,
        body: object,
        *,
        delay: float | timedelta = 0,
        at: datetime | None = None,
        group: str | None = None,
        attributes: dict[str, str | int | bytes] | None = None,
        part: Part | None = None,
    ) -> None:
        place = f"outbox, `{kind}` to queue `{queue}`"
        if at is not None:
            delay = max(0.0, at.timestamp() - datetime.now(timezone.utc).timestamp())
        delay_s = math.ceil((delay.total_seconds() if isinstance(delay, timedelta) else delay))
        if not 0 <= delay_s <= _DELAY_MAX_S:
            raise Reject(f"{place}: a delay of {delay_s} s is not from 0 to {_DELAY_MAX_S} s")
        data = body if isinstance(body, bytes) else _json.encode(body, f"{place}: the body")
        with _at(place):
            self._backend.send(NewMessage(queue, kind, data, delay_s, group, dict(attributes or {}), part))
