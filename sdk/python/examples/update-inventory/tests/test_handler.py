import pytest
from handler import SYSTEMS, order_completed
from wasq import Reject, Retry
from wasq.testing import Test

ORDER = {
    "order_id": "A-1001",
    "customer": {"email": "ada@example.com", "name": "Ada"},
    "items": [{"sku": "MUG-BLUE", "quantity": 2, "unit_price_cents": 1299}],
    "total_cents": 2598,
}
URLS = {system: f"https://{system}.example/reservations" for system in SYSTEMS}
VARIABLES = {f"{system}_api": url for system, url in URLS.items()}


def host() -> Test:
    return Test(ORDER, variables=VARIABLES)


def test_each_system_is_told_under_a_key_of_its_own() -> None:
    ran = host()
    for url in URLS.values():
        ran.reply("POST", url, status=201)
    ran.run(order_completed)
    assert [request.url for request in ran.requests] == list(URLS.values())
    keys = [dict(request.headers)["idempotency-key"] for request in ran.requests]
    assert [key.rsplit(":", 1)[1] for key in keys] == SYSTEMS


def test_the_next_attempt_begins_with_the_system_that_failed() -> None:
    ran = host().reply("POST", URLS["warehouse"], status=201).reply("POST", URLS["storefront"], status=500)
    with pytest.raises(Retry, match="storefront"):
        ran.run(order_completed)
    for system in ["storefront", "marketplace"]:
        ran.reply("POST", URLS[system], status=201)
    ran.run(order_completed)
    told = [URLS[system] for system in ["warehouse", "storefront", "storefront", "marketplace"]]
    assert [request.url for request in ran.requests] == told


def test_an_order_that_does_not_fit_is_rejected() -> None:
    with pytest.raises(Reject, match="field `items`"):
        Test({"order_id": "A-1001", "items": 7}, variables=VARIABLES).run(order_completed)
