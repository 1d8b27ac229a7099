"""How is a simulated provider reached? Real HTTP on loopback: routes, keys, records, faults, bytes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from aiohttp import web

from .problems import BY_STATUS, OPENAI, Problem, Refusal
from .script import Fault, Received, Script, Wire, pass_by

BAD_GATEWAY = (
    "<html>\r\n<head><title>{status} Bad Gateway</title></head>\r\n<body>\r\n<center><h1>{status} Bad Gateway"
    "</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
DROPPED = -1
"""The status of a request that the script left without an answer."""
Handler = Callable[[web.Request, Received], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Model:
    """What a simulator knows of a model, in its own tokens. ``thinking``: ``never``, ``off`` or ``on`` (a
    switch, and where it stands), ``always``. ``replay`` is the reasoning that must come back:
    ``tool_loop`` (on
    messages with calls), ``from_first_call`` (on every assistant message from the first call on), ``all``, or
    ``advised`` (noted where it is missing, not refused).
    ``sampling`` are values that may not be changed, thinking first."""

    window: int = 131_072
    max_input: int = 0
    max_output: int = 32_768
    thinking: str = "never"
    thinking_budget: int = 0
    replay: str = ""
    media: frozenset[str] = frozenset()
    lists: bool = True
    multimodal_path: bool = False
    stream_only: bool = False
    default_output: int = 0
    fixed_sampling: bool = False

    @property
    def input_limit(self) -> int:
        """The longest prompt."""
        return self.max_input or self.window


@dataclass
class Clock:
    """A clock that tests turn by hand; it starts at ``now`` seconds."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Simulator:
    """One provider. ``requests`` holds everything that came, refused or not; ``url`` is where it listens."""

    name: ClassVar[str]
    prefix: ClassVar[str] = "/v1"
    models: ClassVar[Mapping[str, Model]]
    problems: ClassVar[Mapping[str, Problem]] = OPENAI

    def __init__(
        self,
        script: Script | None = None,
        *,
        models: Mapping[str, Model] | None = None,
        clock: Callable[[], float] = time.monotonic,
        key: str = "sk-simulated",
        more_keys: tuple[str, ...] = (),
        concurrency: int = 0,
    ) -> None:
        self.script = script or Script()
        self.known = {**self.models, **(models or {})}
        self.clock = clock
        self.key = key
        self.keys = {key, *more_keys}
        self.concurrency = concurrency
        self.requests: list[Received] = []
        self.url = ""
        self._running = 0

    @property
    def wire(self) -> Wire:
        """How streams are cut into bytes."""
        return self.script.wire

    @property
    def base_url(self) -> str:
        """What a client is given as its base URL."""
        return self.url + self.prefix

    def application(self) -> web.Application:
        """The routes of this provider."""
        application = web.Application(client_max_size=64 << 20)
        for path, handler in self.routes().items():
            application.router.add_post(self.prefix + path, self._guarded(handler))
        for path, handler in self.elsewhere().items():
            application.router.add_post(path, self._guarded(handler))
        application.router.add_get(self.prefix + "/models", self._guarded(self._list_models, free=True))
        application.router.add_route("*", "/{tail:.*}", self._guarded(self._nowhere))
        return application

    def routes(self) -> Mapping[str, Handler]:
        """Handlers by path behind the prefix."""
        raise NotImplementedError

    def elsewhere(self) -> Mapping[str, Handler]:
        """Handlers by path outside the prefix."""
        return {}

    def envelope(self, problem: Problem) -> Any:
        """A problem as this provider's body."""
        return {
            "error": {
                "message": problem.message,
                "type": problem.type,
                "param": problem.param,
                "code": problem.code,
            }
        }

    def headers(self, received: Received) -> dict[str, str]:
        """Headers of every answer."""
        return {"x-request-id": f"req_{received.number:08d}"}

    def refuse(self, name: str, /, **figures: object) -> Refusal:
        """The refusal for a problem, in this provider's words: to be raised."""
        return Refusal(self.problems[name].told(**figures))

    # ------------------------------------------------------------------------------ one request

    def _guarded(
        self, handler: Handler, *, free: bool = False
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            received = await self._receive(request)
            self._running += 1
            try:
                if not free:
                    await self._admit(request, received)
                response = await handler(request, received)
            except Refusal as refusal:
                response = self._refused(refusal, received)
            except (asyncio.CancelledError, ConnectionError):
                received.left = received.status != DROPPED
                raise
            finally:
                self._running -= 1
            received.status = response.status
            return response

        return handle

    async def _receive(self, request: web.Request) -> Received:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(len(self.requests) + 1, self.clock(), request.method, request.path, headers, raw)
        self.requests.append(received)
        return received

    async def _admit(self, request: web.Request, received: Received) -> None:
        scheme, _, key = received.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise self.refuse("key_missing" if "key_missing" in self.problems else "key", key="")
        if key.strip() not in self.keys:
            raise self.refuse("key", key=key.strip()[:4] + "****")
        fault = self.script.fault(received.number)
        if fault is not None:
            await self.fail(fault, request, received)
        if self.concurrency and self._running > self.concurrency:
            raise self.refuse("concurrency", limit=self.concurrency)

    async def fail(self, fault: Fault, request: web.Request, received: Received) -> None:
        """Answer with a fault of the script."""
        await pass_by(fault.delay)
        if fault.drop:
            received.status = DROPPED
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("dropped by the script")
        if fault.html:
            text = BAD_GATEWAY.format(status=fault.status)
            raise _Ready(
                web.Response(status=fault.status, text=text, content_type="text/html"), fault.headers
            )
        if fault.body is not None:
            raise _Ready(web.json_response(fault.body, status=fault.status), fault.headers)
        problem = self.problem(fault)
        raise Refusal(problem, fault.headers)

    def problem(self, fault: Fault) -> Problem:
        """The problem a fault stands for."""
        figures = {"model": "this-model", "key": "****", "limit": 1, "prompt": 2, "requested": 2, "reply": 0}
        name = fault.kind or BY_STATUS.get(fault.status, "server")
        problem = self.problems[name].told(**figures)
        problem = problem if fault.kind and fault.status == 500 else problem._replace(status=fault.status)
        return problem._replace(message=fault.message) if fault.message else problem

    def _refused(self, refusal: Refusal, received: Received) -> web.Response:
        if isinstance(refusal, _Ready):
            response = refusal.response
        else:
            body = json.dumps(self.envelope(refusal.problem), ensure_ascii=False)
            response = web.Response(status=refusal.problem.status, text=body, content_type="application/json")
        response.headers.update({**self.headers(received), **refusal.headers})
        return response

    async def _nowhere(self, request: web.Request, received: Received) -> web.StreamResponse:
        raise self.refuse("path", method=request.method, path=request.path)

    async def _list_models(self, request: web.Request, received: Received) -> web.StreamResponse:
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": self.name} for name in self.known]
        return web.json_response({"object": "list", "data": rows}, headers=self.headers(received))

    # --------------------------------------------------------------------------------- the body

    def read(self, received: Received) -> dict[str, Any]:
        """The body, parsed; anything but an object is refused."""
        try:
            body = json.loads(received.raw)
        except ValueError:
            body = None
        if not isinstance(body, dict) or "json" not in received.headers.get("content-type", ""):
            raise self.refuse("json")
        received.body = body
        return body

    def model(self, name: object) -> Model:
        """The model asked for; an unknown one is refused."""
        if not isinstance(name, str) or name not in self.known:
            raise self.refuse("model", model=name)
        return self.known[name]

    def limited(self, name: str, **changes: Any) -> None:
        """Change what is known of a model while the simulator runs (a smaller window, say)."""
        self.known[name] = replace(self.known[name], **changes)


class _Ready(Refusal):
    """A response that is not written in the provider's envelope."""

    def __init__(self, response: web.Response, headers: Mapping[str, str]) -> None:
        super().__init__(Problem(response.status, ""), headers)
        self.response = response


@dataclass
class Stream:
    """Server-sent events on their way, cut into bytes as the script's wire says."""

    request: web.Request
    received: Received
    wire: Wire
    headers: Mapping[str, str]
    comment: str = ": keep-alive"
    response: web.StreamResponse = field(init=False)

    async def open(self) -> None:
        """Send the head, the comments and the first pause."""
        self.response = web.StreamResponse(
            headers={
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache",
                **self.headers,
            }
        )
        self.received.status = 200
        await self.response.prepare(self.request)
        for _ in range(self.wire.comments):
            await self._write(self.comment + self.wire.newline * 2)
        await asyncio.sleep(self.wire.first)

    async def data(self, value: object) -> None:
        """One event of data; JSON unless it is text."""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        await self.event(f"data: {text}")

    async def event(self, *lines: str) -> None:
        """One event of these lines."""
        if self.wire.chatty:
            await self._write(self.comment + self.wire.newline * 2)
        newline = self.wire.newline
        await self._write(newline.join(lines) + newline * 2)
        if self.wire.between:
            await asyncio.sleep(self.wire.between)

    async def _write(self, text: str) -> None:
        data = text.encode()
        step = self.wire.split or len(data)
        for start in range(0, len(data), step):
            await self.response.write(data[start : start + step])
            if self.wire.split:
                await asyncio.sleep(0)

    def break_off(self, how: str) -> None:
        """Break the connection: ``reset`` or ``close``."""
        transport = self.request.transport
        if transport is not None:
            transport.abort() if how == "reset" else transport.close()
