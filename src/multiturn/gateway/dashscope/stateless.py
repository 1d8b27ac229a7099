"""A generation that nobody remembers: handed on as it came where the provider speaks DashScope's protocol,
else put into our words and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson

from ...catalog import Card
from ...routing import Attempts
from ..completions.routed import attempts_of, one_after_another
from ..completions.stateless import answer_request, check_choices, translated
from ..gateway import Asker
from ..http.body import Body
from ..http.sse import Beside
from .frames import Native
from .relay import PassesNative, Relay

__all__ = ["Stateless"]


@dataclass(frozen=True, slots=True)
class Stateless:
    """One such request. ``fields`` are its body in our words, ``form`` is how the answer is written."""

    asker: Asker
    body: Body
    fields: Mapping[str, Any]
    form: Native

    async def answer(self, model: str, dropped: Sequence[str]) -> None:
        """Answer it, by a model or a route; ``dropped`` are the parameters that nobody understands."""
        told = {"x-multiturn-dropped": ", ".join(dropped)} if dropped else {}
        client = self.asker.client
        card = client.catalog.card(model)
        attempts = attempts_of(client, model, card, self.fields)
        if attempts is None:
            await self._ask(None, card, "", lambda: told)
        else:
            await one_after_another(attempts, partial(self._ask, attempts), lambda: told)

    async def _ask(self, attempts: Attempts | None, card: Card, key: str, beside: Beside) -> None:
        provider = self.asker.client.endpoints.provider(card, key)
        passes: PassesNative | None = getattr(provider, "passed_native", None)
        if passes is not None:
            await Relay(self.asker, self.body, self.form).answer(card, passes, beside)
            return
        check_choices(self.fields)
        request = translated(self.fields, orjson.dumps(self.fields["messages"]), card)
        if attempts is not None:
            request = replace(request, elsewhere=attempts.elsewhere)
        await answer_request(self.asker, provider, card, request, self.form, beside)
