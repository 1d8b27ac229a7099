"""Which providers can be simulated?"""

from __future__ import annotations

from collections.abc import Mapping

from .kimi import KimiSimulator
from .openai import OpenAISimulator
from .qwen import QwenSimulator
from .server import Simulator

FAMILY: Mapping[str, type[Simulator]] = {
    kind.name: kind for kind in (QwenSimulator, KimiSimulator, OpenAISimulator)
}
"""Simulators by the provider's name in the catalogue."""
