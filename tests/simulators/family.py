"""Which providers can be simulated?"""

from __future__ import annotations

from collections.abc import Mapping

from .ark import ArkSimulator
from .dashscope import DashScopeSimulator
from .deepseek import DeepSeekSimulator
from .glm import GLMSimulator
from .kimi import KimiSimulator
from .openai import OpenAISimulator
from .qwen import QwenSimulator
from .relay import RelaySimulator
from .server import Simulator
from .siliconflow import SiliconFlowSimulator
from .stepfun import StepFunSimulator

KINDS: tuple[type[Simulator], ...] = (
    QwenSimulator,
    DashScopeSimulator,
    KimiSimulator,
    StepFunSimulator,
    RelaySimulator,
    DeepSeekSimulator,
    GLMSimulator,
    ArkSimulator,
    SiliconFlowSimulator,
    OpenAISimulator,
)
FAMILY: Mapping[str, type[Simulator]] = {kind.name: kind for kind in KINDS}
"""Simulators by the provider's name in the catalogue."""
