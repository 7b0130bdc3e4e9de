"""JSON to and from bytes, with faults that never quote a body: reasons are logged, and bodies must not be."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, datetime
from enum import Enum

from ._failures import Reject


def _more(value: object) -> object:
    """Values that json does not know."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__}")


def encode(value: object, what: str) -> bytes:
    """A value's JSON. What has none is rejected."""
    try:
        return json.dumps(value, default=_more, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise Reject(f"{what} has no JSON: {error}") from None


def decode(data: bytes, what: str) -> object:
    """What the text says."""
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError:
        raise Reject(f"{what}: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Reject(f"{what}: not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise Reject(f"{what}: nested too deep") from None
