"""What can go wrong? Every error multiturn raises, as one tree.

    Error
    ├── ConfigurationInvalid            nothing was sent, nothing was stored
    │   ├── PolicyInvalid               a policy that cannot hold
    │   ├── SettingInvalid              a setting with an impossible value
    │   ├── ModelUnknown                no provider has this name
    │   ├── KeyMissing                  the provider's API key is not set
    │   ├── CountingUnavailable         nobody can count tokens for this model
    │   └── EmbeddingChanged            new vectors cannot be compared with those that are kept
    ├── InputInvalid                    the caller's message or parameter; nothing was stored
    │   ├── MessageInvalid
    │   ├── MessageEmpty
    │   ├── ParameterInvalid
    │   │   └── UserBound               it names a user whom the caller may not act for
    │   ├── ToolCallUnknown             a tool result without its call
    │   ├── ToolResultsIncomplete       some open calls got no result
    │   └── KeyReused                   a request key came back with another body
    ├── ContextOverflow                 what must be sent does not fit
    ├── ConversationError
    │   ├── ConversationNotFound
    │   ├── ConversationBusy            another turn is running
    │   ├── TurnNotFound
    │   ├── TurnExpired                 the lease on the turn was lost
    │   └── TurnClosed                  the turn is not in a state that allows this
    ├── StoreError
    │   ├── StoreBusy                   locked by another program
    │   ├── StoreFull                   disk full
    │   ├── StoreCorrupt                not a database, or a damaged one
    │   ├── StoreTooNew                 written by a newer multiturn
    │   └── StoreUnavailable            cannot be opened, read or written
    └── ProviderError                   the model's side; the user's message is kept
        ├── ProviderOverflow            the provider says: too long
        ├── ContentFiltered
        ├── KeyRefused                  401, 403
        ├── BillingRefused              no balance, no quota
        ├── ModelNotFound               404: unknown or retired
        ├── HistoryRefused              the provider dislikes the list of messages
        ├── RequestRefused              any other 4xx
        ├── RateLimited
        ├── ProviderOverloaded
        ├── ProviderFailed              5xx, or an answer nobody can read
        ├── ProviderTimeout
        ├── ProviderUnreachable         no connection
        └── StreamCut                   the answer ended before its end

Each class carries a stable ``code``; the docstring is the English sentence, filled with the figures
given when it is raised. ``phrases`` holds the Chinese twin of each sentence under the same code.
"""

from __future__ import annotations

from .error import Error
from .provider_errors import (
    BillingRefused,
    ContentFiltered,
    HistoryRefused,
    KeyRefused,
    ModelNotFound,
    ProviderError,
    ProviderFailed,
    ProviderOverflow,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    RequestRefused,
    StreamCut,
)

__all__ = [
    "BillingRefused",
    "ConfigurationInvalid",
    "ContentFiltered",
    "ContextOverflow",
    "ConversationBusy",
    "ConversationError",
    "ConversationNotFound",
    "CountingUnavailable",
    "EmbeddingChanged",
    "Error",
    "HistoryRefused",
    "InputInvalid",
    "KeyMissing",
    "KeyRefused",
    "KeyReused",
    "MessageEmpty",
    "MessageInvalid",
    "ModelNotFound",
    "ModelUnknown",
    "ParameterInvalid",
    "PolicyInvalid",
    "ProviderError",
    "ProviderFailed",
    "ProviderOverflow",
    "ProviderOverloaded",
    "ProviderTimeout",
    "ProviderUnreachable",
    "RateLimited",
    "RequestRefused",
    "SettingInvalid",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreTooNew",
    "StoreUnavailable",
    "StreamCut",
    "ToolCallUnknown",
    "ToolResultsIncomplete",
    "TurnClosed",
    "TurnExpired",
    "TurnNotFound",
    "UserBound",
]


# ------------------------------------------------------------------------------ configuration


class ConfigurationInvalid(Error):
    """The configuration cannot work: {detail}."""

    code = "configuration_invalid"


class PolicyInvalid(ConfigurationInvalid):
    """This policy cannot hold: {detail}. Nothing was sent or stored; change the policy."""

    code = "policy_invalid"


class SettingInvalid(ConfigurationInvalid):
    """The setting {name} is wrong: {detail}. `multiturn config` shows where each value comes from."""

    code = "setting_invalid"


class ModelUnknown(ConfigurationInvalid):
    """No provider is known for the model {model}. Name it as provider/model, for example
    qwen/qwen-plus; `multiturn models` lists what is known. Nothing was stored."""

    code = "model_unknown"


class KeyMissing(ConfigurationInvalid):
    """{provider} needs an API key: set {variable} in the environment, or use the model "demo",
    which needs none. Nothing was stored."""

    code = "key_missing"


class CountingUnavailable(ConfigurationInvalid):
    """{provider} has no endpoint that counts tokens. Ask one that has ({known}), or read the estimate:
    the tokens of `chat.window(text)`, which reported usage calibrates. Nothing was sent or stored."""

    code = "counting_unavailable"


class EmbeddingChanged(ConfigurationInvalid):
    """{model} now gives vectors of {found} numbers, and those that are kept have {stored}. They cannot be
    compared: recall goes by words until `multiturn db reembed` has made them anew."""

    code = "embedding_changed"


# -------------------------------------------------------------------------------------- input


class InputInvalid(Error):
    """The input cannot be used: {detail}. Nothing was stored; correct it and try again."""

    code = "input_invalid"


class MessageInvalid(InputInvalid):
    """This is not a message that can be kept: {detail}. Nothing was stored; correct it and send
    it again."""

    code = "message_invalid"


class MessageEmpty(InputInvalid):
    """The message is empty. Nothing was stored; write something, or attach an image or a file."""

    code = "message_empty"


class ParameterInvalid(InputInvalid):
    """The parameter {name} is wrong: {detail}. Nothing was stored; correct it and try again."""

    code = "parameter_invalid"


class UserBound(ParameterInvalid):
    """The parameter {name} names another user than the one for whom this client, or its key, is. Nothing was
    stored; leave it out, or name that user."""

    code = "user_bound"


class ToolCallUnknown(InputInvalid):
    """No open tool call has the id {call}. Open calls: {open}. Nothing was stored; answer those,
    or send text instead."""

    code = "tool_call_unknown"


class ToolResultsIncomplete(InputInvalid):
    """These tool calls got no result: {missing}. Nothing was stored; send the results of all open
    calls together."""

    code = "tool_results_incomplete"


class KeyReused(InputInvalid):
    """The request key {key} was used before with another input. Nothing was stored; use a new key
    for a new input."""

    code = "key_reused"


# ------------------------------------------------------------------------------------ context


class ContextOverflow(Error):
    """Nothing was sent: it would need {needed} tokens and {limit} are allowed. Instructions take
    {instructions}, tools and framing {tools}, the new input {input}; {reserve} more are kept free for
    the reply. Shorten the
    input or the instructions, raise the budget, or choose a model with a larger window."""

    code = "context_overflow"


# ------------------------------------------------------------------------------- conversation


class ConversationError(Error):
    """The conversation cannot do that: {detail}."""

    code = "conversation_error"


class ConversationNotFound(ConversationError):
    """There is no conversation {conversation} here, or it is another user's. `multiturn list` shows those
    there are."""

    code = "conversation_not_found"


class ConversationBusy(ConversationError):
    """Another turn of the conversation {conversation} was still running after {waited} seconds.
    Nothing was stored; send again when it has finished, or interrupt it."""

    code = "conversation_busy"
    retryable = True


class TurnNotFound(ConversationError):
    """There is no turn {wanted} in the conversation {conversation}. `multiturn show {conversation}`
    shows those there are."""

    code = "turn_not_found"


class TurnExpired(ConversationError):
    """This turn was no longer held: its time ran out or another process took over. What was
    stored before is kept, nothing was overwritten; send the input again."""

    code = "turn_expired"
    retryable = True


class TurnClosed(ConversationError):
    """The turn cannot do that now: {detail}."""

    code = "turn_closed"


# -------------------------------------------------------------------------------------- store


class StoreError(Error):
    """The store failed: {detail}."""

    code = "store_error"


class StoreBusy(StoreError):
    """The database {path} is locked by another program. Try again, or close that program."""

    code = "store_busy"
    retryable = True


class StoreFull(StoreError):
    """There is no room left to write {path}. Free some disk space and try again; what was stored
    can still be read."""

    code = "storage_full"
    retryable = True


class StoreCorrupt(StoreError):
    """The file {path} is not a readable database ({detail}). Restore it from a backup, or name
    another file; it was not changed."""

    code = "store_corrupt"


class StoreTooNew(StoreError):
    """The database {path} was written by a newer version (schema {found}, this program knows
    {known}). Upgrade multiturn, or name another file; it was not changed."""

    code = "store_too_new"


class StoreUnavailable(StoreError):
    """The database {path} cannot be used: {detail}."""

    code = "store_unavailable"
    retryable = True
