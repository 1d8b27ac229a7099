"""Which of two keys counts, and what somebody with a wrong one is told."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.keyed import bearer, made
from tests.gateway.serving import gate


def test_of_two_keys_the_one_of_the_authorization_counts(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    good = made(store, "shop")
    with gate(model="demo", store=store) as one:
        for first in (True, False):
            right = {"authorization": f"Bearer {good}", "api-key": "wrong"}
            wrong = {"authorization": "Bearer wrong", "api-key": good}
            for headers, status in ((right, 200), (wrong, 401)):
                given = headers if first else dict(reversed(headers.items()))
                assert one.get("/v1/models", **given)[0] == status


def test_a_wrong_key_is_told_how_to_come_in(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    made(store, "shop")
    with gate(model="demo", store=store) as one:
        status, _, headers = one.get("/v1/models", **bearer("wrong"))
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
