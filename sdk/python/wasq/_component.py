"""The export of a component, and the host behind it. `wasq.build` makes the component's entry from it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from componentize_py_types import Err
from wit_world.imports import delivery, groups, log, messages, outbox, steps, waits

from ._backend import Answer, GroupEnd, MemberEnd, NewMessage, NoAnswer, Request, Wait
from ._failures import Failure, HostError, Reject, Unavailable
from ._handler import registered, result, run
from ._message import Message
from ._outcomes import Discard, Done, Outcome, Snooze

try:
    from . import _wasi_http

    _request: Callable[[Request], Answer] = _wasi_http.request
except ImportError:

    def _request(request: Request) -> Answer:
        reason = "the handler was built without HTTP: name scheme, host and port in allowed_outbound_hosts of plugin.toml"
        raise NoAnswer("broken", reason)


_KINDS = {"Limit": "limit", "Unavailable": "unavailable", "Denied": "denied", "Gone": "gone"}
_LEVELS = [
    (logging.ERROR, log.Level.ERROR),
    (logging.WARNING, log.Level.WARN),
    (logging.INFO, log.Level.INFO),
    (logging.DEBUG, log.Level.DEBUG),
    (logging.NOTSET, log.Level.TRACE),
]
_ON_FAILURE = {"send": groups.OnFailure.SEND, "wait": groups.OnFailure.WAIT, "cancel": groups.OnFailure.CANCEL}


@contextmanager
def _refusals() -> Iterator[None]:
    """An error of an import is a refusal of the host's."""
    try:
        yield
    except Err as error:
        name = type(error.value).__name__.rsplit("_", 1)[-1]
        raise HostError(_KINDS.get(name, "limit"), error.value.value) from None


def _options(message: NewMessage) -> Any:
    if not (message.delay_s or message.group is not None or message.attributes):
        return None
    options = outbox.SendOptions()
    options.set_delay_s(message.delay_s)
    if message.group is not None:
        options.set_group(message.group)
    for name, value in message.attributes.items():
        options.set_attribute(messages.Attribute(name, _attribute(value)))
    return options


def _attribute(value: str | int | bytes) -> Any:
    if isinstance(value, bytes):
        return messages.AttributeValue_Binary(value)
    if isinstance(value, str):
        return messages.AttributeValue_Text(value)
    return messages.AttributeValue_Number(str(value))


class _Host:
    """The host, by the contract's imports."""

    def attempt(self) -> int:
        return int(delivery.attempt())

    def remaining_ms(self) -> int:
        return int(delivery.remaining_ms())

    def idempotency_key(self) -> str:
        return str(delivery.idempotency_key())

    def sent_at_ms(self) -> int:
        return int(delivery.sent_at_ms())

    def variable(self, name: str) -> str | None:
        return os.environ.get(name)

    def step(self, name: str) -> bytes | None:
        with _refusals():
            value: bytes | None = steps.get(name)
            return value

    def record_step(self, name: str, value: bytes) -> None:
        with _refusals():
            steps.put(name, value)

    def send(self, message: NewMessage) -> None:
        is_own = message.queue in ("", "self")
        queue = outbox.Queue_Origin() if is_own else outbox.Queue_Named(message.queue)
        with _refusals():
            rest = (queue, message.kind, message.body, _options(message))
            if message.part is None:
                outbox.send(*rest)
            elif message.part.on_failure is None:
                groups.add(message.part.group, *rest)
            else:
                groups.follow_with(message.part.group, _ON_FAILURE[message.part.on_failure], *rest)

    def wait(self, name: str, timeout_ms: int) -> Wait:
        with _refusals():
            state = waits.wait(name, timeout_ms)
        if isinstance(state, waits.WaitState_Pending):
            return Wait("pending", token=state.value)
        return Wait("answered", body=state.value) if isinstance(state, waits.WaitState_Answered) else Wait("timed-out")

    def ended_group(self) -> GroupEnd | None:
        end = groups.ended()
        return None if end is None else GroupEnd(end.name, end.done, end.discarded, end.dead_lettered)

    def members(self, first: int) -> list[MemberEnd]:
        with _refusals():
            return [_member(member) for member in groups.members(first)]

    def request(self, request: Request) -> Answer:
        return _request(request)


def _member(member: Any) -> MemberEnd:
    end = member.end
    if end is None:
        return MemberEnd(member.queue, member.kind, "open")
    if isinstance(end, groups.MemberEnd_Done):
        return MemberEnd(member.queue, member.kind, "done", result=end.value)
    state = "discarded" if isinstance(end, groups.MemberEnd_Discarded) else "dead-lettered"
    return MemberEnd(member.queue, member.kind, state, reason=end.value)


class _Log(logging.Handler):
    """Records of `logging` in the host's log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next(of_host for least, of_host in _LEVELS if record.levelno >= least)
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{(self.formatter or logging.Formatter()).formatException(record.exc_info)}"
        log.write(level, record.name, text, [])


def _outcome(ended: Outcome) -> Any:
    if isinstance(ended, Done):
        return messages.Outcome_Done(result(ended))
    if isinstance(ended, Discard):
        return messages.Outcome_Discard(ended.reason)
    assert isinstance(ended, Snooze), "these are all"
    return messages.Outcome_Snooze(ended.delay_ms)


def _failure(failure: Failure) -> Any:
    if isinstance(failure, Reject):
        return messages.Failure_Reject(failure.reason)
    if failure.after_ms is not None:
        delivery.retry_after(failure.after_ms)
    if isinstance(failure, Unavailable):
        return messages.Failure_Unavailable(messages.Unavailable(failure.dependency, failure.reason))
    return messages.Failure_Retry(failure.reason)


class MessageHandler:
    """The component's export."""

    def handle(self, message: Any) -> Any:
        """One message, one outcome."""
        root = logging.getLogger()
        root.handlers[:] = [_Log()]
        root.setLevel(next((level for level, of_host in reversed(_LEVELS[:-1]) if log.enabled(of_host)), logging.ERROR))
        attributes = {attribute.name: attribute.value.value for attribute in message.attributes}
        taken = Message(message.id, message.kind, message.body, message.content_type, attributes)
        try:
            return _outcome(run(registered[0], taken, _Host()))
        except Failure as failure:
            raise Err(_failure(failure)) from None
