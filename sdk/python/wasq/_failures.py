"""The ways in which a message's work was not done."""

from __future__ import annotations

import traceback
from datetime import timedelta


def milliseconds(time: float | timedelta) -> int:
    """Seconds, or a timedelta, in whole milliseconds."""
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    return max(0, int(seconds * 1000))


class Failure(Exception):
    """The work was not done, on purpose. Any other exception is a retry."""

    def __init__(self, reason: str, after: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_ms = None if after is None else milliseconds(after)

    def within(self, place: str) -> Failure:
        """The same failure, saying in which part of the work it happened."""
        failure = type(self).__new__(type(self))
        failure.__dict__.update(self.__dict__)
        failure.reason = f"{place}: {self.reason}"
        failure.args = (failure.reason,)
        return failure


class Retry(Failure):
    """Try again later, by the manifest's backoff or in `after` seconds; counts an attempt."""


class Reject(Failure):
    """This message can never succeed: dead-letter it now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Unavailable(Failure):
    """A dependency is down: try again when it is back, without counting an attempt."""

    def __init__(self, dependency: str, reason: str, after: float | timedelta | None = None) -> None:
        super().__init__(reason, after)
        self.dependency = dependency


class HostError(Exception):
    """A refusal of the host's: `kind` is limit, unavailable, denied or gone."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind

    def failure(self, place: str) -> Failure:
        """What it is to a handler that does not catch it."""
        failures: dict[str, Failure] = {
            "unavailable": Unavailable("ledger", str(self)),
            "denied": Retry(str(self)),
        }
        return failures.get(self.kind, Reject(str(self))).within(place)


def describe(error: BaseException) -> str:
    """An exception's name and text, as the last line of its traceback has them."""
    return "".join(traceback.format_exception_only(type(error), error)).strip()
