"""What would be sent, what was said where, what was consumed, and what is taken away: over bare HTTP."""

from __future__ import annotations

import json

from tests.gateway.serving import gate
from tests.gateway.talking import Talk
from tests.simulators import serve


def test_a_dry_run_stores_nothing_and_asks_nobody() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        talk = Talk(one, model="qwen/qwen-plus")
        talk.say("One.")
        asked = len(sim.requests)
        told = talk.ask("GET", "/window?text=And%20now")
        assert told["messages"] == [
            {"role": "user", "content": "One."},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": "And now"},
        ]
        assert [(each["code"], each["messages"]) for each in told["ledger"]] == [("recent", 2), ("new", 1)]
        assert (told["model"], told["cost"]["currency"]) == ("qwen/qwen-plus", "USD")
        assert (talk.numbers(), len(sim.requests)) == ([1], asked)


def test_a_dry_run_with_another_policy_input_or_model() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        talk = Talk(one, model="qwen/qwen-plus")
        for words in ("One.", "Two."):
            talk.say(words)
        tried = talk.ask("POST", "/window", {"policy": {"max_turns": 1, "recall": False}, "text": "Three."})
        assert [each["content"] for each in tried["messages"]] == ["Two.", "ok", "Three."]
        assert tried["changes"]
        messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
        last = talk.ask("POST", "/window", {"messages": messages})["messages"][-1]
        assert last == {"role": "user", "content": "a\n\nb"}
        assert talk.ask("POST", "/window", {"model": "demo"})["budget"] == 1024
        assert talk.ask("GET", "/window?model=demo")["model"] == "demo"
        assert talk.code("GET", "/window?model=nobody%2Fnothing") == (404, "model_not_found")
        assert talk.code("POST", "/window", {"messages": ["a"]}) == (400, "messages_shape")
        assert talk.code("POST", "/window", {"policy": 7}) == (400, "invalid_type")
        assert talk.ask("GET", "/policy")["own"] is None


def test_the_provider_counts() -> None:
    with serve("qwen", "ok") as sim, gate(sim, model="demo") as one:
        talk = Talk(one, model="qwen/qwen-plus")
        talk.say("One.")
        few, more = (talk.ask("POST", "/count", body)["tokens"] for body in ({}, {"text": "Two. " * 50}))
        assert 0 < few < more
        other = Talk(one, "d")
        other.say("hello")
        assert other.code("POST", "/count") == (400, "counting_unavailable")


def test_search_and_recall_find_what_was_said() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        for words in ("The harbour of Genoa is full.", "Bread costs two coins."):
            talk.say(words)
        Talk(one, "d").say("Genoa again.")
        found = talk.ask("GET", "/v1/search?text=genoa")["data"]
        assert {(each["conversation"], each["turn"]) for each in found} == {("c", 1), ("d", 1)}
        assert len(talk.ask("GET", "/v1/search?text=genoa&limit=1")["data"]) == 1
        best = talk.ask("GET", "/recall?text=the%20harbour%20of%20Genoa&k=1")["data"]
        assert [(each["conversation"], each["turn"], each["text"]) for each in best] == [
            ("c", 1, "The harbour of Genoa is full.")
        ]
        assert talk.ask("GET", "/v1/search?text=genoa&user=bob")["data"] == []
        assert talk.code("GET", "/v1/search") == (400, "search_text")
        assert talk.code("GET", "/recall?text=a&k=0") == (400, "integer_below_min_value")
        assert talk.code("GET", "/recall?text=a&k=101") == (400, "integer_above_max_value")


def test_what_was_consumed_by_conversation_and_by_groups() -> None:
    with serve("qwen", "ok") as sim, gate(sim, model="demo") as one:
        talk, other = Talk(one, model="qwen/qwen-plus"), Talk(one, "d")
        talk.say("One.")
        talk.say("Two.")
        other.say("Three.")
        talk.ask("POST", "", {"metadata": {"tag": "trial"}})
        mine = talk.ask("GET", "/usage")
        assert (mine["calls"], mine["turns"], mine["costs"][0]["currency"]) == (2, 2, "USD")
        (everything,) = talk.ask("GET", "/v1/usage")["data"]
        assert (everything["calls"], everything["group"]) == (3, {})
        by_tag = {
            each["group"]["tag"]: each["calls"] for each in talk.ask("GET", "/v1/usage?group_by=tag")["data"]
        }
        assert by_tag == {"trial": 2, "": 1}
        groups = [each["group"] for each in talk.ask("GET", "/v1/usage?group_by=model,user")["data"]]
        assert groups == [{"model": "demo", "user": ""}, {"model": "qwen/qwen-plus", "user": ""}]
        assert talk.ask("GET", "/v1/usage?user=bob&group_by=model")["data"] == []
        (group,) = talk.ask("GET", "/usage?group_by=tag,model")["groups"]
        assert (set(group["group"]), group["calls"]) == ({"tag", "model"}, mine["calls"])
        assert "groups" not in mine
        assert talk.code("GET", "/usage?group_by=moon") == (400, "invalid_value")
        assert talk.code("GET", "/v1/usage?group_by=day,day") == (400, "invalid_value")


def test_a_conversation_is_taken_away_as_text() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        talk.say("My name is Ada.")
        head, *lines = talk.ask("GET", "/export").splitlines()
        assert json.loads(head)["id"] == "c"
        assert [json.loads(line)["role"] for line in lines] == ["user", "assistant"]
        assert [each["role"] for each in talk.ask("GET", "/export?format=openai")] == ["user", "assistant"]
        assert "**user**" in talk.ask("GET", "/export?format=markdown")
        assert talk.code("GET", "/export?format=pdf") == (400, "invalid_value")


def test_a_user_is_told_everything_and_forgotten() -> None:
    with gate(model="demo") as one:
        talk = Talk(one)
        talk.say("I am Ada.", user="ada")
        Talk(one, "d").say("I am Bob.", user="bob")
        everything = talk.ask("GET", "/v1/users/ada")
        assert ("I am Ada." in everything, "Bob" in everything) == (True, False)
        gone = talk.ask("DELETE", "/v1/users/ada")
        assert (gone["deleted"], gone["conversations"]) == (True, 1)
        assert talk.ask("GET", "/v1/users/ada") == ""
        assert talk.told("GET", "?user=ada")[0] == 404
        assert "I am Bob." in talk.ask("GET", "/v1/users/bob")


def test_figures_name_routes_and_nobodys_ids() -> None:
    with gate(model="demo") as one:
        talk = Talk(one, "secret-name")
        talk.say("hello")
        talk.ask("GET", "/turns/1/context")
        one.get("/v1/conversations/secret-name/nothing")
        figures = one.get("/metrics")[1].decode()
        assert 'route="/v1/conversations/{id}/turns/{n}/context"' in figures
        assert 'route="/v1/chat/completions"' in figures
        assert 'route="other"' in figures
        assert "secret-name" not in figures
