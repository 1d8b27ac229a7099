"""Where is a model asked, so that limits and budgets hold, and which addresses only look like open ones?"""

from __future__ import annotations

import pytest

from multiturn.gateway.access.scopes import ADMIN, ANY, rule_of


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("/v1/chat/completions", True),
        ("/v1/responses", True),
        ("/v1/responses/compact", True),
        ("/v1/embeddings", True),
        ("/api/v1/services/aigc/text-generation/generation", True),
        ("/v1/conversations/c/turns/1/regenerate", True),
        ("/v1/conversations/c/turns/1/edit", True),
        ("/v1/conversations/c/turns/1/retry", True),
        ("/v1/responses/input_tokens", False),
        ("/v1/responses/resp_1/cancel", False),
        ("/v1/conversations/c/items", False),
        ("/v1/conversations", False),
    ],
)
def test_limits_hold_where_a_model_answers(path: str, *, answers: bool) -> None:
    assert rule_of("POST", path).answers is answers


def test_what_only_begins_like_an_open_address_is_closed() -> None:
    assert rule_of("GET", "/healthz/more").scope == ADMIN
    assert rule_of("GET", "/readyz2").scope == ADMIN


def test_a_head_is_as_free_as_its_body() -> None:
    assert rule_of("HEAD", "/v1/models").scope == ANY


@pytest.mark.parametrize("name", ["context", "window"])
def test_blanks_behind_an_address_open_nothing(name: str) -> None:
    assert rule_of("GET", f"/v1/conversations/c/{name} \n").scope == "inspect"
