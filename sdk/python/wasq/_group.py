"""Messages that belong together, and one that is sent when all of them have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import _json
from ._backend import GroupEnd, MemberEnd, Part
from ._failures import Reject

Member = MemberEnd


class Group:
    """A group of messages: each is sent as from the outbox, and when all of them have ended, one more is."""

    def __init__(self, name: str | None, send: Callable[..., None]) -> None:
        self._name, self._send = name, send

    def send(self, queue: str, kind: str, body: object, **options: Any) -> None:
        """A member: as `Context.send`."""
        self._send(queue, kind, body, part=Part(self._name), **options)

    def follow_with(self, queue: str, kind: str, body: object, *, on_failure: str = "send", **options: Any) -> None:
        """What is sent, once, when every member has ended. `on_failure` is what a dead-lettered member means: it has ended
        (`send`), the group waits for its replay (`wait`), or the group ends at once (`cancel`)."""
        self._send(queue, kind, body, part=Part(self._name, on_failure), **options)


class EndedGroup:
    """The group whose end the handled message follows."""

    def __init__(self, end: GroupEnd, read: Callable[[int], list[MemberEnd]]) -> None:
        self._read = read
        self.name, self.done, self.discarded, self.dead_lettered = end.name, end.done, end.discarded, end.dead_lettered

    def members(self) -> Iterator[Member]:
        """Its members, in the order in which each handler sent its own."""
        first = 0
        while page := self._read(first):
            yield from page
            first += len(page)

    def results(self, kind: str) -> list[Any]:
        """The results of its members of this type that are done."""
        results = []
        for member in self.members():
            if member.kind == kind and member.state == "done":
                if member.result is None:
                    raise Reject(f"the result of a `{kind}`: there is none")
                results.append(_json.decode(member.result, f"the result of a `{kind}`"))
        return results
