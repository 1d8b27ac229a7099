"""What can go wrong on the model's side? The user's message is kept in each case (see `multiturn.errors`)."""

from __future__ import annotations

from .error import Error

__all__ = [
    "BillingRefused",
    "ContentFiltered",
    "HistoryRefused",
    "KeyRefused",
    "ModelNotFound",
    "ProviderError",
    "ProviderFailed",
    "ProviderOverflow",
    "ProviderOverloaded",
    "ProviderTimeout",
    "ProviderUnreachable",
    "RateLimited",
    "RequestRefused",
    "StreamCut",
]


class ProviderError(Error):
    """{provider} refused or failed ({detail})."""

    code = "provider_error"
    final = False
    """Whether it was asked as often as may be: whoever asks again at once only adds to the trouble."""

    def __init__(
        self,
        detail: str = "",
        *,
        provider: str = "",
        status: int | None = None,
        provider_code: str | None = None,
        retry_after: float | None = None,
        turn: str | None = None,
        **figures: object,
    ) -> None:
        self.provider = provider
        self.status = status
        """HTTP status of the answer, if there was one."""
        self.provider_code = provider_code
        """The provider's own code, unchanged."""
        self.retry_after = retry_after
        """Seconds the provider asked us to wait."""
        super().__init__(
            detail, turn=turn, provider=provider, status=status, provider_code=provider_code, **figures
        )


class ProviderOverflow(ProviderError):
    """{provider} says the request is too long ({detail}). The message is kept; lower the budget or
    choose a model with a larger window."""

    code = "provider_overflow"

    limit: int | None = None
    """The true limit in tokens, where the provider's text names it."""


class ContentFiltered(ProviderError):
    """{provider} refused the content ({detail}). The message is kept; change the wording and send
    again."""

    code = "content_filtered"


class KeyRefused(ProviderError):
    """{provider} refused the API key ({detail}). Check the key, its region and its rights."""

    code = "key_refused"


class BillingRefused(ProviderError):
    """{provider} refused for billing reasons ({detail}). Top up the account or raise its quota."""

    code = "billing_refused"


class ModelNotFound(ProviderError):
    """{provider} does not know this model or no longer offers it ({detail}). Choose another model;
    the conversation goes on with it."""

    code = "model_not_found"


class HistoryRefused(ProviderError):
    """{provider} refused the list of messages ({detail}). The message is kept; this is a fault
    worth reporting."""

    code = "history_refused"


class RequestRefused(ProviderError):
    """{provider} refused the request ({detail}). Check the parameters named there."""

    code = "request_refused"


class RateLimited(ProviderError):
    """{provider} limits the rate ({detail}). The message is kept; wait and retry."""

    code = "rate_limited"
    retryable = True


class ProviderOverloaded(ProviderError):
    """{provider} is overloaded ({detail}). The message is kept; wait and retry."""

    code = "provider_overloaded"
    retryable = True


class ProviderFailed(ProviderError):
    """{provider} failed ({detail}). The message is kept; retry."""

    code = "provider_failed"
    retryable = True


class ProviderTimeout(ProviderError):
    """{provider} did not answer in time ({detail}). The message is kept; retry."""

    code = "provider_timeout"
    retryable = True


class ProviderUnreachable(ProviderError):
    """{provider} cannot be reached ({detail}). Check the network and the base URL; the message is
    kept, retry."""

    code = "provider_unreachable"
    retryable = True


class StreamCut(ProviderError):
    """The answer of {provider} was cut off ({detail}). What arrived is kept and marked; retry."""

    code = "stream_cut"
    retryable = True
