"""Branches, summaries and policies of a conversation, over bare HTTP."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.generated import TEXTS
from tests.gateway.serving import gate
from tests.gateway.talking import Talk, summarised


def test_branches_are_made_listed_and_switched() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        for words in ("The code is 4711.", "The code is 4712."):
            talk.say(words)
        made = talk.ask("POST", "/branches", {"at": 1})
        assert (made["number"], made["parent"], made["fork"], made["in_use"]) == (1, 0, 1, False)
        assert talk.numbers() == [1, 2]
        assert talk.numbers("/turns?branch=1") == [1]
        assert talk.ask("POST", "/branches/1/switch")["in_use"] is True
        assert talk.numbers() == [1]
        talk.say("The code is 4713.")
        texts = {name: talk.ask("GET", f"/export?format=markdown&branch={name}") for name in (0, 1)}
        assert ("4712" in texts[0], "4713" in texts[0]) == (True, False)
        assert ("4712" in texts[1], "4713" in texts[1]) == (False, True)
        assert talk.ask("POST", "/branches", {"at": 0})["turns"] == 0
        assert [each["number"] for each in talk.ask("GET", "/branches")["data"]] == [0, 1, 2]


def test_a_branch_behind_a_turn_of_another_branch() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        talk.say("One.")
        talk.ask("POST", "/turns/1/edit", {"text": "Another one."})
        turn = talk.ask("GET", "/turns?branch=0")["data"][0]["id"]
        made = talk.ask("POST", "/branches", {"at": turn})
        assert talk.ask("GET", f"/turns?branch={made['number']}")["data"][0]["id"] == turn


def test_a_branch_that_is_not_there() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        talk.say("One.")
        assert talk.code("POST", "/branches/5/switch") == (404, "branch_not_found")
        assert talk.code("POST", "/branches", {"at": 9}) == (404, "turn_not_found")
        assert talk.code("POST", "/branches", {"at": True}) == (400, "invalid_type")
        assert talk.code("GET", "/turns?branch=5")[0] == 404
        assert talk.code("GET", "/turns?branch=x") == (400, "invalid_type")


# ---------------------------------------------------------------------------------------- summaries


def test_a_summary_is_read_put_right_and_undone(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    with gate(model="demo", store=store) as one:
        talk = Talk(one)
        talk.say("My name is Ada.")
        assert talk.ask("GET", "/summary")["summary"] is None
        assert talk.code("PUT", "/summary", {"text": "words"})[0] == 404
        summarised(store, "c", "by the model")
        told = talk.ask("GET", "/summary")["summary"]
        assert (told["text"], told["model"], told["edited"], told["upto"]) == (
            "by the model",
            "demo",
            False,
            1,
        )
        edited = talk.ask("PUT", "/summary", {"text": "by hand"})
        assert (edited["summary"]["text"], edited["summary"]["edited"]) == ("by hand", True)
        assert [each["text"] for each in edited["replaced"]] == ["by the model"]
        assert talk.ask("DELETE", "/summary")["summary"]["text"] == "by the model"
        assert talk.ask("DELETE", "/summary")["summary"] is None
        assert talk.code("PUT", "/summary", {}) == (400, "not_text")


# ----------------------------------------------------------------------------------------- policies


def test_a_policy_of_its_own_decides_what_is_sent() -> None:
    with gate(model="demo") as one:
        talk, other = Talk(one), Talk(one, "d")
        for words in ("One.", "Two.", "Three."):
            talk.say(words)
            other.say(words)
        assert talk.ask("GET", "/policy")["own"] is None
        told = talk.ask("PUT", "/policy", {"max_turns": 1, "summarize": False, "recall": False})
        assert (told["own"]["max_turns"], told["policy"]["max_turns"], told["policy"]["recall"]) == (
            1,
            1,
            None,
        )
        assert talk.ask("GET", "/policy") == told
        assert "One." not in talk.sent()
        assert "One." in other.sent()
        talk.say("Four.")
        codes = [each["code"] for each in talk.ask("GET", "/turns/4/context")["ledger"]]
        assert "outside_window" in codes
        assert talk.ask("PUT", "/policy", {})["policy"]["max_turns"] is None
        assert "One." in talk.sent()


def test_a_policy_that_cannot_hold() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        talk.say("One.")
        for wrong in ({"budget": 0}, {"nonsense": 1}, {"high": 0.1, "low": 0.9}, {"images": "some"}):
            assert talk.code("PUT", "/policy", wrong) == (400, "policy_invalid"), wrong
        assert talk.code("PUT", "/policy", {"max_turns": 1 << 41}) == (400, "integer_above_max_value")
        assert talk.code("PUT", "/policy", {"recall": {"max_turns": 1 << 41}}) == (
            400,
            "integer_above_max_value",
        )
        assert talk.ask("GET", "/policy")["own"] is None


def test_a_policy_whose_models_nobody_knows_is_refused_before_it_is_in_force() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        talk.say("One.")
        for wrong in ({"summarize": {"model": "nobody"}}, {"recall": {"embedding": "nobody"}}):
            assert talk.code("PUT", "/policy", wrong) == (404, "model_not_found")
        assert talk.ask("GET", "/policy")["own"] is None


# ----------------------------------------------------------------------------------------- settings


def test_a_conversation_is_made_with_what_holds_for_it_and_told_otherwise() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        settings = {
            "instructions": "Be brief.",
            "opening": "Hello!",
            "memory": "ada",
            "policy": {"max_turns": 2},
        }
        talk.name = talk.ask("POST", "/v1/conversations", settings)["id"]
        told = talk.ask("GET", "/settings")
        assert told["instructions"] == [{"role": "system", "content": "Be brief."}]
        assert (told["opening"], told["memory"], told["policy"]) == ("Hello!", "ada", {"max_turns": 2})
        assert talk.sent() == ["Be brief.", "Hello!"]
        assert talk.ask("POST", "/settings", {"instructions": ""})["opening"] == "Hello!"
        assert talk.sent() == ["Hello!"]
        assert talk.ask("GET", "/policy")["own"] == {"max_turns": 2}
        users = [{"role": "user", "content": "x"}]
        assert talk.code("POST", "/settings", {"instructions": users}) == (400, "instructions_shape")
        assert talk.code("POST", "/settings", {"model": "nobody"}) == (404, "model_not_found")
        assert talk.code("POST", "/settings", {"colour": "red"}) == (400, "unknown_parameter")


def test_conversations_that_share_a_memory_recall_each_others_words() -> None:
    with gate(model="demo") as one:
        first, second = Talk(one), Talk(one)
        for talk in (first, second):
            talk.name = talk.ask("POST", "/v1/conversations", {"memory": "ada"})["id"]
        first.say("The harbour of Genoa is full.")
        second.say("Hello.")
        found = second.ask("GET", "/recall?text=the%20harbour%20of%20Genoa&k=1")["data"]
        assert [each["conversation"] for each in found] == [first.name]


def test_text_that_programs_stumble_over_is_kept_as_it_came(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    with gate(model="demo", store=store) as one:
        talk = Talk(one)
        talk.say("One.")
        talk.say("Two.")
        summarised(store, "c", "by the model")
        for text in TEXTS:
            words = f"a{text}b"
            assert talk.ask("PUT", "/summary", {"text": words})["summary"]["text"] == words
            assert talk.ask("POST", "/turns/2/retract", {"reason": words})["reason"] == words
            assert talk.ask("POST", "/settings", {"opening": words})["opening"] == words
            assert talk.ask("POST", "/window", {"text": words})["messages"][-1]["content"].endswith(words)
