"""SiliconFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .chat import ChatSimulator
from .embeddings import Embedding, Embeds
from .history import Manners
from .problems import OPENAI, Problem
from .server import Model

IMAGE = frozenset(("image",))
MODELS: Mapping[str, Model] = {
    "deepseek-ai/DeepSeek-V4-Flash": Model(1_000_000, max_output=131_072, thinking="off"),
    "Pro/moonshotai/Kimi-K2.6": Model(262_144, max_output=131_072, thinking="on"),
    "Qwen/Qwen3.5-27B": Model(262_144, max_output=65_536, thinking="on"),
    "Qwen/Qwen3-8B": Model(131_072, max_output=8_192, thinking="on"),
    "Qwen/Qwen2.5-7B-Instruct": Model(32_768, max_output=4_096),
    "Qwen/Qwen3-VL-32B-Instruct": Model(262_144, max_output=32_768, media=IMAGE),
}


def wrong(message: str, status: int = 400, code: int = 20015) -> Problem:
    """A problem by its number."""
    return Problem(status, message, str(code))


PROBLEMS: dict[str, Problem] = {
    **{name: wrong(problem.message) for name, problem in OPENAI.items()},
    "path": Problem(404, "404 page not found", "text"),
    "key_missing": Problem(401, "Invalid token", "text"),
    "key": Problem(401, "Invalid token", "text"),
    "forbidden": wrong("Real name verification is required.", 403, 30003),
    "model": wrong("Model does not exist. Please check it carefully.", 400, 20012),
    "overflow": wrong("length of prompt_tokens ({prompt}) must be less than max_seq_len ({limit})."),
    "thinking": wrong("The parameter is invalid. thinking_budget must be between 128 and 32768."),
    "switch": wrong("Value error, current model does not support parameter `enable_thinking`."),
    "billing": wrong("Sorry, your account balance is insufficient", 403, 30001),
    "quota": wrong("Sorry, your account balance is insufficient", 403, 30001),
    "rate_limit": wrong("Request was rejected due to rate limiting. Details: RPM limit reached.", 429, 50603),
    "concurrency": wrong(
        "Request was rejected due to rate limiting. Details: TPM limit reached.", 429, 50603
    ),
    "overloaded": wrong("System is too busy now. Please try again later.", 503, 50505),
    "timeout": Problem(504, "Gateway Timeout", "text"),
    "server": wrong("Unknown error, please try again later.", 500, 50500),
}


EMBEDDINGS: Mapping[str, Embedding] = {
    "BAAI/bge-m3": Embedding(1024, batch=32),
    "BAAI/bge-large-zh-v1.5": Embedding(1024, batch=32, max_tokens=512),
}


class SiliconFlowSimulator(Embeds, ChatSimulator):
    """``siliconflow``: some errors are objects with a number, others a bare string."""

    name = "siliconflow"
    models = MODELS
    embeddings = EMBEDDINGS
    problems = PROBLEMS
    manners = Manners(empty=frozenset(("assistant", "tool")))

    def envelope(self, problem: Problem) -> Any:
        """A number and a message, or only the words."""
        if problem.code == "text" or problem.code is None:
            return problem.message
        return {"code": int(problem.code), "message": problem.message, "data": None}

    def thinks(self, body: Mapping[str, Any], model: Model) -> bool:
        """``enable_thinking`` at the top level."""
        if model.thinking == "never":
            return False
        return bool(body.get("enable_thinking", model.thinking == "on"))

    def check_params(self, body: Mapping[str, Any], model: Model) -> None:
        """The thinking budget, and models without the switch."""
        super().check_params(body, model)
        if model.thinking == "never" and "enable_thinking" in body:
            raise self.refuse("switch")
        budget = body.get("thinking_budget")
        if budget is not None and not (isinstance(budget, int) and 128 <= budget <= 32_768):
            raise self.refuse("thinking")
