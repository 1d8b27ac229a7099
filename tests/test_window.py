"""What is sent in a step, and what is a window built from?"""

from __future__ import annotations

import orjson

from multiturn.decision import Code, Span
from multiturn.ledger import Ledger
from multiturn.messages import Entry
from multiturn.path import MessageRow, sealed
from multiturn.window import Limits, Window

SPANS = (Span(Code.SYSTEM, 1, 5), Span(Code.NEW, 1, 4, (1, 1)))


def window(*messages: dict[str, object]) -> Window:
    return Window(orjson.dumps(messages), SPANS, 9, Limits(budget=100, high=100, low=50), notes=("n",))


def test_a_window_opens_its_messages_anew_at_each_look() -> None:
    one = window({"role": "user", "content": "你好\0👩\u200d👩"})
    one.messages[0]["content"] = "changed"
    assert one.messages == [{"role": "user", "content": "你好\0👩\u200d👩"}]


def test_the_ledger_of_a_window_is_what_is_stored_with_its_step() -> None:
    assert window().ledger == Ledger(SPANS, 9, 100, ("n",))


def test_a_window_has_a_decision_for_each_message() -> None:
    assert [decision.code for decision in window().decisions] == [Code.SYSTEM, Code.NEW]


def test_a_window_explains_itself_as_its_ledger_does() -> None:
    one = Window(b"[]", SPANS, 9, Limits(100, 100, 50))
    assert one.explain() == one.ledger.explain()
    assert one.explain("zh") == one.ledger.explain("zh")
    assert one.explain() != one.explain("zh")


def test_entries_become_rows_with_their_place_and_where_they_come_from() -> None:
    entries = [
        Entry("user", 1, 2, b"{}"),
        Entry("assistant", 3, 4, b"[]", b"hm", 5, b'{"model":"kimi/k2"}'),
        Entry("assistant", 0, 0, b"", None, 0, b'{"id":"x"}'),
    ]
    assert sealed(entries, 7, "qwen/plus") == [
        MessageRow(7, 0, "user", 1, 2, 0, b"{}", None, "qwen/plus"),
        MessageRow(7, 1, "assistant", 3, 4, 5, b"[]", b"hm", "kimi/k2"),
        MessageRow(7, 2, "assistant", 0, 0, 0, b"", None, "qwen/plus"),
    ]
    assert sealed(entries[:1], 7)[0].model is None
