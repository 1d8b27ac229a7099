"""What does the model behind the gateway answer in the tests of clients?"""

from __future__ import annotations

from tests.simulators import Answer, Call, Received, Reply, remember

__all__ = ["CITIES", "forecaster"]

CITIES = ("北京", "上海")


def forecaster(received: Received) -> Reply:
    """Thinks and calls two tools where it is asked for the weather, tells what they said; else remembers."""
    last = received.messages[-1]
    if last["role"] == "tool":
        told = [str(m["content"]) for m in received.messages if m["role"] == "tool"]
        return Answer(" ".join(told[-2:]), reasoning="I know.")
    if "weather" in str(last["content"]):
        calls = [Call("weather", {"city": city}, id=f"call_{city}") for city in CITIES]
        return Answer(calls=calls, reasoning="I must look.")
    return remember(received)
