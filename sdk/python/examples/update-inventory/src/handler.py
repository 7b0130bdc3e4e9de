"""Takes an order's items out of stock in three systems."""

import logging
from dataclasses import asdict, dataclass

from wasq import Context, handler

# The systems that count stock: each is a step of its own, and has its address in the variable
# `{name}_api`.
SYSTEMS = ["warehouse", "storefront", "marketplace"]


@dataclass
class Item:
    sku: str
    quantity: int


@dataclass
class Reservation:
    """What each system is told: the order's own fields, less those that it has no business with."""

    order_id: str
    items: list[Item]


@handler
def order_completed(order: Reservation, cx: Context) -> None:
    """Reserves the items in one system after the other.

    When one fails, the next attempt begins with that one.
    """
    for system in SYSTEMS:
        cx.once(system, lambda: reserve(system, order, cx))
    logging.info("items of %s reserved", order.order_id)


def reserve(system: str, order: Reservation, cx: Context) -> None:
    cx.http.post(cx.variable(f"{system}_api"), json=asdict(order), key=system).raise_for_status()
