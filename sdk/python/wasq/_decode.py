"""From JSON to the type that a handler's annotation names; a misfit names the field and never the value."""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import date, datetime
from enum import Enum

# The names of JSON's types, by Python's.
_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


class Misfit(Exception):
    """What does not fit, and where."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"field `{path}`: {reason}" if path else reason)


def fit(value: object, kind: object, path: str = "") -> object:
    """The value as this type: a class, a dataclass, a generic, a union, a literal, an enum, a TypedDict."""
    if kind in (typing.Any, object, None):
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated or getattr(origin, "__name__", getattr(origin, "_name", "")) in ("Required", "NotRequired"):
        return fit(value, arguments[0], path)
    if origin in (typing.Union, types.UnionType):
        return _union(value, arguments, path)
    if origin is typing.Literal:
        if any(value == literal and type(value) is type(literal) for literal in arguments):
            return value
        raise Misfit(path, f"expected one of {', '.join(map(str, arguments))}")
    if origin in (list, set, frozenset, tuple):
        return _items(value, origin, arguments, path)
    if origin is dict:
        fields = _instance(value, dict, path)
        return {key: fit(item, arguments[1], _below(path, key)) for key, item in fields.items()}
    if isinstance(kind, type):
        return _class(value, kind, path)
    return value


def _union(value: object, kinds: tuple[object, ...], path: str) -> object:
    if value is None and type(None) in kinds:
        return None
    misfits = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return fit(value, kind, path)
            except Misfit as misfit:
                misfits.append(misfit)
    # Of an optional one, what is wrong with it.
    if len(misfits) == 1:
        raise misfits[0]
    raise Misfit(path, f"fits none of {', '.join(getattr(kind, '__name__', str(kind)) for kind in kinds)}")


def _items(value: object, origin: type, arguments: tuple[object, ...], path: str) -> object:
    items = _instance(value, list, path)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(items) != len(arguments):
            raise Misfit(path, f"expected {len(arguments)} items, found {len(items)}")
        return tuple(fit(item, kind, f"{path}[{index}]") for index, (item, kind) in enumerate(zip(items, arguments)))
    kind = arguments[0] if arguments else typing.Any
    return origin(fit(item, kind, f"{path}[{index}]") for index, item in enumerate(items))


def _class(value: object, kind: type, path: str) -> object:
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, kind, path)
    if typing.is_typeddict(kind):
        return _typed_dict(value, kind, path)
    if issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            raise Misfit(path, f"expected one of {', '.join(str(case.value) for case in kind)}") from None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (datetime, date):
        text = _instance(value, str, path)
        try:
            # Python 3.10 does not read the Z.
            return kind.fromisoformat(text.replace("Z", "+00:00") if kind is datetime else text)
        except ValueError:
            raise Misfit(path, f"expected a {kind.__name__} as ISO 8601 has it") from None
    if kind in _NAMES:
        return _instance(value, kind, path)
    raise TypeError(f"a body's type is JSON's, a dataclass, a TypedDict, an Enum, date or datetime, and not {kind.__name__}")


def _dataclass(value: object, kind: type, path: str) -> object:
    found = _instance(value, dict, path)
    hints = typing.get_type_hints(kind)
    given = {}
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        if field.name in found:
            given[field.name] = fit(found[field.name], hints[field.name], _below(path, field.name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            if type(None) not in typing.get_args(hints[field.name]):
                raise Misfit(_below(path, field.name), "missing")
            given[field.name] = None
    return kind(**given)


def _typed_dict(value: object, kind: type, path: str) -> object:
    found = _instance(value, dict, path)
    hints = typing.get_type_hints(kind)
    missing = sorted(getattr(kind, "__required_keys__") - found.keys())
    if missing:
        raise Misfit(_below(path, missing[0]), "missing")
    return {key: fit(item, hints[key], _below(path, key)) if key in hints else item for key, item in found.items()}


def _instance(value: object, kind: type, path: str) -> typing.Any:
    # In Python a bool is an int; in JSON it is not.
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise Misfit(path, f"expected {_NAMES[kind]}, found {_NAMES.get(type(value), type(value).__name__)}")


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
