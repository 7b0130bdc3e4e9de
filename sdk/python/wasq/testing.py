"""Handlers in a test: a host in memory that records what the handler asked of it. No WebAssembly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import _json
from ._backend import Answer, GroupEnd, MemberEnd, NewMessage, NoAnswer, Request, Wait
from ._handler import result, run
from ._message import Message
from ._outcomes import Done, Outcome

__all__ = ["Answer", "MemberEnd", "NewMessage", "Request", "Test"]


@dataclass
class _Reply:
    method: str
    url: str
    answer: Answer | NoAnswer


class Test:
    """A message and the host that delivers it. What a handler asks of the host stands in `requests`, `sent` and `steps`."""

    # It is no test of pytest's.
    __test__ = False

    def __init__(
        self,
        body: object = None,
        *,
        kind: str = "test",
        attributes: dict[str, str | bytes] | None = None,
        variables: dict[str, str] | None = None,
        attempt: int = 1,
        remaining: float = 30.0,
        sent_at: datetime | None = None,
        steps: dict[str, object] | None = None,
        answers: dict[str, object] | None = None,
        ended_group: tuple[str, list[MemberEnd]] | None = None,
    ) -> None:
        data = body if isinstance(body, bytes) else _json.encode({} if body is None else body, "the body")
        self._message = Message("00000000-0000-0000-0000-000000000000", kind, data, attributes=dict(attributes or {}))
        self._variables, self._attempt, self._remaining = dict(variables or {}), attempt, remaining
        self._sent_at = 0 if sent_at is None else int(sent_at.timestamp() * 1000)
        self._steps = {name: _json.encode(value, name) for name, value in (steps or {}).items()}
        self._answers, self._ended = dict(answers or {}), ended_group
        self._replies: list[_Reply] = []
        self.requests: list[Request] = []
        self.sent: list[NewMessage] = []

    def reply(
        self, method: str, url: str, *, status: int = 200, json: object = None, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Test:
        """The answer to the next request of this method to this URL."""
        data = body if json is None else _json.encode(json, "the reply")
        self._replies.append(_Reply(method, url, Answer(status, list((headers or {}).items()), data)))
        return self

    def no_answer(self, method: str, url: str, reason: str, kind: str = "connect") -> Test:
        """No answer to the next request of this method to this URL."""
        self._replies.append(_Reply(method, url, NoAnswer(kind, reason)))
        return self

    def run(self, handler: Callable[..., Any]) -> Outcome:
        """Runs a handler as the host does. Gives its outcome, or raises its failure."""
        ended = run(handler, self._message, self)
        if isinstance(ended, Done):
            result(ended)
        return ended

    @property
    def steps(self) -> dict[str, Any]:
        """What runs have recorded, as values."""
        return {name: json.loads(value) for name, value in self._steps.items()}

    def attempt(self) -> int:
        return self._attempt

    def remaining_ms(self) -> int:
        return int(self._remaining * 1000)

    def idempotency_key(self) -> str:
        return "0" * 64

    def sent_at_ms(self) -> int:
        return self._sent_at

    def variable(self, name: str) -> str | None:
        return self._variables.get(name)

    def step(self, name: str) -> bytes | None:
        return self._steps.get(name)

    def record_step(self, name: str, value: bytes) -> None:
        self._steps[name] = value

    def send(self, message: NewMessage) -> None:
        self.sent.append(message)

    def wait(self, name: str, timeout_ms: int) -> Wait:
        if name not in self._answers:
            return Wait("pending", token=f"token-of-{name}")
        answer = self._answers[name]
        if answer is None:
            return Wait("timed-out")
        return Wait("answered", body=answer if isinstance(answer, bytes) else _json.encode(answer, name))

    def ended_group(self) -> GroupEnd | None:
        if self._ended is None:
            return None
        name, members = self._ended
        done, discarded, dead = (sum(member.state == state for member in members) for state in ("done", "discarded", "dead-lettered"))
        return GroupEnd(name, done, discarded, dead)

    def members(self, first: int) -> list[MemberEnd]:
        return [] if self._ended is None else self._ended[1][first : first + 100]

    def request(self, request: Request) -> Answer:
        self.requests.append(request)
        for at, reply in enumerate(self._replies):
            if (reply.method, reply.url) == (request.method, request.url):
                del self._replies[at]
                if isinstance(reply.answer, NoAnswer):
                    raise reply.answer
                return reply.answer
        method, url = request.method, request.url
        raise AssertionError(f"the test has no reply to {method} {url}: say it with .reply({method!r}, {url!r}, …)")
