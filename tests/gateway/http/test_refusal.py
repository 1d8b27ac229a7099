"""Which status, which words, which advice to repeat does each error get?"""

from __future__ import annotations

import json
import re

import pytest

from multiturn import errors
from multiturn.errors import (
    BillingRefused,
    ConfigurationInvalid,
    ContentFiltered,
    ContextOverflow,
    ConversationBusy,
    ConversationError,
    ConversationNotFound,
    Error,
    InputInvalid,
    KeyMissing,
    KeyRefused,
    KeyReused,
    ModelNotFound,
    ModelUnknown,
    ParameterInvalid,
    ProviderError,
    ProviderFailed,
    ProviderOverflow,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    RequestRefused,
    SettingInvalid,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
    StreamCut,
    TurnClosed,
    TurnExpired,
    TurnNotFound,
)
from multiturn.gateway.http.refusal import Refusal, Said, refused, said_of
from multiturn.phrases import Reason, error_sentence

SECRET = "xyzzy-told-to-nobody"
INVALID, FAILED, RATE = "invalid_request_error", "server_error", "rate_limit_error"
TURN = {"wanted": SECRET, "conversation": SECRET}
CASES: list[tuple[Error, int, str, str | None, str, str | None]] = [
    (ConversationNotFound(conversation=SECRET), 404, INVALID, "conversation", "conversation_not_found", None),
    (TurnNotFound(**TURN), 404, INVALID, None, "turn_not_found", None),
    (
        ConversationBusy(conversation=SECRET, waited=3),
        400,
        INVALID,
        "conversation",
        "conversation_locked",
        "true",
    ),
    (KeyReused(key=SECRET), 422, INVALID, None, "key_reused", None),
    (TurnExpired(), 409, INVALID, None, "turn_expired", "true"),
    (TurnClosed(SECRET), 409, INVALID, None, "turn_closed", "false"),
    (ConversationError(SECRET), 404, INVALID, None, "conversation_error", None),
    (
        ContextOverflow(needed=9, limit=5, instructions=1, tools=1, input=7, reserve=2),
        400,
        INVALID,
        "messages",
        "context_length_exceeded",
        None,
    ),
    (ModelUnknown(model=SECRET), 404, INVALID, "model", "model_not_found", None),
    (KeyMissing(provider="kimi", variable="MOONSHOT_API_KEY"), 404, INVALID, "model", "key_missing", None),
    (SettingInvalid(SECRET, name="store"), 400, INVALID, "model", "setting_invalid", None),
    (ConfigurationInvalid(SECRET), 400, INVALID, None, "configuration_invalid", None),
    (InputInvalid(SECRET), 400, INVALID, "messages", "input_invalid", None),
    (ParameterInvalid(SECRET, name="top_p"), 400, INVALID, "top_p", "parameter_invalid", None),
    (StoreFull(path=SECRET), 507, FAILED, None, "storage_full", "true"),
    (StoreBusy(path=SECRET), 503, FAILED, None, "store_busy", "true"),
    (StoreCorrupt(SECRET, path=SECRET), 503, FAILED, None, "store_corrupt", "false"),
    (RateLimited(), 429, RATE, None, "rate_limit_exceeded", "true"),
    (ProviderTimeout(), 504, FAILED, None, "provider_timeout", "true"),
    (ModelNotFound(), 404, INVALID, "model", "model_not_found", None),
    (ProviderOverflow(), 400, INVALID, "messages", "context_length_exceeded", None),
    (KeyRefused(status=401), 502, FAILED, None, "key_refused", "false"),
    (BillingRefused(status=402), 502, FAILED, None, "billing_refused", "false"),
    (ContentFiltered(status=400), 400, INVALID, None, "content_filtered", None),
    (RequestRefused(status=422, provider_code="odd"), 422, INVALID, None, "odd", None),
    (RequestRefused(status=302), 502, FAILED, None, "request_refused", "false"),
    (ProviderFailed(status=599), 599, FAILED, None, "provider_failed", "true"),
    (ProviderFailed(status=600), 502, FAILED, None, "provider_failed", "true"),
    (ProviderFailed(status=500), 500, FAILED, None, "provider_failed", "true"),
    (ProviderUnreachable(), 502, FAILED, None, "provider_unreachable", "true"),
    (StreamCut(status=400), 400, INVALID, None, "stream_cut", None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
def test_an_error_has_its_status_and_its_advice(
    case: tuple[Error, int, str, str | None, str, str | None],
) -> None:
    error, status, kind, param, code, again = case
    said = said_of(error)
    assert (said.status, said.type, said.param, said.code) == (status, kind, param, code)
    assert said.headers.get("x-should-retry") == again
    assert SECRET not in said.body.decode()


@pytest.mark.parametrize("name", [each for each in errors.__all__ if each != "Error"])
def test_every_error_of_ours_is_told_in_both_languages(name: str) -> None:
    kind = getattr(errors, name)
    figures = {each: 1 for each in re.findall(r"{(\w+)}", kind.sentence()) if each != "detail"}
    given = {} if issubclass(kind, ProviderError) else figures
    english, chinese = (said_of(kind(**given), language).message for language in ("en", "zh"))
    assert english.isascii()
    assert re.search("[\u4e00-\u9fff]", chinese)


def test_what_a_client_reads_names_what_it_can_do_and_no_gaps() -> None:
    missing = KeyMissing(provider="kimi", variable="MOONSHOT_API_KEY")
    assert "set MOONSHOT_API_KEY where the gateway runs" in said_of(missing).message
    for error in (
        missing,
        StoreFull(path=SECRET),
        StoreBusy(path=SECRET),
        StoreCorrupt(SECRET, path=SECRET),
        StoreTooNew(path=SECRET, found=12, known=11),
        StoreUnavailable(SECRET, path=SECRET),
        ConversationBusy(conversation=SECRET, waited=3),
        KeyReused(key=SECRET),
    ):
        for language in ("en", "zh"):
            assert "…" not in said_of(error, language).message


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "kind",
    [each for each in ProviderError.__subclasses__() if "kept" in each.sentence()],
    ids=lambda kind: kind.code,
)
def test_only_what_has_a_turn_is_said_to_be_kept(kind: type[ProviderError], language: str) -> None:
    passed, kept = kind(), kind(turn="turn_1")
    stored = re.compile("kept|已保存|已收到")
    assert not stored.search(said_of(passed, language).message)
    assert said_of(kept, language).message == error_sentence(kept, language)


def test_who_asks_to_be_asked_later_is_handed_on() -> None:
    said = said_of(RateLimited(status=429, retry_after=2.5))
    assert (said.headers["retry-after-ms"], said.headers["retry-after"]) == ("2500", "2")
    assert said_of(ProviderFailed(status=503, retry_after=0.25)).headers["retry-after"] == "1"
    for error in (RateLimited(status=429), RateLimited(status=429, retry_after=0.0)):
        assert said_of(error).headers == {"x-should-retry": "true"}


def test_who_was_asked_often_enough_is_not_to_be_asked_again() -> None:
    error = ProviderFailed(status=503)
    error.final = True
    assert said_of(error).headers["x-should-retry"] == "false"


def test_figures_of_ours_are_told_and_words_of_the_client_are_not() -> None:
    reason = Reason("why.too_long", length=900, longest=512)
    assert "900" in said_of(ParameterInvalid(reason, name="key")).message
    hidden = said_of(ParameterInvalid(SECRET, name="key")).message
    assert (SECRET in hidden, "key" in hidden, "…" in hidden) == (False, True, True)
    assert "…" not in said_of(ParameterInvalid("", name="key")).message


def test_who_asks_over_http_is_not_told_of_commands() -> None:
    for error in (
        ConversationNotFound(conversation=SECRET),
        TurnNotFound(**TURN),
        ModelUnknown(model=SECRET),
    ):
        assert "`multiturn" in str(error)
        assert "`multiturn" not in said_of(error).message


def test_what_a_provider_says_is_handed_on() -> None:
    assert "no such thing" in said_of(RequestRefused("no such thing", provider="qwen", status=400)).message


def test_what_is_no_error_of_ours_is_told_in_the_language_that_is_wanted() -> None:
    for error in (Refusal(404, "unknown_url"), ZeroDivisionError()):
        assert said_of(error, "en").message.isascii()
        assert not said_of(error, "zh").message.isascii()


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal(400, "not_an_object"), INVALID),
        (Refusal(503, "stopping"), FAILED),
        (Refusal(429, "insufficient_quota"), "insufficient_quota"),
        (Refusal(429, "rate_limit_exceeded", limit=3), RATE),
    ],
)
def test_a_refusal_is_of_openais_kinds(refusal: Refusal, kind: str) -> None:
    assert said_of(refusal).type == kind


def test_the_envelope_holds_all_that_is_known() -> None:
    answer = refused(Refusal(405, "method_not_allowed", param="x", headers={"allow": "POST"}, known="POST"))
    error = json.loads(bytes(answer.body))["error"]
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/json"
    assert error == {
        "message": "This address answers only POST.",
        "type": INVALID,
        "param": "x",
        "code": "method_not_allowed",
    }
    assert (
        Said(500, "m", "t", None, None).body
        == b'{"error":{"message":"m","type":"t","param":null,"code":null}}'
    )
