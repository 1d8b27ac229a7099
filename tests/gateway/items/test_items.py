"""Do items come back as they were, and is what the model sees what they say?"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.conversations import Address, new_ulid
from multiturn.gateway.http.refusal import Refusal
from multiturn.gateway.items.items import (
    Item,
    changed,
    changes,
    derived_items,
    item_id,
    items_of,
    message_id_of,
    output_text,
    reasoning_item,
)
from multiturn.gateway.items.messages import message_of, messages_of
from multiturn.gateway.items.posted import posted_items, references
from multiturn.path import MessageRow
from multiturn.sealing import seal
from multiturn.storage import Told
from multiturn.tokens import count_message

ULID = new_ulid(0.0)


def stored(messages: list[dict[str, Any]]) -> list[Told]:
    """The messages as a store gives them back."""
    found = []
    for place, message in enumerate(messages):
        entry = seal(message, count_message)
        figures = (entry.role, entry.traits, entry.tokens, entry.reasoning_tokens)
        row = MessageRow(1, place, *figures, entry.body, entry.reasoning, None)
        found.append(Told(row, entry.facts, 0.0, Address(ULID, 0, 1, place).message_id))
    return found


def returned(value: object) -> list[Item]:
    """What was posted, as it comes back."""
    return [item for told in stored(messages_of(posted_items(value))) for item in items_of(told)]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False, width=16)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "input_text", "text": text}, TEXT),
        st.builds(
            lambda text, more: output_text(text) | more, TEXT, st.just({"annotations": [{"type": "x"}]})
        ),
        st.builds(lambda text: {"type": "refusal", "refusal": text}, TEXT),
        st.builds(
            lambda url, detail: {"type": "input_image", "image_url": url, "detail": detail},
            NAME,
            st.sampled_from(["auto", "low"]),
        ),
        st.builds(lambda name: {"type": "input_image", "file_id": name, "detail": "auto"}, NAME),
        st.builds(lambda data: {"type": "input_file", "file_data": data, "filename": "a.pdf"}, NAME),
        st.builds(lambda more: {**more, "type": "strange"}, OBJECT),
    ),
    max_size=3,
)
MORE = st.fixed_dictionaries(
    {},
    optional={
        "id": NAME,
        "phase": st.sampled_from(["commentary", "final_answer"]),
        "status": st.sampled_from(["completed", "incomplete"]),
        "x": JSON.filter(lambda value: value is not None),
    },
)
ITEM = st.one_of(
    st.builds(
        lambda role, content, more: {"type": "message", "role": role, "content": content, **more},
        st.sampled_from(["user", "assistant", "system", "developer"]),
        PARTS,
        MORE,
    ),
    st.builds(
        lambda call, name, arguments, more: {
            "type": "function_call",
            "call_id": call,
            "name": name,
            "arguments": arguments,
            **more,
        },
        NAME,
        TEXT,
        TEXT,
        MORE,
    ),
    st.builds(
        lambda call, output, more: {
            "type": "function_call_output",
            "call_id": call,
            "output": output,
            **more,
        },
        NAME,
        TEXT | PARTS,
        MORE,
    ),
    st.builds(
        lambda summary, said, sealed, more: {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text} for text in summary],
            "content": [{"type": "reasoning_text", "text": text} for text in said],
            "encrypted_content": sealed,
            **more,
        },
        st.lists(TEXT, max_size=2),
        st.lists(TEXT, max_size=2),
        st.none() | TEXT,
        MORE,
    ),
    st.builds(
        lambda more, role: {**more, "type": "message", "role": role},
        OBJECT,
        st.sampled_from(["tool", "critic"]),
    ).filter(lambda item: isinstance(item.get("id", ""), str)),
    st.builds(lambda more, own: {**more, **own, "type": "web_search_call"}, OBJECT, MORE).filter(
        lambda item: isinstance(item.get("id", ""), str)
    ),
)


@given(st.lists(ITEM, max_size=6))
def test_items_come_back_as_they_were_and_in_order(posted: list[Item]) -> None:
    found = returned(posted)
    assert len(found) == len(posted)
    for item, back in zip(posted_items(posted), found, strict=True):
        assert isinstance(back["id"], str)
        assert back["id"]
        expected = {"id": back["id"], **item}
        assert orjson.dumps(back, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            expected, option=orjson.OPT_SORT_KEYS
        )


@given(st.lists(ITEM, max_size=6))
def test_ids_that_are_given_out_lead_back_to_their_message(posted: list[Item]) -> None:
    own = {item.get("id") for item in posted}
    for told in stored(messages_of(posted_items(posted))):
        for item in items_of(told):
            if item["id"] not in own:
                assert message_id_of(item["id"]) == told.id


@given(st.lists(ITEM, max_size=6))
def test_what_a_message_holds_is_made_of_its_items_again(posted: list[Item]) -> None:
    for told in stored(messages_of(posted_items(posted))):
        items = items_of(told)
        again = message_of(told.row.role, items, told.id)
        entry = seal(again, count_message)
        row = told.row._replace(body=entry.body, reasoning=entry.reasoning, traits=entry.traits)
        assert (entry.role, entry.body) == (told.row.role, told.row.body)
        assert items_of(told._replace(row=row, facts=entry.facts)) == items


@given(st.lists(ITEM, max_size=6))
def test_the_model_sees_nothing_of_an_unknown_item(posted: list[Item]) -> None:
    known = [item for item in posted if item["type"] != "web_search_call"]
    sent = [told.row.body for told in stored(messages_of(posted_items(known))) if items_of(told)]
    mixed = [told.row.body for told in stored(messages_of(posted_items(posted)))]
    if known:
        assert mixed == sent


@given(OBJECT, OBJECT)
def test_changes_make_one_of_the_other(before: Item, after: Item) -> None:
    made = orjson.loads(orjson.dumps(list(changes(before, after))))
    again = changed(orjson.loads(orjson.dumps(before)), made)
    assert orjson.dumps(again, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        after, option=orjson.OPT_SORT_KEYS
    )


@given(OBJECT, st.lists(st.lists(JSON, max_size=2) | JSON, max_size=3))
def test_changes_that_make_no_sense_are_not_made(item: Item, made: list[Any]) -> None:
    assert isinstance(changed(item, made), dict)


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_facts_that_make_no_sense_do_no_harm(traces: list[Any], ids: list[Any]) -> None:
    message = {"role": "user", "content": "a", "response_items": traces, "item_ids": ids}
    [told] = stored([message])
    assert all(isinstance(item["id"], str) for item in items_of(told))


@given(JSON | st.lists(OBJECT | ITEM.map(lambda item: {**item, "role": 5}), max_size=3))
def test_whatever_is_posted_is_taken_or_refused(value: object) -> None:
    items: list[Item] = []
    refused: Refusal | None = None
    try:
        items = posted_items(value)
    except Refusal as error:
        refused = error
    assert refused is None or (refused.status == 400 and refused.param)
    if not references(items):
        stored(messages_of(items))


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_id_is_none(blank: str | None) -> None:
    for kind in ({"role": "user", "content": "a"}, {"type": "web_search_call"}):
        assert "id" not in posted_items([{**kind, "id": blank}])[0]


def test_text_is_a_message_of_the_user() -> None:
    [item] = returned("你好")
    assert item == {
        "id": f"msg_{ULID}_0_1_0",
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": "你好"}],
    }


def test_thought_words_and_calls_are_one_message_and_results_their_own() -> None:
    items = [
        {"role": "user", "content": "weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "two calls"}]},
        {"role": "assistant", "content": "I look.", "phase": "commentary"},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "sunny"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "rain"}]},
        {"role": "assistant", "content": "Sunny, then rain."},
    ]
    messages = messages_of(posted_items(items))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert messages[1]["content"] == "I look."
    assert messages[1]["reasoning_content"] == "two calls"
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["a", "b"]
    assert messages[3]["content"] == [{"type": "text", "text": "rain"}]
    assert messages[4] == {"role": "assistant", "content": "Sunny, then rain."}
    found = returned(items)
    assert [item["id"] for item in found[1:4]] == ["rs_1", f"msg_{ULID}_0_1_1", "fc_1"]
    assert found[4]["id"] == f"fc_{ULID}_0_1_1_1"
    assert found[5]["id"] == f"fco_{ULID}_0_1_2"
    assert found[2]["phase"] == "commentary"


def test_pictures_and_files_stay_what_they_are() -> None:
    picture = "data:image/png;base64,AAAA"
    content = [
        {"type": "input_text", "text": "what is this?"},
        {"type": "input_image", "image_url": picture, "detail": "low"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
    ]
    [message] = messages_of(posted_items([{"role": "user", "content": content}]))
    assert message == {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": picture, "detail": "low"}},
            {"type": "file", "file": {"file_data": content[2]["file_data"], "filename": "a.pdf"}},
        ],
    }
    assert returned([{"role": "user", "content": content}])[0]["content"] == content


ADDRESS = "https://example.com/a"


@pytest.mark.parametrize(
    ("part", "told", "sent"),
    [
        (
            {"type": "image_url", "image_url": {"url": ADDRESS, "detail": None}},
            {"type": "input_image", "image_url": ADDRESS, "detail": "auto"},
            {"type": "image_url", "image_url": {"url": ADDRESS}},
        ),
        (
            {"type": "image_url", "image_url": {"url": ADDRESS, "detail": "low"}},
            {"type": "input_image", "image_url": ADDRESS, "detail": "low"},
            {"type": "image_url", "image_url": {"url": ADDRESS, "detail": "low"}},
        ),
        (
            {"type": "input_image", "image_url": ADDRESS, "file_id": None, "detail": None},
            {"type": "input_image", "image_url": ADDRESS, "detail": "auto"},
            {"type": "image_url", "image_url": {"url": ADDRESS}},
        ),
        (
            {"type": "file", "file": {"file_data": "AAAA", "filename": None}},
            {"type": "input_file", "file_data": "AAAA"},
            {"type": "file", "file": {"file_data": "AAAA"}},
        ),
        (
            {"type": "input_file", "file_url": ADDRESS, "file_id": None},
            {"type": "input_file", "file_url": ADDRESS},
            {"type": "file", "file": {"file_url": ADDRESS}},
        ),
        ({"type": "refusal", "refusal": "no"}, {"type": "refusal", "refusal": "no"}, "no"),
        (
            {"type": "computer_screenshot", "image_url": ADDRESS},
            {"type": "computer_screenshot", "image_url": ADDRESS},
            {"type": "image_url", "image_url": {"url": ADDRESS}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        ),
        ({"type": "strange", "x": None}, {"type": "strange", "x": None}, None),
    ],
    ids=lambda value: str(value.get("type")) if isinstance(value, dict) else None,
)
def test_parts_may_be_spelt_as_chat_completions_does(part: Item, told: Item, sent: Any) -> None:
    posted = [{"role": "user", "content": [part]}]
    assert returned(posted)[0]["content"] == [told]
    [message] = messages_of(posted_items(posted))
    assert message["content"] == ([sent] if isinstance(sent, dict) else sent)


def test_parts_of_a_message_are_told_in_the_words_of_items() -> None:
    notes = [{"type": "x", "x": "y"}, {"type": "z"}, "w"]
    said = {"role": "assistant", "content": "a", "annotations": notes}
    assert items_of(stored([said])[0])[0]["content"] == [output_text("a", notes)]  # type: ignore[arg-type]  # whatever it was
    shown = [
        {"type": "image_url", "image_url": ADDRESS},
        {"type": "image_url", "image_url": {"url": ADDRESS, "detail": None}},
    ]
    [image] = [{"type": "input_image", "image_url": ADDRESS, "detail": "auto"}]
    told = derived_items({"role": "user", "content": shown}, None, f"msg_{ULID}_0_1_0")
    assert told[0]["content"] == [image, image]


def test_what_a_model_wrote_is_its_items() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    notes = [{"type": "url_citation", "url_citation": {"url": "u", "start_index": 0}}]
    message = {
        "role": "assistant",
        "content": "words",
        "annotations": notes,
        "reasoning_content": "hm",
        "tool_calls": [call],
    }
    thought, words, called = items_of(stored([message])[0])
    assert thought == reasoning_item(f"rs_{ULID}_0_1_0", "hm")
    assert words["content"] == [
        output_text("words", [{"type": "url_citation", "url": "u", "start_index": 0}])
    ]
    assert called["call_id"] == "call_1"
    refused = {"role": "assistant", "content": None, "refusal": "no"}
    assert items_of(stored([refused])[0])[0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_what_cannot_be_understood_is_refused_with_its_place() -> None:
    for value, place in (
        (None, "input"),
        ({"role": "user"}, "input"),
        ([3], "input[0]"),
        ([{"role": "user"}], "input[0].content"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": [{}]}], "input[1].content[0]"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"type": "function_call", "call_id": "a", "name": "f"}], "input[0].arguments"),
        ([{"type": "function_call", "call_id": "", "name": "f", "arguments": ""}], "input[0].call_id"),
        ([{"type": "function_call_output", "call_id": "a"}], "input[0].output"),
        ([{"type": "function_call_output", "output": "a"}], "input[0].call_id"),
        ([{"type": "reasoning", "summary": "x"}], "input[0].summary"),
        ([{"type": "item_reference"}], "input[0].id"),
        ([{"type": "message", "role": "user", "content": "a", "id": 3}], "input[0]"),
        ([{"role": "assistant", "content": [{"type": "refusal"}]}], "input[0].content[0].refusal"),
        ([{"id": "msg_1", "query": "a"}], "input[0]"),
        ([{"type": "message"}], "input[0].role"),
        ([{"role": "wizard", "content": "a"}], "input[0].role"),
        ([{"role": ["user"], "content": "a"}], "input[0].role"),
        ([{"type": "web_search_call"}] * 2049, "input"),
    ):
        with pytest.raises(Refusal) as refused:
            posted_items(value)
        assert (refused.value.status, refused.value.param) == (400, place)


def test_an_item_may_be_referred_to_but_not_sent_so() -> None:
    items = posted_items([{"id": "msg_1"}, {"type": "item_reference", "id": "msg_2"}])
    assert references(items) == ["msg_1", "msg_2"]
    with pytest.raises(Refusal):
        messages_of(items)


def test_a_compaction_is_opened_by_whoever_made_it() -> None:
    items = posted_items(
        [{"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}, {"role": "user", "content": "b"}]
    )
    opened = messages_of(items, lambda item: posted_items(f"was {item['encrypted_content']}"))
    assert [message["content"] for message in opened] == ["was x", "b"]
    assert [message["content"] for message in messages_of(items)] == ["b"]


def test_ids_of_others_belong_to_no_message() -> None:
    for text in (
        "msg_1",
        "fc_abc",
        "resp_x",
        "",
        "fc_",
        f"fc_{ULID}_0_1_1",
        f"fc_{ULID}_0_1_1_٣",
        "item_1_2",
    ):
        assert message_id_of(text) is None
    assert message_id_of(item_id("fc", f"msg_{ULID}_0_1_1", 12)) == f"msg_{ULID}_0_1_1"
    assert message_id_of(f"rs_{ULID}_0_1_1") == f"msg_{ULID}_0_1_1"
