"""What a producer sent."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _json
from ._decode import Misfit, fit
from ._failures import Reject


@dataclass
class Message:
    """A message, unwrapped from its envelope."""

    id: str
    kind: str
    body: bytes
    content_type: str = "application/json"
    attributes: dict[str, str | bytes] = field(default_factory=dict)

    def json(self, kind: object = None) -> object:
        """The body read as JSON; with a type, checked against it."""
        try:
            return fit(_json.decode(self.body, "body"), kind)
        except Misfit as misfit:
            raise Reject(f"body: {misfit}") from None
