"""What stands behind a context: the host in a component, a recorder in a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class Part:
    """What a message is to a group: a member, or, with `on_failure`, what follows it."""

    group: str | None
    on_failure: str | None = None


@dataclass
class NewMessage:
    """A message for the outbox."""

    queue: str
    kind: str
    body: bytes
    delay_s: int = 0
    group: str | None = None
    attributes: dict[str, str | int | bytes] = field(default_factory=dict)
    part: Part | None = None


@dataclass
class Wait:
    """Where a wait stands: `pending` with a token, `answered` with a body, or `timed-out`."""

    state: str
    token: str = ""
    body: bytes = b""


@dataclass
class GroupEnd:
    """A group that has ended."""

    name: str
    done: int
    discarded: int
    dead_lettered: int


@dataclass
class MemberEnd:
    """A member, and how it ended: `done`, `discarded`, `dead-lettered`, or `open`."""

    queue: str
    kind: str
    state: str
    result: bytes | None = None
    reason: str = ""


@dataclass
class Request:
    """A request as it is sent."""

    method: str
    scheme: str
    authority: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    timeout_ms: int

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass
class Answer:
    """An answer as it comes."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class NoAnswer(Exception):
    """Why there is no answer, in the host's words; `kind` is connect, broken or unsendable."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Backend(Protocol):
    """The host. Its refusals are `HostError`s."""

    def attempt(self) -> int: ...
    def remaining_ms(self) -> int: ...
    def idempotency_key(self) -> str: ...
    def sent_at_ms(self) -> int: ...
    def variable(self, name: str) -> str | None: ...
    def step(self, name: str) -> bytes | None: ...
    def record_step(self, name: str, value: bytes) -> None: ...
    def send(self, message: NewMessage) -> None: ...
    def wait(self, name: str, timeout_ms: int) -> Wait: ...
    def ended_group(self) -> GroupEnd | None: ...
    def members(self, first: int) -> list[MemberEnd]: ...
    def request(self, request: Request) -> Answer: ...
