"""multiturn: memory for stateless chat APIs.

>>> from multiturn import MultiTurn
>>> with MultiTurn(model="demo", store=":memory:") as client:
...     chat = client.conversation()
...     _ = chat.send("I am 27 years old.")
...     "27" in chat.send("How old am I?").text
True
"""

from .catalog import Card, Catalog
from .chat import AsyncConversation
from .client import AsyncMultiTurn
from .conversations import Branch, Conversation, Hit, Summary, Turn, TurnState
from .errors import (
    BillingRefused,
    ConfigurationInvalid,
    ContentFiltered,
    ContextOverflow,
    ConversationBusy,
    ConversationError,
    ConversationNotFound,
    CountingUnavailable,
    EmbeddingChanged,
    Error,
    HistoryRefused,
    InputInvalid,
    KeyMissing,
    KeyRefused,
    KeyReused,
    MessageEmpty,
    MessageInvalid,
    ModelNotFound,
    ModelUnknown,
    ParameterInvalid,
    PolicyInvalid,
    ProviderError,
    ProviderFailed,
    ProviderOverflow,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    RequestRefused,
    SettingInvalid,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
    StreamCut,
    ToolCallUnknown,
    ToolResultsIncomplete,
    TurnClosed,
    TurnExpired,
    TurnNotFound,
)
from .fit import fit
from .ledger import Code, Decision, Ledger
from .messages import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from .policy import ContextPolicy, Recall, Summarize
from .reply import Delta, Reply
from .stream import AsyncPreparedTurn, AsyncStream
from .sync.chat import BlockingConversation
from .sync.client import MultiTurn
from .sync.stream import PreparedTurn, Stream
from .usage import Cost, Price, Spending, Usage
from .window import Window

__version__ = "0.1.0"

__all__ = [
    "AsyncConversation",
    "AsyncMultiTurn",
    "AsyncPreparedTurn",
    "AsyncStream",
    "Audio",
    "BillingRefused",
    "BlockingConversation",
    "Branch",
    "Card",
    "Catalog",
    "Code",
    "ConfigurationInvalid",
    "ContentFiltered",
    "ContextOverflow",
    "ContextPolicy",
    "Conversation",
    "ConversationBusy",
    "ConversationError",
    "ConversationNotFound",
    "Cost",
    "CountingUnavailable",
    "Decision",
    "Delta",
    "EmbeddingChanged",
    "Error",
    "File",
    "HistoryRefused",
    "Hit",
    "Image",
    "InputInvalid",
    "KeyMissing",
    "KeyRefused",
    "KeyReused",
    "Ledger",
    "Message",
    "MessageEmpty",
    "MessageInvalid",
    "ModelNotFound",
    "ModelUnknown",
    "MultiTurn",
    "Opaque",
    "ParameterInvalid",
    "PolicyInvalid",
    "PreparedTurn",
    "Price",
    "ProviderError",
    "ProviderFailed",
    "ProviderOverflow",
    "ProviderOverloaded",
    "ProviderTimeout",
    "ProviderUnreachable",
    "RateLimited",
    "Reasoning",
    "Recall",
    "Reply",
    "RequestRefused",
    "SettingInvalid",
    "Spending",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreTooNew",
    "StoreUnavailable",
    "Stream",
    "StreamCut",
    "Summarize",
    "Summary",
    "Text",
    "ToolCall",
    "ToolCallUnknown",
    "ToolResult",
    "ToolResultsIncomplete",
    "Turn",
    "TurnClosed",
    "TurnExpired",
    "TurnNotFound",
    "TurnState",
    "Usage",
    "Video",
    "Window",
    "fit",
]
