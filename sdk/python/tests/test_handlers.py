"""What handlers meet in a test of their own. How the same looks to the host, tests/it/languages shows."""

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, Optional, TypedDict

import pytest
from wasq import Context, Discard, Done, Failure, Reject, Retry, Snooze, Unavailable, handler
from wasq.testing import MemberEnd, Test


class State(enum.Enum):
    OPEN = "open"
    CLOSED = "closed"


class Note(TypedDict):
    text: str


@dataclass
class Item:
    sku: str
    quantity: int = 1


@dataclass
class Order:
    id: str
    items: list[Item]
    state: State
    at: datetime
    note: Optional[Note]
    kind: Literal["a", "b"] = "a"
    weights: dict[str, float] = field(default_factory=dict)


GOOD: dict[str, Any] = {"id": "i", "items": [{"sku": "s"}], "state": "open", "at": "2026-01-02T03:04:05Z", "weights": {"x": 1}}


@handler
def order(body: Order, cx: Context) -> object:
    return {"quantity": body.items[0].quantity, "year": body.at.year, "weight": body.weights["x"], "note": body.note}


def test_a_body_becomes_its_type() -> None:
    ended = Test(GOOD).run(order)
    assert isinstance(ended, Done)
    assert ended.result == {"quantity": 1, "year": 2026, "weight": 1.0, "note": None}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": 7}, "body: field `id`: expected a string, found an integer"),
        ({"items": [{"sku": "s"}, {"quantity": 1}]}, "body: field `items[1].sku`: missing"),
        ({"items": [{"sku": "s", "quantity": True}]}, "body: field `items[0].quantity`: expected an integer, found a boolean"),
        ({"items": [{"sku": "s", "quantity": 1.5}]}, "body: field `items[0].quantity`: expected an integer, found a number"),
        ({"state": "secret"}, "body: field `state`: expected one of open, closed"),
        ({"at": "secret"}, "body: field `at`: expected a datetime as ISO 8601 has it"),
        ({"note": {}}, "body: field `note.text`: missing"),
        ({"kind": "secret"}, "body: field `kind`: expected one of a, b"),
        ({"weights": {"x": "secret"}}, "body: field `weights.x`: expected a number, found a string"),
    ],
)
def test_a_misfit_names_the_field_and_never_the_value(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Reject) as failed:
        Test({**GOOD, **change}).run(order)
    assert failed.value.reason == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "body: not JSON: Expecting property name enclosed in double quotes at line 1 column 2"),
        (b"\xff", "body: not UTF-8"),
        (b"[" * 100_000, "body: nested too deep"),
        (b"[]", "body: expected an object, found a list"),
    ],
)
def test_a_body_that_is_no_order_is_rejected(body: bytes, reason: str) -> None:
    with pytest.raises(Reject) as failed:
        Test(body).run(order)
    assert failed.value.reason == reason


def test_whatever_a_handler_gives_is_an_outcome() -> None:
    def give(value: object) -> Any:
        return Test().run(lambda cx: value)

    assert give(None).result is None and give({"a": 1}).result == {"a": 1}
    assert give(Discard("no")).reason == "no" and give(Snooze(timedelta(minutes=1))).delay_ms == 60_000
    with pytest.raises(Reject, match="the result has no JSON: a object"):
        give(object())


def test_whatever_a_handler_raises_is_a_failure() -> None:
    def failure(error: Exception) -> Failure:
        def fail(cx: Context) -> None:
            raise error

        with pytest.raises(Failure) as failed:
            Test().run(fail)
        return failed.value

    assert (failure(Retry("r", after=2.5)).after_ms, failure(Retry("r")).after_ms) == (2500, None)
    assert isinstance(failure(Unavailable("mail", "down")), Unavailable)
    assert failure(RuntimeError("boom")).reason == "RuntimeError: boom"
    assert failure(KeyError("id")).reason == "KeyError: 'id'"


def test_a_step_is_done_once_and_what_fails_in_it_says_so() -> None:
    url = "https://pay.example/charges"

    def charge(cx: Context) -> object:
        return cx.once("charge", lambda: cx.http.post(url, json={}, key="charge").raise_for_status().json())

    host = Test().reply("POST", url, json={"id": "ch_1"})
    assert [getattr(host.run(charge), "result") for _ in range(2)] == [{"id": "ch_1"}] * 2
    assert len(host.requests) == 1 and ("idempotency-key", f"{'0' * 64}:charge") in host.requests[0].headers
    with pytest.raises(Retry, match="step `s`: ZeroDivisionError"):
        Test().run(lambda cx: cx.once("s", lambda: 1 // 0))


@pytest.mark.parametrize(
    ("reply", "expect"),
    [
        ({"status": 500}, Retry("GET https://a.example/x: answered 500")),
        ({"status": 503, "headers": {"Retry-After": "7"}}, Unavailable("a.example", "GET https://a.example/x: answered 503", 7)),
    ],
)
def test_an_answer_that_is_no_success_is_a_failure(reply: dict[str, Any], expect: Failure) -> None:
    url = "https://a.example/x?secret=1"
    with pytest.raises(Failure) as failed:
        Test().reply("GET", url, **reply).run(lambda cx: cx.http.get(url).raise_for_status())
    assert (type(failed.value), failed.value.reason, failed.value.after_ms) == (type(expect), expect.reason, expect.after_ms)


def test_no_connection_is_an_unavailable_host() -> None:
    url = "https://a.example/x"
    with pytest.raises(Unavailable, match="GET https://a.example/x: no connection: refused") as failed:
        Test().no_answer("GET", url, "no connection: refused").run(lambda cx: cx.http.get(url))
    assert failed.value.dependency == "a.example"


def test_what_is_sent_has_its_options() -> None:
    def send(cx: Context) -> None:
        cx.send("self", "later", {"n": 1}, delay=1.2, group="g", attributes={"a": "v", "n": 7})
        group = cx.group("all")
        group.send("jobs", "part", 1)
        group.follow_with("jobs", "end", 2, on_failure="cancel")

    host = Test()
    host.run(send)
    later, part, end = host.sent
    assert (later.delay_s, later.group, later.attributes, later.body) == (2, "g", {"a": "v", "n": 7}, b'{"n":1}')
    assert part.part is not None and part.part.on_failure is None
    assert end.part is not None and (end.part.group, end.part.on_failure) == ("all", "cancel")


def test_a_wait_is_pending_answered_or_over() -> None:
    def wait(cx: Context) -> object:
        waiting = cx.wait_for("w", timedelta(minutes=1))
        return waiting.pending.outcome() if waiting.pending else "over" if waiting.timed_out else waiting.json()

    pending = Test().run(wait)
    assert isinstance(pending, Snooze) and pending.delay_ms == 60_000
    assert getattr(Test(answers={"w": {"ok": True}}).run(wait), "result") == {"ok": True}
    assert getattr(Test(answers={"w": None}).run(wait), "result") == "over"


def test_the_end_of_a_group_has_its_members() -> None:
    members = [MemberEnd("q", "part", "done", result=b'{"n":1}'), MemberEnd("q", "part", "dead-lettered", reason="no")]

    def summary(cx: Context) -> object:
        group = cx.ended_group
        assert group is not None
        return [group.name, group.done, group.dead_lettered, group.results("part")]

    assert getattr(Test(ended_group=("all", members)).run(summary), "result") == ["all", 1, 1, [{"n": 1}]]


def test_a_delivery_is_what_the_test_says() -> None:
    sent_at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    host = Test(variables={"a": "b"}, attempt=3, remaining=2.5, sent_at=sent_at)
    seen = host.run(lambda cx: [cx.variable("a"), cx.attempt, cx.remaining, cx.sent_at.isoformat()])
    assert getattr(seen, "result") == ["b", 3, 2.5, "2026-01-02T00:00:00+00:00"]
    with pytest.raises(Retry, match=r"variable `x` is not set: declare it under \[variables\]"):
        host.run(lambda cx: cx.variable("x"))


def test_what_can_be_no_handler_is_said() -> None:
    with pytest.raises(TypeError, match="takes 0 parameters"):
        handler(lambda: None)
