"""The async API: one client, many conversations."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

from .asking import check_metadata, check_seconds, check_whole, listed
from .catalog import Catalog
from .chat import AsyncConversation
from .config import Config
from .conversations import Conversation, Declared, Hit, Owner, new_ulid
from .credentials import choose_model
from .dossier import dossier
from .endpoints import Endpoints
from .errors import InputInvalid, ParameterInvalid, UserBound
from .indexing import Indexer
from .known import Acquaintance
from .loading import load as load_file
from .memory import message_of, spending
from .messages import Trait
from .phrases import Reason, system_reason
from .policy import ContextPolicy
from .providers import Provider
from .sealing import encoded, seal
from .settings import load
from .storage import Grouping, Store, open_store
from .summary import Compactor
from .terms import Engine, Spare
from .tokens import count_message
from .usage import Spending

__all__ = ["LONGEST_NAME", "AsyncMultiTurn", "By"]

By = Grouping
LONGEST_NAME = 512
"""Characters in the name of a conversation, a user or a memory."""


class AsyncMultiTurn:
    """Conversations that remember, on any stateless chat API.

    ``model`` is ``provider/model`` for conversations that name none; ``store`` a URL
    (``sqlite:///chats.db``, ``:memory:``) or a store of your own; ``policy`` what is kept where a
    conversation has no policy of its own; ``tenant`` separates whole applications. ``api_key`` and
    ``base_url`` are for that one model's provider; by default both come from the environment. What is
    not given comes from `multiturn.settings`. Nothing is opened before first use.

    ``provider`` answers instead of the model's own: in tests, a
    `multiturn.providers.scripted.ScriptedProvider`.

    >>> async def main():
    ...     async with AsyncMultiTurn(model="demo", store=":memory:") as client:
    ...         chat = client.conversation()
    ...         await chat.send("我今年 27 岁。")
    ...         return (await chat.send("我几岁？")).text
    """

    def __init__(
        self,
        model: str | None = None,
        store: str | Store | None = None,
        policy: ContextPolicy | None = None,
        *,
        tenant: str = "",
        user: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        provider: Provider | None = None,
        config: Config | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = os.environ if environment is None else environment
        given: dict[str, object] = {"model": model, "policy": policy, "user": user}
        if isinstance(store, str):
            given["store"] = store
        self.config = config = _stated(config, given) if config else load(given, self._environment)
        self._tenant = tenant
        self._bound: str | None = None
        self.reach = Owner(tenant, None)  # whose conversations are there at all: an attribute, for the doors
        self._catalog = Catalog(config.overrides)
        self._declared = Declared(model=model, policy=None if policy is None else _policy(policy).to_dict())
        self._model = config.model or choose_model(config, self._catalog.profiles(), self._environment)
        self._catalog.card(self._model)
        self._store = open_store(config.store) if store is None or isinstance(store, str) else store
        self.endpoints = Endpoints(  # an attribute, for the doors above: the blocking twin has no use for it
            self._catalog, config, self._environment, self._store, self._model, api_key, base_url, provider
        )
        self._indexer = Indexer(self.endpoints.embedder)
        self.spare: Spare | None = None  # likewise
        self._engine = self.engine = self._made_engine()  # likewise
        self.loading = asyncio.Lock()  # likewise: one file is taken in at a time
        self._acquaintance = Acquaintance()
        self._compactor: Compactor | None = None

    def _made_engine(self) -> Engine:
        endpoints, timing = self.endpoints, self.config.timing
        return Engine(
            store=self._store,
            catalog=self._catalog,
            provider=endpoints.provider,
            model=self._model,
            policy=self.config.policy,
            lease=timing.lease,
            renew=timing.renew,
            queue=timing.queue,
            prepare=timing.prepare,
            keep_reasoning=self.config.keep_reasoning,
            wake=self._wake,
            spare=self._spare,
            index=self._indexer.wake,
            embedder=endpoints.embedder,
            counter=endpoints.counter,
            counting=endpoints.counting,
            routing=endpoints.routing,
        )

    @property
    def model(self) -> str:
        """The model of conversations that name none."""
        return self._model

    @property
    def tenant(self) -> str:
        """The tenant whose conversations this client sees."""
        return self._tenant

    @property
    def catalog(self) -> Catalog:
        """What is known of each model, the operator's overrides included."""
        return self._catalog

    def within(self, tenant: str, *, user: str | None = None) -> AsyncMultiTurn:
        """The same client for another tenant: same store, providers and settings, other conversations.
        With ``user`` it is bound to that user: what belongs to others is not there, and naming somebody
        else raises `UserBound`. It costs next to nothing; closing it closes nothing.

        >>> AsyncMultiTurn(model="demo", store=":memory:").within("shop", user="ada").config.user
        'ada'
        """
        return _View(self, tenant, user)

    # -- conversations

    def conversation(
        self,
        id: str | None = None,
        *,
        user: str | None = None,
        system: str | Sequence[object] | None = None,
        opening: str | None = None,
        policy: ContextPolicy | None = None,
        model: str | None = None,
        memory: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_after: float | None = None,
    ) -> AsyncConversation:
        """A handle of a conversation, made on first use; no ``id`` makes a new one.

        ``system`` are the instructions; ``opening`` is what the assistant says before the user's first
        word; ``policy`` and ``model`` are this conversation's own. What differs from what is stored
        applies from the next turn. ``memory`` names a memory shared with other conversations of the
        same user. ``metadata`` and ``expires_after`` are what a conversation begins with that is made now
        (see `AsyncConversation.update`). Raises `ModelUnknown`, `PolicyInvalid` or `ParameterInvalid`.
        """
        for name, value in (("id", id), ("user", user), ("memory", memory)):
            _check_text(name, value, LONGEST_NAME)
        _check_text("opening", opening)
        _check_text("model", model)
        if id is not None and not id.strip():
            raise ParameterInvalid(Reason("why.id_empty"), name="id")
        if model is not None:
            self._catalog.card(model)
        declared = Declared(
            instructions=None if system is None else _instructions(system),
            opening=opening,
            policy=self._declared.policy if policy is None else _policy(policy).to_dict(),
            model=self._declared.model if model is None else model,
            memory=memory,
            metadata=check_metadata(metadata),
            expires_after=check_seconds(
                "expires_after", self._lasting() if expires_after is None else expires_after
            ),
        )
        owner = self._owner(user)
        if id is None:
            return AsyncConversation(self._engine, f"conv_{new_ulid()}", owner, declared)
        known = self._acquaintance.of(owner, id, declared)
        return AsyncConversation(self._engine, id, owner, declared, known=known)

    async def conversations(
        self,
        *,
        user: str | None = None,
        everybody: bool = False,
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
        oldest: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> list[Conversation]:
        """Conversations of a user (by default the client's), or of ``everybody``, most recently used
        first, or with ``oldest`` least recently; at most ``limit``, those used before the one with the id
        ``before`` and after the one with the id ``after``, that are noted with all of ``metadata``."""
        _check_limit(limit)
        owner, noted = self._owner(user, everybody=everybody), check_metadata(metadata) or {}
        return list(
            await self._store.conversations(
                owner, limit=limit, before=before, after=after, oldest=oldest, metadata=noted
            )
        )

    async def sweep(self) -> int:
        """Remove the conversations of all tenants whose time is over (see `conversation`); how many there
        were. They are not to be seen anyhow; `multiturn serve` does it from time to time."""
        swept = 0
        while found := await self._store.sweep():
            swept += found
        return swept

    async def search(
        self, text: str, *, user: str | None = None, everybody: bool = False, limit: int = 20
    ) -> list[Hit]:
        """Messages of a user's conversations (by default the client's), or of ``everybody``'s, that
        contain ``text``, newest first, at most ``limit``."""
        _check_limit(limit)
        if not text or not isinstance(text, str):
            raise ParameterInvalid(Reason("why.search_empty"), name="text")
        needle = encoded(text)[1:-1].decode()
        hits = await self._store.search(self._owner(user, everybody=everybody), needle, limit=limit)
        return [Hit(hit.conversation, message_of(hit.told), hit.told.row.turn) for hit in hits]

    async def usage(
        self,
        *,
        by: By | Sequence[By] = "all",
        user: str | None = None,
        conversation: str | None = None,
    ) -> list[Spending]:
        """Tokens and cost, one entry a group: by day, model, user, conversation or tag (what conversations
        are noted with under that name, see `conversation`), or all together; by a list of these, a group is
        the JSON list of its values. They are those of everybody, since they are the client's bill; ``user``
        names one, ``conversation`` one of theirs."""
        owner = self._owner(user, everybody=user is None)
        wanted = list(by) if isinstance(by, list | tuple) else [by]
        if not wanted or not all(each in get_args(By) for each in wanted):
            known = ", ".join(get_args(By))
            raise ParameterInvalid(Reason("why.not_among", known=known, value=f"{by!r:.40}"), name="by")
        groups: dict[str, list[Spending]] = {}
        for row in await self._store.usage(owner, conversation=conversation, by=by):
            groups.setdefault(row.group, []).append(spending(row))
        return [Spending.total(group, parts) for group, parts in groups.items()]

    async def load(self, path: str | os.PathLike[str], *, user: str | None = None) -> list[AsyncConversation]:
        """Import a file that `AsyncConversation.export` or `export_user` wrote, or a JSON list of messages;
        gives the conversations. What is stored already, by its ids, is not stored again. Raises
        `InputInvalid` where the file cannot be read or is something else, or where a conversation of its
        id is there and has gone another way; then nothing was stored."""
        file = Path(path)
        try:
            text = await asyncio.to_thread(file.read_bytes)
        except OSError as error:
            reason = Reason("why.file_unreadable", file=file, problem=system_reason(error))
            raise InputInvalid(reason) from error
        return await load_file(self._store, text, file.stem, self.conversation, self.loading, user)

    async def export_user(self, user: str) -> str:
        """Everything that is stored of a user, as JSON lines: what was said and told, how it was asked for
        and what it took. The answer to a request for their data."""
        return await dossier(self._store, self._owner(user))

    async def delete_user(self, user: str) -> int:
        """Remove all conversations of a user; how many there were."""
        return await self._store.delete_user(self._owner(user))

    # -- life

    def _wake(self, owner: Owner, conversation: str) -> None:
        """A summary is due: it is written beside the turns."""
        if self._compactor is None:
            self._compactor = Compactor(self._engine)
        self._compactor.wake(owner, conversation)

    def _spare(self, tenant: str, wanted: Spending) -> AbstractAsyncContextManager[bool]:
        return nullcontext(enter_result=True) if self.spare is None else self.spare(tenant, wanted)

    async def close(self) -> None:
        """Finish what is being written, summaries for up to 10 seconds, and let go of everything. Safe to
        call twice."""
        if self._compactor is not None:
            await self._compactor.drain()
        await self._indexer.drain()
        await self.endpoints.close()
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _lasting(self) -> object:
        """For how long conversations of the tenant are kept where nobody says so."""
        chosen = self.config.tenants.get(self._tenant, {})
        return chosen.get("expires_after", self.config.expires_after)

    def _owner(self, user: str | None, *, everybody: bool = False) -> Owner:
        if everybody and user is not None:
            raise ParameterInvalid(Reason("why.user_and_everybody"), name="everybody")
        if everybody:
            return Owner(self._tenant, self._bound)
        if user is not None and self._bound not in (None, user):
            raise UserBound(name="user")
        return Owner(self._tenant, self.config.user if user is None else user)


class _View(AsyncMultiTurn):
    """Another tenant, or one user, through a client that is there."""

    def __init__(self, whole: AsyncMultiTurn, tenant: str, user: str | None) -> None:
        vars(self).update(vars(whole))
        self._tenant, self._bound, self.reach = tenant, user, Owner(tenant, user)
        if user is not None:
            self.config = replace(whole.config, user=user)

    async def close(self) -> None:
        """A view holds nothing."""


def _stated(config: Config, arguments: Mapping[str, Any]) -> Config:
    """A whole configuration, with the arguments that were given beside it."""
    return replace(config, **{name: value for name, value in arguments.items() if value is not None})


def _check_limit(limit: object) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ParameterInvalid(Reason("why.not_number", least=1, value=f"{limit!r:.60}"), name="limit")


def _check_text(name: str, value: object, longest: int | None = None) -> None:
    """Names and openings are text that can be stored."""
    if value is None:
        return
    if not isinstance(value, str):
        raise ParameterInvalid(Reason("why.not_text", value=f"{value!r:.60}"), name=name)
    if longest is not None and len(value) > longest:
        raise ParameterInvalid(Reason("why.too_long", length=len(value), longest=longest), name=name)
    check_whole(name, value)


def _policy(policy: ContextPolicy) -> ContextPolicy:
    if not isinstance(policy, ContextPolicy):
        raise ParameterInvalid(Reason("why.not_policy", value=f"{policy!r:.60}"), name="policy")
    return policy


def _instructions(system: str | Sequence[object]) -> tuple[bytes, ...]:
    """Instructions as wire JSON: text is one system message, a blank text none at all."""
    if isinstance(system, str):
        return (encoded(_instruction(system)),) if system.strip() else ()
    entries = [seal(_instruction(each), count_message) for each in listed("system", system)]
    if not all(entry.traits & Trait.INSTRUCTION for entry in entries):
        raise ParameterInvalid(Reason("why.not_instructions"), name="system")
    return tuple(entry.body for entry in entries if not entry.traits & Trait.BARE)


def _instruction(message: object) -> object:
    return {"role": "system", "content": message} if isinstance(message, str) else message
