"""Is what was said told whole, in order and within bounds, and nothing that must not be told?"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scene import TOOLS, Make, call_of, calls

from multiturn import AsyncConversation, ContentFiltered, ContextPolicy, Delta, RateLimited
from multiturn.conversations import Owner, Turn, TurnState
from multiturn.messages import Message, Text
from multiturn.storage import Due
from multiturn.summary.retelling import Retelling, _fitting, retell
from multiturn.tokens import count_text

ALL = ContextPolicy.full()


async def told(chat: AsyncConversation, room: int = 10_000, after: int = 0, upto: int = 99) -> Retelling:
    return await retell(chat._store, Due(Owner(), chat.id, 0), after, upto, room)


def pair(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


async def test_turns_are_told_in_order_with_their_tools_and_never_their_reasoning(scene: Make) -> None:
    it = scene(
        Delta("Hello Ann.", "she is nice", finish_reason="stop"), calls("c1"), "It is sunny.", policy=ALL
    )
    chat = it.client.conversation("c", system="Be brief.", opening="Welcome!")
    await chat.send("I am Ann.")
    await chat.send("Weather?", tools=TOOLS)
    await chat.send(tool_results={"c1": "sun, 30 degrees"})
    words, last, language = await told(chat)
    first, *rest = words.splitlines()
    assert (last, language) == (2, "en")
    assert first.startswith("[turn 1, 20")
    assert first.endswith("] user: I am Ann.")
    assert rest[0].endswith("] assistant: Hello Ann.")
    assert rest[1:] == [
        "[turn 2] user: Weather?",
        "[turn 2] assistant: [calls weather with {}]",
        "[turn 2] tool: sun, 30 degrees",
        "[turn 2] assistant: It is sunny.",
    ]


async def test_what_is_never_sent_again_is_not_told(scene: Make) -> None:
    script = [
        "answer 1",
        RateLimited("slow down", provider="qwen"),
        ContentFiltered("no", provider="qwen"),
        "answer 4",
        "answer 5",
        "answer 6",
    ]
    chat = scene(*script, policy=ALL).client.conversation("c")
    for number in range(1, 7):
        try:
            await chat.send(f"question {number}")
        except (RateLimited, ContentFiltered):
            continue
    await chat.retract(4, "sent by mistake")
    await chat.exclude(5)
    spoken = [m for m in await chat.history() if m.text == "answer 6"]
    await chat.exclude(spoken[0])
    words = (await told(chat)).words
    for gone in ("2", "3", "4", "5"):
        assert f"question {gone}" not in words
        assert f"answer {gone}" not in words
    assert "question 6" in words
    assert "answer 6" not in words
    assert "answer 1" in words


async def test_an_excluded_call_takes_its_results_along(scene: Make) -> None:
    chat = scene(policy=ALL).client.conversation("c")
    await chat.add(
        [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [call_of("c1")]},
            {"role": "tool", "tool_call_id": "c1", "content": "secret sun"},
            {"role": "assistant", "content": "Sunny."},
        ]
    )
    call = (await chat.history())[1]
    await chat.exclude(call)
    words = (await told(chat)).words
    assert "secret" not in words
    assert "calls weather" not in words
    assert "Sunny." in words


async def test_instructions_in_the_middle_stay_in_force_and_are_not_told(scene: Make) -> None:
    chat = scene(policy=ALL).client.conversation("c")
    await chat.add([*pair("one", "1"), {"role": "system", "content": "Speak French."}, *pair("two", "2")])
    words = (await told(chat)).words
    assert "French" not in words
    assert words.endswith("[turn 2] assistant: 2")


async def test_a_stopped_turn_is_told_with_its_mark(scene: Make) -> None:
    chat = scene(
        [Delta("One, two"), Delta(", three"), Delta(finish_reason="stop")], policy=ALL
    ).client.conversation("c")
    async with chat.stream("Count.") as stream:
        await anext(stream)
    assert "assistant: One, two [the user stopped this reply]" in (await told(chat)).words


async def test_the_language_is_that_of_the_user(scene: Make) -> None:
    chat = scene(policy=ALL).client.conversation("c")
    await chat.add(
        pair("我今年 27 岁。", "A long English answer that nobody asked for, with many words in it.")
    )
    words, _, language = await told(chat)
    assert language == "zh"
    assert "用户：我今年 27 岁。" in words


async def test_only_what_fits_is_told_and_the_rest_comes_next(scene: Make) -> None:
    chat = scene(policy=ALL).client.conversation("c")
    for number in range(20):
        await chat.add(pair(f"Question number {number}?", f"This is answer number {number}, at some length."))
    room, reached, texts = 150, 0, list[str]()
    while reached < 20:
        words, last, _ = await told(chat, room, after=reached, upto=20)
        assert count_text(words) <= room
        assert last > reached
        texts.append(words)
        reached = last
    assert 3 < len(texts) < 10
    everything = "\n".join(texts)
    places = [everything.index(f"answer number {number}, at") for number in range(20)]
    assert places == sorted(places)


async def test_only_turns_up_to_the_last_one_are_told(scene: Make) -> None:
    chat = scene(policy=ALL).client.conversation("c")
    await chat.add([*pair("one", "1"), *pair("two", "2"), *pair("three", "3")])
    words, last, _ = await told(chat, after=1, upto=2)
    assert last == 2
    assert "two" in words
    assert "one" not in words
    assert "three" not in words


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 30_000), min_size=1, max_size=4),
    st.integers(64, 400),
    st.sampled_from("字a 😀\n1"),
)
def test_a_turn_too_long_to_read_is_told_as_far_as_fits(lengths: list[int], room: int, letter: str) -> None:
    turn = Turn("t", 1, 0, TurnState.COMPLETED, 0.0, len(lengths), 0)
    messages = [Message("user", (Text("x" + letter * length + "x"),)) for length in lengths]
    words = _fitting(turn, messages, "en", "", room)
    assert words.startswith("[turn 1] user: x")
    assert count_text(words) <= room


async def test_turns_that_say_nothing_are_passed_over(scene: Make) -> None:
    chat = scene(policy=ALL).client.conversation("c")
    await chat.add([*pair("one", "1"), *pair("two", "2")])
    await chat.retract(1)
    await chat.retract(2)
    assert await told(chat, upto=2) == Retelling("", 2, "en")


async def test_the_day_is_told_where_it_changes(scene: Make) -> None:
    chat = scene(policy=ALL).client.conversation("c")
    day = 1_777_777_777.0
    for at, text in ((day, "one"), (day + 60, "two"), (day + 86_400, "three")):
        await chat.add(
            [{"role": "user", "content": text, "created_at": at}, {"role": "assistant", "content": "ok"}]
        )
    heads = [line.split("]")[0] for line in (await told(chat)).words.splitlines() if "user" in line]
    assert heads == ["[turn 1, 2026-05-03", "[turn 2", "[turn 3, 2026-05-04"]
