"""How much is told where nobody says how much."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.serving import gate
from tests.simulators import serve


def test_a_page_has_twenty_and_what_is_recalled_ten() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        client = one.openai()
        place = f"/v1/conversations/{client.conversations.create().id}"
        for _ in range(2):
            said = [{"role": role, "content": "needle"} for role in ("user", "assistant") * 6]
            one.post({"items": said}, f"{place}/items")

        def told(path: str) -> int:
            found: dict[str, Any] = json.loads(one.get(place + path)[1])
            return len(found["data"])

        assert (told("/items"), told("/items?limit=24")) == (20, 24)
        assert (told("/recall?text=needle"), told("/recall?text=needle&k=11")) == (10, 11)
