"""The ways in which a message's work needs no further attempt."""

from __future__ import annotations

from datetime import timedelta

from ._failures import milliseconds


class Outcome:
    """How the work ended. Whatever else a handler gives is the result of a `Done`."""


class Done(Outcome):
    """Done; the ledger keeps the result as JSON, at most 4 KiB by default."""

    def __init__(self, result: object = None) -> None:
        self.result = result


class Discard(Outcome):
    """Not worth doing, for this reason, which the host logs."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Snooze(Outcome):
    """Not yet: delivered again after this time, without counting an attempt."""

    def __init__(self, delay: float | timedelta) -> None:
        self.delay_ms = milliseconds(delay)
