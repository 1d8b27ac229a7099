"""What does a chat-completions endpoint answer? Checks, reply, usage and the stream; providers differ by the
attributes and small methods they override."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from aiohttp import web

from . import counting
from .caches import Cache, Hit, NoCache
from .history import Examination, Manners
from .problems import Refusal
from .script import Answer, Fault, Received, Script, pass_by
from .server import Handler, Model, Simulator, Stream

THOUGHT = "让我先看看收到的消息，再回答。"
"""What a thinking model thinks when the script does not say."""


@dataclass
class Work:
    """A request that was found good, with everything its answer needs."""

    received: Received
    body: Mapping[str, Any]
    model: Model
    prompt: list[str]
    hit: Hit
    answer: Answer
    calls: list[dict[str, Any]]
    cut_short: bool = False

    @property
    def ending(self) -> str:
        """The finish reason."""
        return "length" if self.cut_short else self.answer.ending

    @property
    def thought(self) -> int:
        """Tokens of the thinking."""
        return counting.count(self.answer.reasoning or "")

    @property
    def said(self) -> int:
        """Tokens of the reply, the thinking apart."""
        called = "".join(call["function"]["name"] + call["function"]["arguments"] for call in self.calls)
        return counting.count(self.answer.text + (self.answer.refusal or "") + called)


class ChatSimulator(Simulator):
    """A provider that speaks chat completions."""

    manners: ClassVar[Manners] = Manners()
    output_fields: ClassVar[Sequence[str]] = ("max_completion_tokens", "max_tokens")
    temperatures: ClassVar[tuple[float, float]] = (0, 2)
    usage_unasked: ClassVar[bool] = False
    """Whether a stream reports usage without ``stream_options``."""
    tool_kinds: ClassVar[frozenset[str]] = frozenset(("function",))

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        super().__init__(script, **options)
        self.cache: Cache = self.make_cache()

    def make_cache(self) -> Cache:
        """The cache this provider keeps, one for all requests."""
        return NoCache()

    def routes(self) -> Mapping[str, Handler]:
        """Chat completions."""
        return {"/chat/completions": self.complete}

    async def complete(self, request: web.Request, received: Received) -> web.StreamResponse:
        """Answer a chat completion."""
        body = self.read(received)
        work = self.check(received, body)
        await self.decide(work, request)
        if body.get("stream"):
            return await self._stream(request, work)
        await asyncio.sleep(self.wire.first)
        await pass_by(work.answer.stall)
        if work.answer.cut or work.answer.fail:
            raise self._broken(work)
        self.keep(work)
        text = self.blanks() + json.dumps(self.whole(work), ensure_ascii=False)
        return web.Response(text=text, content_type="application/json", headers=self.headers(received))

    def blanks(self) -> str:
        """What comes before a reply that is not streamed."""
        return ""

    # ----------------------------------------------------------------------------------- checks

    def check(self, received: Received, body: Mapping[str, Any]) -> Work:
        """Refuse a request at its first fault."""
        model = self.model(body.get("model"))
        examination = Examination(
            self.manners, self.problems, model, self.thinks(body, model), received.notes
        )
        self.check_params(body, model)
        examination.run(body.get("messages"))
        self.check_tools(body.get("tools") or [])
        prompt = counting.prompt(body["messages"], body.get("tools") or ())
        self.check_length(body, model, len(prompt))
        return Work(received, body, model, prompt, self.look(body, prompt), Answer(), [])

    def check_params(self, body: Mapping[str, Any], model: Model) -> None:
        """Sampling and limits."""
        low, high = self.temperatures
        for name, least, most in (("temperature", low, high), ("top_p", 0, 1)):
            given = body.get(name)
            if given is not None and not (isinstance(given, int | float) and least <= given <= most):
                raise self.refuse("range", name=name, low=least, high=most, given=given)
        for name in self.output_fields:
            given = body.get(name)
            if given is not None and not (isinstance(given, int) and 1 <= given <= model.max_output):
                raise self.refuse("max_tokens", name=name, given=given, limit=model.max_output)

    def check_tools(self, tools: Sequence[Any]) -> None:
        """Definitions of tools."""
        for index, tool in enumerate(tools):
            if tool.get("type") not in self.tool_kinds:
                raise self.refuse("tool_kind", index=index, kind=tool.get("type"))

    def check_length(self, body: Mapping[str, Any], model: Model, prompt: int) -> None:
        """The prompt against the model's input limit."""
        if prompt > model.input_limit:
            reply = self.requested(body) or 0
            figures = {
                "limit": model.input_limit,
                "prompt": prompt,
                "reply": reply,
                "requested": prompt + reply,
            }
            raise self.refuse("overflow", **figures)

    def requested(self, body: Mapping[str, Any]) -> int | None:
        """The reply length asked for."""
        return next((body[name] for name in self.output_fields if body.get(name) is not None), None)

    def thinks(self, body: Mapping[str, Any], model: Model) -> bool:
        """Whether the model thinks for this request."""
        return model.thinking in {"on", "always"}

    # ------------------------------------------------------------------------------------ reply

    def look(self, body: Mapping[str, Any], prompt: Sequence[str]) -> Hit:
        """What the cache holds of the prompt."""
        return Hit(self.cache.look(prompt))

    def thought_field(self, work: Work) -> str:
        """The field that holds the thinking."""
        return "reasoning_content"

    def keep(self, work: Work) -> None:
        """The reply is finished: the cache takes it in."""
        self.cache.keep(work.prompt, counting.spoken(work.answer.text, work.calls))

    async def decide(self, work: Work, request: web.Request) -> None:
        """What the script says to it."""
        reply = self.script.next(work.received)
        if isinstance(reply, Fault):
            await self.fail(reply, request, work.received)
            return
        work.answer = self._thought_over(reply, work)
        work.calls = [
            {
                "id": call.id or f"call_{work.received.number}_{place}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.text},
            }
            for place, call in enumerate(reply.calls)
        ]
        self._shorten(work)

    def _thought_over(self, reply: Answer, work: Work) -> Answer:
        thinks = self.thinks(work.body, work.model)
        reasoning = (THOUGHT if reply.reasoning is None else reply.reasoning) if thinks else None
        return replace(reply, reasoning=reasoning)

    def _shorten(self, work: Work) -> None:
        limit = self.requested(work.body) or work.model.default_output
        if not limit or counting.count(work.answer.text) <= limit:
            return
        end = [match.end() for match in counting.PIECE.finditer(work.answer.text)][limit - 1]
        work.answer = replace(work.answer, text=work.answer.text[:end])
        work.cut_short = True

    def _broken(self, work: Work) -> Exception:
        if work.answer.fail:
            return self.refuse(work.answer.fail)
        return Refusal(self.problems["server"])

    # ------------------------------------------------------------------------------- whole reply

    def message(self, work: Work) -> dict[str, Any]:
        """The message of a reply that is not streamed."""
        answer = work.answer
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text or (None if work.calls else ""),
        }
        if answer.reasoning is not None:
            message[self.thought_field(work)] = answer.reasoning
        if work.calls:
            message["tool_calls"] = work.calls
        if answer.refusal is not None:
            message |= {"refusal": answer.refusal, "content": None}
        return message | dict(answer.extra)

    def whole(self, work: Work) -> dict[str, Any]:
        """A reply that is not streamed."""
        choice = {"index": 0, "message": self.message(work), "finish_reason": work.ending}
        body = self.frame(work, "chat.completion", choices=[choice])
        return body | ({"usage": self.usage(work)} if work.answer.usage else {})

    def frame(self, work: Work, kind: str, **fields: Any) -> dict[str, Any]:
        """The fields every object has."""
        return {
            "id": f"chatcmpl-{work.received.number:08d}",
            "object": kind,
            "created": 1_768_994_256 + work.received.number,
            "model": work.body["model"],
            **fields,
        }

    def usage(self, work: Work) -> dict[str, Any]:
        """What was consumed, in this provider's fields."""
        output = work.said + work.thought
        return {
            "prompt_tokens": len(work.prompt),
            "completion_tokens": output,
            "total_tokens": len(work.prompt) + output,
        }

    # ----------------------------------------------------------------------------------- stream

    async def _stream(self, request: web.Request, work: Work) -> web.StreamResponse:
        stream = Stream(request, work.received, self.wire, self.headers(work.received))
        await stream.open()
        answer = work.answer
        for place, delta in enumerate([*self.deltas(work), None]):
            if answer.stall and place == answer.stall_after:
                await pass_by(answer.stall)
            if answer.fail and place == answer.fail_after:
                await stream.data(self.envelope(self.refuse(answer.fail).problem))
                return stream.response
            if answer.cut and (place == answer.cut_after or delta is None):
                if answer.cut != "end":
                    stream.break_off(answer.cut)
                return stream.response
            if delta is not None:
                await stream.data(self.chunk(work, {"delta": delta, "finish_reason": None}))
        for chunk in self.endings(work):
            await stream.data(chunk)
        self.keep(work)
        if self.wire.done:
            await stream.data("[DONE]")
        return stream.response

    def deltas(self, work: Work) -> Iterator[dict[str, Any]]:
        """The pieces of the reply."""
        answer, size = work.answer, self.wire.piece
        yield {"role": "assistant", "content": "" if answer.reasoning is None else None}
        for piece in sliced(answer.reasoning or "", size):
            yield {"content": None, self.thought_field(work): piece}
        for piece in sliced(answer.text, size):
            yield {"content": piece}
        for piece in sliced(answer.refusal or "", size):
            yield {"refusal": piece}
        if answer.extra:
            yield dict(answer.extra)
        for place, call in enumerate(work.calls):
            yield from called(place, call, size)

    def chunk(self, work: Work, choice: Mapping[str, Any]) -> dict[str, Any]:
        """One chunk with one choice."""
        return self.frame(
            work, "chat.completion.chunk", choices=[{"index": 0, **choice}], **self.unreported(work)
        )

    def unreported(self, work: Work) -> dict[str, Any]:
        """The usage field of chunks before the last."""
        return {"usage": None} if self.reports(work) else {}

    def reports(self, work: Work) -> bool:
        """Whether this stream tells its usage."""
        asked = (work.body.get("stream_options") or {}).get("include_usage", False)
        return work.answer.usage and (self.usage_unasked or bool(asked))

    def endings(self, work: Work) -> Iterator[dict[str, Any]]:
        """The chunk with the finish reason, and the one with the usage."""
        finish = self.chunk(work, {"delta": {}, "finish_reason": work.ending})
        yield finish
        if self.wire.finish_twice:
            yield finish
        if self.reports(work):
            yield self.frame(work, "chat.completion.chunk", choices=[], usage=self.usage(work))


def sliced(text: str, size: int) -> Iterator[str]:
    """``text`` in pieces of ``size`` characters."""
    return (text[start : start + size] for start in range(0, len(text), size))


def called(place: int, call: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """A tool call as deltas: id and name first, then its arguments in fragments."""
    function = {"name": call["function"]["name"], "arguments": ""}
    yield {"tool_calls": [{"index": place, "id": call["id"], "type": "function", "function": function}]}
    for piece in sliced(call["function"]["arguments"], size):
        yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}
