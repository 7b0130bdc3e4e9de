"""Does what its message's body orders, as the handlers in the other languages do. tests/it/languages has the cases."""

import logging
from dataclasses import dataclass
from typing import Any

from wasq import Context, Discard, Done, Reject, Retry, Snooze, Unavailable, handler


@dataclass
class Item:
    sku: str
    quantity: int


@dataclass
class Order:
    name: str
    items: list[Item]
    note: str | None = None


@dataclass
class Typed:
    typed: Order


def seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


@handler
def conformance(order: dict[str, Any], cx: Context) -> object:
    match order["do"]:
        case "done":
            return None
        case "result":
            return Done(order["value"])
        case "echo-body":
            return {"text": cx.message.body.decode()}
        case "discard":
            return Discard(order["reason"])
        case "snooze":
            return Snooze(order["ms"] / 1000)
        case "retry":
            raise Retry(order["reason"], after=seconds(order.get("after_ms")))
        case "unavailable":
            raise Unavailable(order["dependency"], order["reason"], after=seconds(order.get("after_ms")))
        case "reject":
            raise Reject(order["reason"])
        case "error":
            raise RuntimeError(order["text"])
        case "typed":
            typed = cx.message.json(Typed)
            assert isinstance(typed, Typed)
            return {"name": typed.typed.name, "sum": sum(item.quantity for item in typed.typed.items)}
        case "once":
            return cx.once(order["name"], lambda: cx.http.post(order["url"], json={}, key=order["name"]).raise_for_status().json())
        case "once-error":
            return cx.once(order["name"], lambda: fail(RuntimeError(order["text"])))
        case "once-reject":
            return cx.once(order["name"], lambda: fail(Reject(order["reason"])))
        case "send":
            delay = order.get("delay_ms", 0) / 1000
            cx.send(order["queue"], order["kind"], order["body"], delay=delay, group=order.get("group"), attributes=order.get("attributes"))
        case "group":
            group = cx.group(order["name"])
            for body in order["members"]:
                group.send("self", "member", body)
            group.follow_with("self", "follow", order["follow"], on_failure="cancel")
        case "wait":
            wait = cx.wait_for(order["name"], 60)
            return wait.pending.outcome() if wait.pending else wait.answer
        case "variable":
            return cx.variable(order["name"])
        case "delivery":
            return {
                "attempt": cx.attempt,
                "key": cx.idempotency_key,
                "sent_at_ms": round(cx.sent_at.timestamp() * 1000),
                "timely": 0 < cx.remaining <= 60,
                "id": cx.message.id,
                "kind": cx.message.kind,
            }
        case "attributes":
            return {name: value if isinstance(value, str) else list(value) for name, value in cx.message.attributes.items()}
        case "get":
            return cx.http.get(order["url"], headers={"x-probe": "ü"}).raise_for_status().json()
        case "post":
            return cx.http.post(order["url"], json=order["json"], key=order.get("key", False)).raise_for_status().json()
        case "log":
            logging.warning(order["text"])
            print(order["text"])
        case other:
            raise Reject(f"no order: {other}")
    return None


def fail(error: Exception) -> None:
    raise error
