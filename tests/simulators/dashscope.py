"""DashScope's own protocol: text and multimodal generation, frames that repeat or add."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from . import counting
from .chat import Work, sliced
from .embeddings import embedded
from .problems import Problem, Refusal
from .qwen import PROBLEMS as COMPATIBLE
from .qwen import QwenSimulator, thinking
from .script import Received, pass_by
from .server import Handler, Stream

TEXT = "/services/aigc/text-generation/generation"
EMBEDDING = "/services/embeddings/text-embedding/text-embedding"
MULTIMODAL = "/services/aigc/multimodal-generation/generation"


def wrong(message: str, status: int = 400, code: str = "InvalidParameter") -> Problem:
    """A problem in this protocol's two fields."""
    return Problem(status, message, code)


PROBLEMS: dict[str, Problem] = {
    **{
        name: problem._replace(code="InvalidParameter")
        if problem.code == "invalid_parameter_error"
        else problem
        for name, problem in COMPATIBLE.items()
    },
    "path": wrong("url error, please check url！", 404),
    "pairing": wrong("url error, please check url!"),
    "key_missing": wrong("No API-key provided.", 401, "InvalidApiKey"),
    "key": wrong("Invalid API-key provided.", 401, "InvalidApiKey"),
    "forbidden": wrong("Access denied.", 403, "AccessDenied"),
    "model": wrong("Model not exist.", 404, "ModelNotFound"),
    "messages_missing": wrong("Field required: input.messages"),
    "last_role": wrong("list index out of range", 500, "InternalError.Algo"),
    "incremental": wrong('The incremental_output parameter must be "true" when enable_thinking is true'),
    "content_filter": wrong("Input data may contain inappropriate content.", 400, "DataInspectionFailed"),
    "output_filter": wrong("Output data may contain inappropriate content.", 400, "DataInspectionFailed"),
    "billing": wrong("Access denied, please make sure your account is in good standing.", 400, "Arrearage"),
    "rate_limit": wrong("Requests rate limit exceeded, please try again later.", 429, "Throttling.RateQuota"),
    "burst": wrong("Request rate increased too quickly.", 429, "Throttling.BurstRate"),
    "quota": wrong(
        "Allocated quota exceeded, please increase your quota limit.", 429, "Throttling.AllocationQuota"
    ),
    "free_quota": wrong("Free allocated quota exceeded.", 429, "Throttling.AllocationQuota"),
    "concurrency": wrong("Requests throttling triggered.", 429, "Throttling"),
    "overloaded": wrong("The model is not available now.", 503, "ModelServingError"),
    "timeout": wrong("Request timed out, please try again later.", 500, "RequestTimeOut"),
    "server": wrong("An internal error has occured, please try again later.", 500, "InternalError"),
}


class DashScopeSimulator(QwenSimulator):
    """``dashscope``."""

    name = "dashscope"
    prefix = "/api/v1"
    problems = PROBLEMS

    def routes(self) -> Mapping[str, Handler]:
        """Two generations, the tokenizer and embeddings."""
        return {
            TEXT: self.complete,
            MULTIMODAL: self.complete,
            "/tokenizer": self.count,
            EMBEDDING: self._embed_native,
        }

    def elsewhere(self) -> Mapping[str, Handler]:
        """Nothing."""
        return {}

    def envelope(self, problem: Problem) -> Any:
        """Code, message and request id."""
        code, message = problem.code, problem.message
        return {"code": code, "message": message, "request_id": f"req-{len(self.requests):08d}"}

    async def complete(self, request: web.Request, received: Received) -> web.StreamResponse:
        """Answer a generation; what the model refuses comes as an event where events were asked for."""
        body = self.read(received)
        streaming = _streaming(received)
        try:
            work = self._checked(received, body, streaming=streaming)
        except Refusal as refusal:
            if not streaming:
                raise
            return self._refused_as_event(refusal, received)
        await self.decide(work, request)
        if streaming:
            return await self._frames(request, work)
        await asyncio.sleep(self.wire.first)
        await pass_by(work.answer.stall)
        if work.answer.fail:
            raise self.refuse(work.answer.fail)
        self.keep(work)
        content = self._content(work, work.answer.text)
        output = self._output(work, content, work.answer.reasoning, work.calls, work.ending)
        answered = {"output": output, "usage": self._consumed(work, work.said, work.thought)}
        return web.json_response({**answered, "request_id": f"req-{received.number:08d}"})

    def _checked(self, received: Received, body: Mapping[str, Any], *, streaming: bool) -> Work:
        model = self.model(body.get("model"))
        if model.multimodal_path != received.path.endswith(MULTIMODAL):
            raise self.refuse("pairing")
        params = body.get("parameters") or {}
        if (
            streaming
            and thinking(params.get("enable_thinking"), model)
            and not params.get("incremental_output")
        ):
            raise self.refuse("incremental")
        messages = _messages(body.get("input") or {})
        view = {**params, "model": body["model"], "messages": messages, "stream": streaming}
        return self.check(received, view)

    def _refused_as_event(self, refusal: Refusal, received: Received) -> web.Response:
        problem = refusal.problem
        data = json.dumps(self.envelope(problem), ensure_ascii=False)
        text = f"id:1\nevent:error\n:HTTP_STATUS/{problem.status}\ndata:{data}\n\n"
        return web.Response(
            status=problem.status, text=text, content_type="text/event-stream", headers=self.headers(received)
        )

    # ----------------------------------------------------------------------------------- answers

    def _content(self, work: Work, text: str) -> Any:
        if work.model.multimodal_path:
            return [{"text": text}] if text else []
        return text

    def _output(
        self, work: Work, content: Any, reasoning: str | None, calls: list[dict[str, Any]], finish: str
    ) -> dict[str, Any]:
        if work.body.get("result_format", "text") == "text" and not work.model.multimodal_path:
            return {"text": content, "finish_reason": finish}
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if reasoning is not None:
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = calls
        message |= dict(work.answer.extra)
        return {
            "text": None,
            "finish_reason": None,
            "choices": [{"finish_reason": finish, "message": message}],
        }

    def _consumed(self, work: Work, said: int, thought: int) -> dict[str, Any]:
        details = self.usage(work)["prompt_tokens_details"]
        spoken = {"text_tokens": said} | ({"reasoning_tokens": thought} if thought else {})
        return {
            "input_tokens": len(work.prompt),
            "output_tokens": said + thought,
            "total_tokens": len(work.prompt) + said + thought,
            "prompt_tokens_details": details,
            "output_tokens_details": spoken,
        }

    # ------------------------------------------------------------------------------------ frames

    async def _frames(self, request: web.Request, work: Work) -> web.StreamResponse:
        stream = Stream(request, work.received, self.wire, self.headers(work.received), ":keepalive")
        await stream.open()
        answer = work.answer
        for place, frame in enumerate([*self._pieces(work), None]):
            number = f"id:{place + 1}"
            if answer.stall and place == answer.stall_after:
                await pass_by(answer.stall)
            if answer.fail and place == answer.fail_after:
                problem = self.refuse(answer.fail).problem
                data = json.dumps(self.envelope(problem), ensure_ascii=False)
                await stream.event(number, "event:error", f":HTTP_STATUS/{problem.status}", f"data:{data}")
                return stream.response
            if answer.cut and (place == answer.cut_after or frame is None):
                if answer.cut != "end":
                    stream.break_off(answer.cut)
                return stream.response
            if frame is not None:
                data = json.dumps(frame, ensure_ascii=False)
                await stream.event(number, "event:result", ":HTTP_STATUS/200", f"data:{data}")
        self.keep(work)
        return stream.response

    def _pieces(self, work: Work) -> Iterator[dict[str, Any]]:
        """The frames, the last one with the finish reason."""
        adding = bool(work.body.get("incremental_output"))
        size = self.wire.piece
        thought, text, calls = "", "", [{**call, "index": place} for place, call in enumerate(work.calls)]
        reasoning = work.answer.reasoning
        for piece in sliced(reasoning or "", size):
            thought += piece
            yield self._frame(work, "", piece if adding else thought, [], thought, "")
        quiet = None if reasoning is None else "" if adding else thought
        for piece in sliced(work.answer.text, size):
            text += piece
            yield self._frame(work, piece if adding else text, quiet, [], thought, text)
        rest = "" if adding else text
        if adding:
            for call in calls:
                for fragment in _fragments(call, size):
                    yield self._frame(work, "", quiet, [fragment], thought, text)
        last = self._frame(work, rest, quiet, [] if adding else calls, thought, text, work.ending)
        yield last
        if self.wire.finish_twice:
            yield last

    def _frame(
        self,
        work: Work,
        text: str,
        reasoning: str | None,
        calls: list[dict[str, Any]],
        thought: str,
        said: str,
        finish: str = "null",
    ) -> dict[str, Any]:
        told = work.said if finish != "null" else counting.count(said)
        output = self._output(work, self._content(work, text), reasoning, calls, finish)
        request_id = f"req-{work.received.number:08d}"
        usage = self._consumed(work, told, counting.count(thought))
        return {"output": output, "usage": usage, "request_id": request_id}

    def counted(self, given: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The messages to count."""
        return _messages(given) or []

    async def _embed_native(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(received)
        given, wanted = body.get("input") or {}, body.get("parameters") or {}
        model, texts = self.embedding_asked(body.get("model"), given.get("texts"), wanted.get("dimension"))
        await asyncio.sleep(model.stall)
        dimension = model.gives or wanted.get("dimension") or model.dimension
        rows = [
            {"text_index": place, "embedding": embedded(text, dimension)} for place, text in enumerate(texts)
        ]
        self.texts += texts
        usage = {"total_tokens": sum(map(counting.count, texts))}
        number = f"req-{received.number:08d}"
        return web.json_response({"output": {"embeddings": rows}, "usage": usage, "request_id": number})


def _streaming(received: Received) -> bool:
    headers = received.headers
    return headers.get("x-dashscope-sse") == "enable" or "text/event-stream" in headers.get("accept", "")


def _messages(given: Mapping[str, Any]) -> Any:
    """The messages; the old ``prompt`` and ``history`` become some."""
    if "prompt" not in given:
        return given.get("messages")
    turns = [
        {"role": role, "content": turn[key]}
        for turn in given.get("history") or ()
        for key, role in (("user", "user"), ("bot", "assistant"))
    ]
    return [*turns, {"role": "user", "content": given["prompt"]}]


def _fragments(call: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """A tool call in pieces; the later ones repeat neither id nor name."""
    index, function = call["index"], call["function"]
    named = {"name": function["name"], "arguments": ""}
    yield {"index": index, "id": call["id"], "type": "function", "function": named}
    for piece in sliced(function["arguments"], size):
        yield {"index": index, "id": "", "type": "function", "function": {"name": "", "arguments": piece}}
