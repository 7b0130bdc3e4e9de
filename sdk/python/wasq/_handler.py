"""From a function to a handler, and from a message to how its work ended."""

from __future__ import annotations

import inspect
import logging
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from . import _json
from ._backend import Backend
from ._context import Context
from ._failures import Failure, Retry, describe
from ._http import HttpError
from ._message import Message
from ._outcomes import Done, Outcome

F = TypeVar("F", bound=Callable[..., Any])
_log = logging.getLogger("wasq")
# What `@handler` has marked: a component has one.
registered: list[Callable[..., Any]] = []


def handler(function: F) -> F:
    """Makes a function the handler of this component. It takes the message's body, as the type that its annotation names, and
    a `Context`; or a `Context` alone."""
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__name__} is async: a handler has its instance to itself, and may block in it")
    if len(parameters) not in (1, 2):
        raise TypeError(f"{function.__name__} takes {len(parameters)} parameters: a handler takes (body, cx), or (cx)")
    registered.append(function)
    return function


def run(function: Callable[..., Any], message: Message, backend: Backend) -> Outcome:
    """Runs a handler on one message. Gives an outcome, or raises a failure."""
    cx = Context(message, backend)
    try:
        ended = function(*_arguments(function, cx))
        return ended if isinstance(ended, Outcome) else Done(ended)
    except Failure as failure:
        if failure.__cause__ is not None:
            _log.error("%s", failure.reason, exc_info=failure.__cause__)
        raise
    except HttpError as error:
        raise error.failure() from None
    except Exception as error:
        _log.error("%s", describe(error), exc_info=error)
        raise Retry(describe(error)) from error


def result(done: Done) -> bytes | None:
    """What the ledger keeps."""
    return None if done.result is None else _json.encode(done.result, "the result")


def _arguments(function: Callable[..., Any], cx: Context) -> tuple[object, ...]:
    names = list(inspect.signature(function).parameters)
    if len(names) == 1:
        return (cx,)
    kind = typing.get_type_hints(function).get(names[0])
    # Bytes are the body whatever it is.
    return (cx.message.body if kind is bytes else cx.message.json(kind), cx)
