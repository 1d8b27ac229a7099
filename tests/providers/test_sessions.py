"""Each event loop has connections of its own, and keeps them."""

from __future__ import annotations

import asyncio

from multiturn.providers.sessions import Sessions


def test_another_loop_takes_no_connections_away() -> None:
    sessions = Sessions(5.0)
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    first = one.run_until_complete(sessions.of(None))
    second = other.run_until_complete(sessions.of(None))
    assert first is not second
    assert one.run_until_complete(sessions.of(None)) is first
    assert other.run_until_complete(sessions.of(None)) is second
    one.run_until_complete(sessions.close())
    one.close()
    other.close()
