"""What is kept of a response, what is not, and what becomes of one that is deleted."""

from __future__ import annotations

import json
import sqlite3
import zlib
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.responding import MODEL, TOOL, ask, post, questions, result, sent, told
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Script, serve

from multiturn.gateway.responses.compactions import compaction_item


def conversations(one: Gate) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(one.get("/v1/conversations")[1])["data"]
    return found


# ----------------------------------------------------------------------------------------- not kept


@pytest.mark.parametrize("streamed", [False, True])
def test_nothing_is_kept_where_nothing_is_to_be(streamed: bool) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        first = ask(one, "My name is Ada.")
        given: Any = {"previous_response_id": first.id, "store": False}
        if streamed:
            events = told(one, "What is my name?", **given)
            assert [each["sequence_number"] for each in events] == list(range(len(events)))
            last = events[-1]["response"]
        else:
            last = ask(one, "What is my name?", **given).to_dict()
        assert "Ada" in last["output"][0]["content"][0]["text"]
        assert (last["store"], last["status"]) == (False, "completed")
        with pytest.raises(openai.NotFoundError):
            one.openai().responses.retrieve(last["id"])
        with pytest.raises(openai.BadRequestError) as caught:
            ask(one, "more", previous_response_id=last["id"])
        assert caught.value.code == "previous_response_not_found"
        ask(one, "hello", previous_response_id=first.id)
        assert [text for _, text in sent(sim)][2:] == ["hello"]
        ask(one, "alone", store=False)
        assert len(conversations(one)) == 1


def test_results_are_answered_aside_too() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "sun", "stored"]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        aside = ask(one, [result("call_1")], previous_response_id=first.id, store=False)
        assert aside.output_text == "sun"
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool"]
        with pytest.raises(openai.BadRequestError):
            ask(one, [result("call_2")], previous_response_id=first.id, store=False)
        assert ask(one, [result("call_1")], previous_response_id=first.id).output_text == "stored"


def test_a_question_aside_sees_what_its_response_saw() -> None:
    script: list[Any] = [
        "one",
        "two",
        "aside",
        Answer(calls=[Call("weather", id="call_1")]),
        "sun",
        "aside",
        "aside",
    ]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "1")
        ask(one, "2", previous_response_id=first.id)
        ask(one, "what?", previous_response_id=first.id, store=False)
        assert [text for _, text in sent(sim)] == ["1", "one", "what?"]
        called = ask(one, "weather?", previous_response_id=first.id, tools=[TOOL])
        ask(one, [result("call_1")], previous_response_id=called.id)
        ask(one, [result("call_1", "rain")], previous_response_id=called.id, store=False)
        assert [text for _, text in sent(sim)] == ["1", "one", "weather?", None, "rain"]
        ask(one, "well?", previous_response_id=called.id, store=False)
        assert "sun" not in [text for _, text in sent(sim)]
        assert sent(sim)[-1] == ("user", "well?")


def test_a_whole_history_may_be_sent_each_time() -> None:
    with serve("qwen", Answer("two", reasoning="Hm.")) as sim, gate(sim) as one:
        first = ask(one, "one", store=False, include=["reasoning.encrypted_content"])
        ask(one, [{"role": "user", "content": "one"}, *first.output, {"role": "user", "content": "three"}])
        assert [text for _, text in sent(sim)] == ["one", "two", "three"]


# --------------------------------------------------------------------------------------------- input


def test_what_went_in_is_listed_newest_first() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        items: Any = [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"type": "strange", "id": "x_1", "what": {"ever": 1.5}},
            {"role": "user", "content": [{"type": "input_text", "text": "three"}]},
        ]
        response = ask(one, items)
        pages = one.openai(_strict_response_validation=False).responses.input_items
        listed = [each.to_dict() for each in pages.list(response.id, order="asc", limit=2)]
        assert [each["type"] for each in listed] == ["message", "message", "strange", "message"]
        assert listed[2] == {"type": "strange", "id": "x_1", "what": {"ever": 1.5}}
        assert [each.to_dict() for each in pages.list(response.id)] == listed[::-1]
        more = ask(one, "four", previous_response_id=response.id)
        assert len(list(pages.list(more.id))) == 1


def test_a_page_says_where_it_ends() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        response = ask(one, "one")
        path = f"/v1/responses/{response.id}/input_items"
        page = json.loads(one.get(path)[1])
        assert page["first_id"] == page["last_id"] == page["data"][0]["id"]
        after = json.loads(one.get(f"{path}?after={page['last_id']}")[1])
        assert after == {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}
        assert one.get(f"{path}?after=msg_none")[0] == 404
        assert one.get(f"{path}?limit=0")[0] == 400
        assert one.get(f"{path}?order=up")[0] == 400


def test_tokens_are_counted_with_what_is_remembered() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first, count = ask(one, "one " * 100), one.openai().responses.input_tokens.count
        alone = count(model=MODEL, input="two").input_tokens
        after = count(model=MODEL, input="two", previous_response_id=first.id).input_tokens
        tools = count(model=MODEL, input="two", tools=[TOOL]).input_tokens  # type: ignore[list-item]  # plain dictionaries
        assert alone < tools < after
        assert len(sim.requests) == 1


# ------------------------------------------------------------------------------------------ compaction


def test_everything_becomes_one_item_that_stands_for_it() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        first = ask(one, "My name is Ada.")
        sim.script = Script("The user is called Ada.")
        small = one.openai().responses.compact(model=MODEL, previous_response_id=first.id)
        assert small.object == "response.compaction"
        assert small.output[-1].type == "compaction"
        assert small.usage.output_tokens > 0
        sim.script = Script("ok")
        after = ask(one, [*small.output, {"role": "user", "content": "What is my name?"}])
        assert "The user is called Ada." in sent(sim)[0][1]
        assert len([role for role, _ in sent(sim) if role == "user"]) == len(sent(sim))
        listed = one.openai().responses.input_items.list(after.id, order="asc").data
        assert listed[0].to_dict() == small.output[-1].to_dict()


def test_what_is_never_sent_again_is_not_compacted() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        for text in ("The code is 4711.", "The name is Ada."):
            ask(one, text, conversation=name)
        assert one.post({"reason": "a secret"}, path=f"/v1/conversations/{name}/turns/1/retract")[0] == 200
        last = ask(one, "bye", conversation=name)
        for place in ({"conversation": name}, {"previous_response_id": last.id}):
            assert one.post({"model": MODEL, **place}, path="/v1/responses/compact")[0] == 200
            asked = str(sim.requests[-1].messages)
            assert "Ada" in asked
            assert "4711" not in asked


def test_what_is_shorter_than_its_summary_stays_as_it_is() -> None:
    with serve("qwen", "A summary that is longer. " * 8) as sim, gate(sim) as one:
        small = one.openai().responses.compact(model=MODEL, input="My name is Ada.")
        sim.script = Script("ok")
        ask(one, [*small.output, {"role": "user", "content": "What is my name?"}])
        assert "My name is Ada." in str(sent(sim))
        assert "longer" not in str(sent(sim))


@pytest.mark.parametrize("named", [True, False])
def test_no_window_leaves_a_compaction_out(*, named: bool) -> None:
    with serve("qwen", "The user is called Ada.") as sim, gate(sim) as one:
        items: Any = [{"role": "user", "content": "My name is Ada."}]
        small = one.openai().responses.compact(model=MODEL, input=items)
        sim.script = Script("word " * 150)
        management: Any = [{"type": "compaction", "compact_threshold": 1000}]
        given: Any = {"context_management": management}
        item = small.output[-1].to_dict()
        item = item if named else {name: value for name, value in item.items() if name != "id"}
        last = ask(one, [item, {"role": "user", "content": "hello"}], **given)
        for number in range(9):
            last = ask(one, f"{number} " * 90, previous_response_id=last.id, **given)
        assert "hello" not in str(sent(sim))
        assert "The user is called Ada." in str(sent(sim))


def test_what_is_posted_is_compacted_with_the_rest() -> None:
    with serve("qwen", "A summary.") as sim, gate(sim) as one:
        items: Any = [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
        ]
        one.openai().responses.compact(model=MODEL, input=items)
        asked = str(sim.requests[-1].messages)
        assert "one" in asked
        assert "Be kind." not in asked
        assert "two" in asked
        assert conversations(one) == []


@pytest.mark.parametrize(
    "sealed",
    [
        *("gAAAA", "mt1.", "mt1.AAAA", "mt1.eJwDAAAAAAE=", None),
        compaction_item("cmp_1", "Ada", 1)["encrypted_content"].replace("mt1.", "mt2."),
        "mt1." + urlsafe_b64encode(zlib.compress(b"5")).decode(),
    ],
)
def test_a_compaction_of_somebody_elses_is_refused(sealed: Any) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        item = {"type": "compaction", "id": "cmp_1", "encrypted_content": sealed}
        status, body, _ = post(one, {"input": [item, {"role": "user", "content": "hi"}]})
        assert (status, body["error"]["code"]) == (400, "compaction_unreadable")
        assert body["error"]["param"] == "input"


def test_a_threshold_has_old_turns_folded() -> None:
    with serve("qwen", "word " * 150) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        management: Any = [{"type": "compaction", "compact_threshold": 1000}]
        for number in range(12):
            response = ask(one, f"{number} " * 60, conversation=name, context_management=management)
        context = json.loads(one.get(f"/v1/responses/{response.id}/context")[1])
        assert context["budget"] < 2000
        assert any(each["code"] in ("summarised", "over_budget") for each in context["ledger"])


def test_with_truncation_disabled_nothing_is_left_out() -> None:
    with serve("qwen", "ok") as sim, gate(sim, model="qwen/qwen-plus") as one:
        name = one.openai().conversations.create().id
        management: Any = [{"type": "compaction", "compact_threshold": 1000}]
        for number in range(6):
            ask(one, f"{number} " * 300, conversation=name, context_management=management)
        asked = len(questions(sim))
        with pytest.raises(openai.BadRequestError) as caught:
            ask(one, "x " * 1000, conversation=name, context_management=management, truncation="disabled")
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
        assert len(questions(sim)) == asked
        whole = ask(one, "more", conversation=name, truncation="disabled")
        assert len(sent(sim)) == 13
        assert whole.truncation == "disabled"


# -------------------------------------------------------------------------------------------- deletion


def test_a_deleted_response_is_gone_and_its_words_with_it(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    with serve("qwen", "ok") as sim, gate(sim, store=path) as one:
        client = one.openai()
        first = ask(one, "one")
        second = ask(one, "a secret", previous_response_id=first.id)
        third = ask(one, "three", previous_response_id=second.id)
        assert json.loads(one.get(f"/v1/responses/{second.id}", "DELETE")[1]) == {
            "id": second.id,
            "object": "response",
            "deleted": True,
        }
        for call in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
            with pytest.raises(openai.NotFoundError):
                call(second.id)
        with pytest.raises(openai.BadRequestError):
            ask(one, "no", previous_response_id=second.id)
        ask(one, "four", previous_response_id=third.id)
        assert [text for _, text in sent(sim)] == ["one", "ok", "three", "ok", "four"]
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM messages WHERE INSTR(body, 'secret')").fetchone() == (0,)
    db.close()


def test_a_turn_of_which_a_step_was_deleted_is_not_sent_again() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "It is sunny.", "ok", "ok"]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        second = ask(one, [result("call_1")], previous_response_id=first.id)
        third = ask(one, "three", previous_response_id=second.id)
        one.openai().responses.delete(second.id)
        ask(one, "four", previous_response_id=third.id)
        assert [text for _, text in sent(sim)] == ["three", "ok", "four"]


def test_in_a_conversation_that_was_named_the_items_stay() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        first = ask(one, "one", conversation=name)
        one.openai().responses.delete(first.id)
        ask(one, "two", conversation=name)
        assert [text for _, text in sent(sim)] == ["one", "ok", "two"]


def test_a_conversation_that_was_nothing_else_goes_with_its_response() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        one.openai().responses.delete(ask(one, "one").id)
        assert conversations(one) == []


def test_deleting_a_conversation_deletes_its_responses(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    with serve("qwen", "ok") as sim, gate(sim, store=path) as one:
        name = one.openai().conversations.create().id
        first = ask(one, "one", conversation=name, metadata={"a": "b"}, instructions="Be brief.")
        one.openai().conversations.delete(name)
        with pytest.raises(openai.NotFoundError):
            one.openai().responses.retrieve(first.id)
    with sqlite3.connect(path) as db:
        for table in ("exchanges", "requests", "messages", "turns"):
            assert db.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)
    db.close()


def test_a_response_costs_no_copy_of_its_tools_or_its_history(tmp_path: Path) -> None:
    path, tools = tmp_path / "chats.db", [{**TOOL, "description": "x" * 5000}]
    with serve("qwen", "word " * 50) as sim, gate(sim, store=path) as one:
        last = ask(one, "hello " * 20, tools=tools, instructions="y" * 3000)
        for _ in range(30):
            last = ask(one, "hello " * 20, tools=tools, instructions="y" * 3000, previous_response_id=last.id)
    with sqlite3.connect(path) as db:
        kept = db.execute(
            "SELECT SUM(LENGTH(COALESCE(course, '')) + LENGTH(COALESCE(own, ''))) FROM exchanges"
        ).fetchone()[0]
        assert db.execute("SELECT COUNT(*) FROM requests").fetchone() == (1,)
    db.close()
    assert kept < 31 * 500


# -------------------------------------------------------------------------------------------- tenants


def test_somebody_elses_response_is_like_one_that_is_not_there() -> None:
    from multiturn import AsyncMultiTurn

    assert AsyncMultiTurn(model="demo", store=":memory:").within("shop").reach.tenant == "shop"
    with serve("qwen", "ok") as sim, gate(sim) as one:
        missing = one.get("/v1/responses/resp_01JCXV3Q8Z0000000000000000_0_1_1")
        strange = one.get("/v1/responses/resp_what")
        assert missing[:2] == strange[:2]
        assert json.loads(missing[1])["error"]["code"] == "response_not_found"
