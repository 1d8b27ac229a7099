"""Zhipu: GLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from . import counting
from .caches import Cache, PrefixCache
from .chat import ChatSimulator, Work
from .embeddings import Embedding, Embeds
from .history import Manners
from .problems import OPENAI, Problem
from .script import Received
from .server import Handler, Model

FILMS = frozenset(("image", "video"))
MODELS: Mapping[str, Model] = {
    "glm-5.3": Model(1_000_000, max_output=128_000, thinking="on", replay="advised"),
    "glm-5.2": Model(1_000_000, max_output=131_072, thinking="on", replay="advised"),
    "glm-5.1": Model(200_000, max_output=131_072, thinking="on", replay="advised"),
    "glm-4.7": Model(204_800, max_output=131_072, thinking="on", replay="advised"),
    "glm-4.6": Model(204_800, max_output=131_072, thinking="on", replay="advised"),
    "glm-4.5-flash": Model(131_072, max_output=98_304, thinking="on", replay="advised"),
    "glm-4.6v": Model(128_000, max_output=32_768, thinking="on", media=FILMS, replay="advised"),
}


def wrong(code: int, message: str, status: int = 400) -> Problem:
    """A problem by its number."""
    return Problem(status, message, str(code))


PROBLEMS: dict[str, Problem] = {
    **{name: wrong(1214, problem.message) for name, problem in OPENAI.items()},
    "path": wrong(1200, "Not Found", 404),
    "key_missing": wrong(1001, "Header 中未收到 Authorization 参数，无法进行身份验证。", 401),
    "key": wrong(1002, "Authorization Token 非法，请确认 Authorization Token 正确传递。", 401),
    "forbidden": wrong(1220, "您无权访问 API。", 403),
    "model": wrong(1211, "模型不存在，请检查模型代码。"),
    "json": wrong(1210, "API 调用参数有误，请检查文档。"),
    "messages_missing": wrong(1214, "messages 参数非法。请检查文档。"),
    "messages_empty": wrong(1214, "messages 参数非法。请检查文档。"),
    "no_user": wrong(1214, "messages 参数非法。请检查文档。"),
    "last_role": wrong(1214, "messages 参数非法。请检查文档。"),
    "content_empty": wrong(1213, "未正常接收到 prompt 参数。"),
    "role": wrong(1214, "角色信息不正确：{role}"),
    "overflow": wrong(1261, "Prompt exceeds max length"),
    "max_tokens": wrong(1210, "API 调用参数有误：{name} 应在 [1, {limit}] 之间。"),
    "range": wrong(1210, "API 调用参数有误：{name} 应在 [{low}, {high}] 之间。"),
    "content_filter": wrong(
        1301, "系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语。"
    ),
    "billing": wrong(1113, "您的账户已欠费，请充值后重试。", 429),
    "quota": wrong(1308, "已达到使用上限。", 429),
    "daily": wrong(1304, "当日调用次数限额已达上限。", 429),
    "rate_limit": wrong(1302, "您的账户已达到速率限制，请您控制请求频率。", 429),
    "concurrency": wrong(1302, "您的账户已达到速率限制，请您控制请求频率。", 429),
    "overloaded": wrong(1305, "该模型当前访问量过大，请您稍后再试。", 429),
    "server": wrong(1234, "网络错误，请联系客服。", 500),
}


EMBEDDINGS: Mapping[str, Embedding] = {
    "embedding-3": Embedding(2048, (256, 512, 1024, 2048), batch=64, max_tokens=3_072),
}


class GLMSimulator(Embeds, ChatSimulator):
    """``glm``: codes are strings of digits; thinking dropped from a tool loop is noted, not refused."""

    name = "glm"
    prefix = "/api/paas/v4"
    models = MODELS
    embeddings = EMBEDDINGS
    problems = PROBLEMS
    temperatures = (0, 1)
    usage_unasked = True
    manners = Manners(user_needed=True, empty=frozenset(("assistant",)))
    tool_kinds = frozenset(("function", "retrieval", "web_search", "mcp"))

    def make_cache(self) -> Cache:
        """Not published: a beginning of 256 tokens, a step of one."""
        return PrefixCache(256)

    def routes(self) -> Mapping[str, Handler]:
        """With the counting endpoint."""
        return {**super().routes(), "/tokenizer": self._count}

    def envelope(self, problem: Problem) -> Any:
        """Code and message."""
        return {"error": {"code": problem.code, "message": problem.message}}

    def thinks(self, body: Mapping[str, Any], model: Model) -> bool:
        """``thinking: {type, clear_thinking}``."""
        return bool((body.get("thinking") or {}).get("type", "enabled") == "enabled")

    def check_params(self, body: Mapping[str, Any], model: Model) -> None:
        """Tools are chosen automatically or not at all."""
        super().check_params(body, model)
        if body.get("tool_choice") not in {None, "auto"}:
            raise self.refuse("tool_choice", choice=body["tool_choice"])

    def usage(self, work: Work) -> dict[str, Any]:
        """Cached tokens among the details."""
        return {**super().usage(work), "prompt_tokens_details": {"cached_tokens": work.hit.read}}

    def unreported(self, work: Work) -> dict[str, Any]:
        """No empty usage."""
        return {}

    async def _count(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(received)
        self.model(body.get("model"))
        total = len(counting.prompt(body.get("messages") or (), body.get("tools") or ()))
        number = f"{received.number:016d}"
        return web.json_response(
            {"id": number, "created": 1_768_994_256, "request_id": number, "usage": {"prompt_tokens": total}}
        )
