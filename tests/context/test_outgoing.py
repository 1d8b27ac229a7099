"""What of a stored message may be sent again, and in which form does the target take it?"""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.context.stories import answer, ask, call, entry, picture, result, rule, told

from multiturn.context.outgoing import (
    Piece,
    Shaper,
    check_input,
    image_allowance,
    joined,
    merged,
    quoting,
    reasoning_for,
    weight,
)
from multiturn.errors import MessageInvalid
from multiturn.messages import Trait
from multiturn.path import MessageRow
from multiturn.window import ReasoningRule, Target

EVERYTHING = Target("m", media=Trait.MEDIA, developer=True)
TEXT = Target("m", parts=False)
Json = dict[str, Any]


def row(message: Json, model: str = "m") -> MessageRow:
    return told(1, message, model=model).rows[0]


def shaped(message: Json, target: Target, images: Mapping[tuple[int, int], int] | None = None) -> Json:
    value: Json = orjson.loads(Shaper(target, images).shape(row(message)).body)
    return value


def omitted(message: Json, target: Target, images: Mapping[tuple[int, int], int] | None = None) -> object:
    return Shaper(target, images).shape(row(message)).omitted


# ------------------------------------------------------------------------------------ unchanged


@pytest.mark.parametrize(
    "message",
    [
        ask(),
        answer(),
        answer(name="li", mood={"glad": [1]}),
        call("a", text="so"),
        result("a"),
        rule(),
        rule(role="developer"),
        picture("u"),
        {"role": "user", "content": [{"type": "hologram", "z": 1}]},
    ],
    ids=str,
)
def test_what_the_target_takes_is_sent_byte_for_byte(message: Json) -> None:
    sealed = row(message)
    piece = Shaper(EVERYTHING).shape(sealed)
    assert (piece.role, piece.body, piece.omitted) == (sealed.role, sealed.body, ())
    assert piece.tokens == sealed.tokens


def test_what_was_changed_is_to_be_counted_again() -> None:
    sealed = row(answer(mood=None))
    assert Shaper(EVERYTHING).shape(sealed).counted == (sealed.body,)


def test_a_shaper_remembers_what_it_has_seen() -> None:
    shaper = Shaper(EVERYTHING)
    for message in (ask(), picture("u"), call("a")):
        shaper.shape(row(message))
    assert shaper.seen == Trait.LISTED | Trait.IMAGE | Trait.TOOL_CALL | Trait.BARE


# --------------------------------------------------------------------------------------- fields


def test_a_developer_is_a_system_where_the_role_does_not_exist() -> None:
    assert shaped(rule(role="developer"), Target("m"))["role"] == "system"
    assert Shaper(Target("m")).shape(row(rule(role="developer"))).role == "system"
    assert shaped(rule(role="developer"), EVERYTHING)["role"] == "developer"


def test_names_are_left_out_where_nobody_takes_them() -> None:
    assert shaped(ask(name="li"), Target("m", names=False)) == ask()
    assert shaped(ask(name="li"), EVERYTHING) == ask(name="li")


def test_nulls_are_never_sent_but_as_content() -> None:
    assert shaped(call("a", mood=None), EVERYTHING) == call("a")
    assert shaped(answer(None), EVERYTHING) == answer(None)
    assert shaped(result("a") | {"content": None}, EVERYTHING) == result("a", "(empty)")


@pytest.mark.parametrize(
    ("bare", "text", "expected"),
    [
        ("keep", None, {"content": None}),
        ("keep", "", {"content": ""}),
        ("keep", [{"type": "text", "text": ""}], {"content": None}),
        ("null", None, {"content": None}),
        ("null", "", {"content": None}),
        ("omit", None, {}),
        ("omit", "", {}),
        ("omit", [{"type": "text", "text": ""}], {}),
        ("omit", "so", {"content": "so"}),
        ("null", "so", {"content": "so"}),
    ],
)
def test_a_call_without_words_is_written_as_the_target_wants_it(
    bare: Literal["keep", "null", "omit"], text: Any, expected: Json
) -> None:
    sent = shaped(call("a", text=text), Target("m", media=Trait.MEDIA, bare_calls=bare))
    assert {name: value for name, value in sent.items() if name == "content"} == expected
    assert sent["tool_calls"] == call("a")["tool_calls"]


def test_an_empty_text_beside_a_call_goes_and_a_full_one_stays() -> None:
    parts = [{"type": "text", "text": ""}, {"type": "text", "text": "so"}]
    message = call("a", text=None) | {"content": parts, "mood": None}
    assert shaped(message, EVERYTHING)["content"] == parts[1:]
    assert shaped(message, TEXT)["content"] == "so"


# ---------------------------------------------------------------------------------------- parts


def test_a_list_of_words_is_joined_where_content_must_be_text() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    assert shaped(message, TEXT) == ask("a\nb")
    assert shaped(message, EVERYTHING) == message


@pytest.mark.parametrize(
    ("kind", "trait", "said"),
    [
        ("image_url", Trait.IMAGE, "[image left out]"),
        ("image", Trait.IMAGE, "[image left out]"),
        ("input_image", Trait.IMAGE, "[image left out]"),
        ("input_audio", Trait.AUDIO, "[audio left out]"),
        ("audio_url", Trait.AUDIO, "[audio left out]"),
        ("video_url", Trait.VIDEO, "[video left out]"),
        ("video", Trait.VIDEO, "[video left out]"),
        ("file", Trait.FILE, "[file left out]"),
        ("input_file", Trait.FILE, "[file left out]"),
    ],
)
def test_what_the_target_cannot_see_is_named_in_its_place(kind: str, trait: int, said: str) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": kind, kind: "u"}]}
    blind = Target("m", media=Trait.MEDIA & ~trait)
    assert shaped(message, blind) == ask(f"see\n{said}")
    assert omitted(message, blind) == ("modality_unsupported",)
    assert shaped(message, Target("m", media=trait)) == message


def test_what_the_target_can_see_stays_beside_what_it_cannot() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "d"}}
    message = picture("u") | {"content": [*picture("u")["content"], sound, sound]}
    sent = shaped(message, Target("m", media=Trait.IMAGE))
    left = {"type": "text", "text": "[audio left out]"}
    assert sent["content"] == [*picture("u")["content"], left, left]
    assert omitted(message, Target("m", media=Trait.IMAGE)) == ("modality_unsupported",)


# --------------------------------------------------------------------------------------- images


def test_the_oldest_images_of_a_message_go_first() -> None:
    message = picture("a", "b", "c")
    sent = shaped(message, EVERYTHING, {(1, 0): 1})
    urls = [part["image_url"]["url"] for part in sent["content"] if part["type"] == "image_url"]
    assert urls == ["c"]
    assert [part.get("text") for part in sent["content"][:3]] == [
        "see",
        "[image left out]",
        "[image left out]",
    ]
    assert omitted(message, EVERYTHING, {(1, 0): 1}) == ("outside_window",)


def test_a_message_whose_images_all_go_is_text() -> None:
    assert shaped(picture("a"), EVERYTHING, {(1, 0): 0}) == ask("see\n[image left out]")


def test_a_message_that_may_keep_its_images_is_sent_as_it_is() -> None:
    sealed = row(picture("a", "b"))
    for images in (None, {}, {(1, 0): 2}, {(1, 0): 9}, {(2, 0): 0}):
        assert Shaper(EVERYTHING, images).shape(sealed) == Piece(
            "user", sealed.body, sealed.tokens, counted=None
        )


ROWS = [*told(1, picture("a", "b")).rows, *told(2, ask(), answer()).rows, *told(3, picture("c", "d")).rows]


@pytest.mark.parametrize(
    ("images", "allowed"),
    [
        ("last", {(3, 0): 2, (1, 0): 0}),
        (0, {(3, 0): 0, (1, 0): 0}),
        (1, {(3, 0): 1, (1, 0): 0}),
        (3, {(3, 0): 2, (1, 0): 1}),
        (9, {(3, 0): 2, (1, 0): 2}),
    ],
)
def test_the_newest_images_are_sent(images: Literal["last"] | int, allowed: object) -> None:
    assert image_allowance(ROWS, (), images) == allowed


@pytest.mark.parametrize(
    ("images", "left"),
    [("last", 0), (0, 0), (1, 0), (2, 0), (3, 1), (9, 2)],
)
def test_the_new_input_keeps_its_images_and_uses_the_limit_up(
    images: Literal["last"] | int, left: int
) -> None:
    assert image_allowance(ROWS, {(3, 0)}, images) == {(1, 0): left}


@given(st.lists(st.integers(0, 3), max_size=5), st.integers(0, 9))
def test_never_more_images_than_allowed_and_never_fewer_than_there_are(counts: list[int], most: int) -> None:
    rows = [r for n, each in enumerate(counts, 1) for r in told(n, picture(*"abc"[:each])).rows]
    allowance = image_allowance(rows, (), most)
    assert sum(allowance.values()) == min(most, sum(counts))
    for number, count in enumerate(counts, 1):
        newer = sum(counts[number:])
        assert allowance.get((number, 0), 0) == min(count, max(0, most - newer))


# ------------------------------------------------------------------------------------- new input


def test_an_input_the_model_cannot_see_is_refused_and_named() -> None:
    with pytest.raises(MessageInvalid, match=r"m cannot read this kind of part: image\b"):
        check_input([entry(ask()), entry(picture("u"))], Target("m", media=Trait.AUDIO))
    both = picture("u") | {"content": [*picture("u")["content"], {"type": "file", "file": {}}]}
    with pytest.raises(MessageInvalid, match="image, file"):
        check_input([entry(both)], TEXT)


def test_an_input_the_model_can_see_is_taken() -> None:
    check_input([entry(picture("u"))], Target("m", media=Trait.IMAGE))
    check_input([entry(ask()), entry(result("a"))], TEXT)


def test_only_the_users_words_are_an_input() -> None:
    check_input([entry(picture("u") | {"role": "assistant"})], TEXT)


# ------------------------------------------------------------------------------------- reasoning

RULES: tuple[ReasoningRule, ...] = ("drop", "keep_in_tool_loop", "keep_all", "keep_all_if_enabled")
Required = Literal["never", "tool_calls", "after_tool_call", "always"]
WANTED: tuple[Required, ...] = ("never", "tool_calls", "after_tool_call", "always")


def thinking(rule: ReasoningRule = "drop", required: Required = "never", *, thinking: bool = True) -> Target:
    return Target("m", reasoning=rule, reasoning_required=required, thinking=thinking, media=Trait.MEDIA)


@pytest.mark.parametrize(
    ("rule", "plain", "in_loop"),
    [
        ("drop", None, None),
        ("keep_in_tool_loop", None, "hm"),
        ("keep_all", "hm", "hm"),
        ("keep_all_if_enabled", "hm", "hm"),
    ],
)
def test_reasoning_goes_back_as_the_rule_says(
    rule: ReasoningRule, plain: str | None, in_loop: str | None
) -> None:
    target = thinking(rule)
    assert reasoning_for(row(answer(reasoning_content="hm")), target, called=False) == plain
    assert reasoning_for(row(call("a", reasoning_content="hm")), target, called=True) == in_loop


@pytest.mark.parametrize(
    ("required", "plain", "calling", "after"),
    [
        ("never", False, False, False),
        ("tool_calls", False, True, False),
        ("after_tool_call", False, True, True),
        ("always", True, True, True),
    ],
)
def test_reasoning_goes_back_where_it_must(
    required: Required, plain: bool, calling: bool, after: bool
) -> None:
    target = thinking("drop", required)
    for message, called, needed in [
        (answer(), False, plain),
        (call("a"), True, calling),
        (answer(), True, after),
    ]:
        thought = message | {"reasoning_content": "hm"}
        had = reasoning_for(row(thought), target, called=called)
        lost = reasoning_for(row(message), target, called=called)
        foreign = reasoning_for(row(thought, "other"), target, called=called)
        assert (had, lost, foreign) == (("hm", " ", " ") if needed else (None, None, None))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("required", WANTED)
def test_reasoning_never_reaches_another_model_nor_one_that_does_not_think(
    rule: ReasoningRule, required: Required
) -> None:
    for message in (answer(reasoning_content="secret"), call("a", reasoning_content="secret")):
        sent = reasoning_for(row(message, "other"), thinking(rule, required), called=True)
        assert sent in (None, " ")
        assert reasoning_for(row(message), thinking(rule, required, thinking=False), called=True) is None


def test_only_an_assistant_reasons() -> None:
    target = thinking("keep_all", "always")
    assert reasoning_for(row(ask()), target, called=True) is None
    assert reasoning_for(row(result("a")), target, called=True) is None


def test_empty_reasoning_goes_back_as_it_was() -> None:
    assert reasoning_for(row(answer(reasoning_content="")), thinking("keep_all"), called=False) == ""


def test_reasoning_is_sent_under_the_name_the_target_reads() -> None:
    target = Target("m", "keep_all", reasoning_field="reasoning", thinking=True)
    assert shaped(answer(reasoning_content="hm"), target) == answer(reasoning="hm")


def test_from_the_first_call_on_every_answer_carries_its_reasoning() -> None:
    shaper = Shaper(thinking("keep_in_tool_loop", "after_tool_call"))
    story = [answer(reasoning_content="1"), call("a", reasoning_content="2"), answer(reasoning_content="3")]
    sent = [orjson.loads(shaper.shape(row(message)).body).get("reasoning_content") for message in story]
    assert sent == [None, "2", "3"]


def test_reasoning_that_is_left_out_of_an_opened_message_is_said() -> None:
    assert omitted(answer(reasoning_content="hm", name="li"), EVERYTHING) == ("reasoning_stripped",)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("required", WANTED)
def test_a_message_weighs_at_least_what_will_be_sent(rule: ReasoningRule, required: Required) -> None:
    target = thinking(rule, required)
    for message in (answer(reasoning_content="hmhm"), call("a", reasoning_content="hmhm")):
        sealed = row(message)
        sent = reasoning_for(sealed, target, called=True)
        assert weight(sealed, target) == sealed.tokens + (4 if sent == "hmhm" else 0)
        assert weight(sealed._replace(model="other"), target) == sealed.tokens
        assert weight(sealed, thinking(rule, required, thinking=False)) == sealed.tokens


# -------------------------------------------------------------------------------------- merging


def piece(message: Json, *left_out: str) -> Piece:
    return Piece(message["role"], orjson.dumps(message), 1, left_out, None)


def opened(pieces: list[Piece]) -> list[Json]:
    return [orjson.loads(each.body) for each in pieces]


def test_neighbours_of_one_role_become_one_message() -> None:
    pieces = merged([piece(m) for m in (ask("a"), ask("b"), ask("c"), answer("d"), answer("e"), ask("f"))])
    assert opened(pieces) == [ask("a\n\nb\n\nc"), answer("d\n\ne"), ask("f")]
    assert [each.tokens for each in pieces] == [3, 2, 1]
    assert [each.counted and len(each.counted) for each in pieces] == [3, 2, None]


def test_only_a_name_that_both_carry_stays() -> None:
    ada, bob = ask("a", name="ada"), ask("b", name="bob")
    assert opened(merged([piece(ada), piece(ask("b", name="ada"))])) == [ask("a\n\nb", name="ada")]
    for one, other in ((ada, bob), (ada, ask("b")), (ask("a"), bob)):
        assert opened(merged([piece(one), piece(other)])) == [ask("a\n\nb")]


def test_results_and_instructions_stay_apart() -> None:
    story = [rule(), rule(), ask(), call("a", "b"), result("a"), result("b"), answer()]
    assert opened(merged([piece(m) for m in story])) == story


def test_words_before_a_call_join_it() -> None:
    assert opened(merged([piece(answer("so")), piece(call("a"))])) == [call("a", text="so")]


def test_what_was_left_out_of_either_is_left_out_of_both() -> None:
    assert joined(piece(ask(), "one"), piece(ask(), "other")).omitted == ("one", "other")


@pytest.mark.parametrize(
    ("one", "other", "content"),
    [
        ("a", "b", "a\n\nb"),
        ("a", "", "a"),
        ("", "b", "b"),
        (None, "b", "b"),
        (None, None, None),
        ([{"type": "x"}], "b", [{"type": "x"}, {"type": "text", "text": "b"}]),
        ("a", [{"type": "x"}], [{"type": "text", "text": "a"}, {"type": "x"}]),
        ([{"type": "x"}], [{"type": "y"}], [{"type": "x"}, {"type": "y"}]),
    ],
)
def test_contents_are_joined_one_after_the_other(one: object, other: object, content: object) -> None:
    first, second = {"role": "user", "content": one}, {"role": "user", "content": other}
    assert opened([joined(piece(first), piece(second))]) == [{"role": "user", "content": content}]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_the_reasoning_of_both_is_kept(name: str) -> None:
    one, other = answer("a", **{name: "x"}), answer("b", **{name: "y"})
    assert opened([joined(piece(one), piece(other))]) == [answer("a\n\nb", **{name: "xy"})]
    assert opened([joined(piece(one), piece(answer("b")))]) == [answer("a\n\nb", **{name: "x"})]
    assert opened([joined(piece(answer("a")), piece(other))]) == [answer("a\n\nb", **{name: "y"})]


@given(st.lists(st.sampled_from(["user", "assistant", "tool", "system"])))
def test_after_merging_no_two_voices_follow_themselves(roles: list[str]) -> None:
    pieces = [piece({"role": role, "content": str(place)}) for place, role in enumerate(roles)]
    made = merged(pieces)
    voices = [each.role for each in made]
    assert not any(a == b and a in ("user", "assistant") for a, b in pairwise(voices))
    assert " ".join(each["content"] for each in opened(made)).split() == [str(n) for n in range(len(roles))]


def test_long_messages_are_not_kept_in_memory_with_their_quotations() -> None:
    tracemalloc.start()
    try:
        for number in range(8):
            long = quoting(b'{"role":"user","content":"%d%b"}' % (number, b"a" * (1 << 20)), b"quoted")
            assert b'"quoted\\n' in long
        del long
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
