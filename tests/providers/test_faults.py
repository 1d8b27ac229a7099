"""Every complaint of every provider becomes the error it means."""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.catalog import Catalog
from multiturn.errors import (
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
    RateLimited,
    RequestRefused,
)
from multiturn.phrases import error_sentence
from multiturn.providers.faults import Faults


def faults(provider: str) -> Faults:
    return Faults(provider, Catalog().profile(provider).codes, ("sk-secret-key-of-mine",))


def openai(message: str, type: str | None = None, code: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def native(code: str, message: str = "something") -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": "r-1"}


def glm(code: str, message: str = "something") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


Case = tuple[str, int, Any, type[ProviderError]]

DASHSCOPE_CODES: list[tuple[int, str, type[ProviderError]]] = [
    (400, "InvalidParameter", RequestRefused),
    (400, "InternalError.Algo.InvalidParameter", RequestRefused),
    (400, "DataInspectionFailed", ContentFiltered),
    (400, "InternalError.Algo.DataInspectionFailed", ContentFiltered),
    (400, "Arrearage", BillingRefused),
    (401, "InvalidApiKey", KeyRefused),
    (403, "AccessDenied", KeyRefused),
    (403, "AccessDenied.Unpurchased", KeyRefused),
    (403, "Model.AccessDenied", KeyRefused),
    (403, "Workspace.AccessDenied", KeyRefused),
    (403, "AllocationQuota.FreeTierOnly", BillingRefused),
    (404, "ModelNotFound", ModelNotFound),
    (429, "Throttling", RateLimited),
    (429, "Throttling.RateQuota", RateLimited),
    (429, "Throttling.BurstRate", RateLimited),
    (429, "Throttling.AllocationQuota", RateLimited),
    (429, "CommodityNotPurchased", BillingRefused),
    (429, "PrepaidBillOverdue", BillingRefused),
    (429, "PostpaidBillOverdue", BillingRefused),
    (500, "InternalError", ProviderFailed),
    (500, "InternalError.Algo", ProviderFailed),
    (500, "SystemError", ProviderFailed),
    (500, "ModelServiceFailed", ProviderFailed),
    (500, "RequestTimeOut", ProviderTimeout),
    (500, "InternalError.Timeout", ProviderTimeout),
    (503, "ModelServingError", ProviderOverloaded),
    (503, "ModelUnavailable", ProviderOverloaded),
]

QWEN_CODES: list[tuple[int, str, type[ProviderError]]] = [
    (400, "invalid_parameter_error", RequestRefused),
    (400, "data_inspection_failed", ContentFiltered),
    (401, "invalid_api_key", KeyRefused),
    (404, "model_not_found", ModelNotFound),
    (404, "model_not_supported", ModelNotFound),
    (429, "limit_requests", RateLimited),
    (429, "limit_burst_rate", RateLimited),
    (429, "insufficient_quota", RateLimited),
    (500, "internal_error", ProviderFailed),
]

KIMI_TYPES: list[tuple[int, str, str, type[ProviderError]]] = [
    (400, "content_filter", "high risk", ContentFiltered),
    (400, "invalid_request_error", "Input token length too long", ProviderOverflow),
    (400, "invalid_request_error", "Invalid request: tool_call_id  is not found", HistoryRefused),
    (400, "invalid_request_error", "text content is empty", HistoryRefused),
    (
        400,
        "invalid_request_error",
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
        HistoryRefused,
    ),
    (400, "invalid_request_error", "invalid temperature: only 1 is allowed for this model", RequestRefused),
    (401, "invalid_authentication_error", "Invalid Authentication", KeyRefused),
    (401, "incorrect_api_key_error", "Incorrect API key provided", KeyRefused),
    (403, "permission_denied_error", "The API you are accessing is not open", KeyRefused),
    (404, "resource_not_found_error", "Not found the model X or Permission denied", ModelNotFound),
    (429, "engine_overloaded_error", "The engine is currently overloaded", ProviderOverloaded),
    (429, "rate_limit_reached_error", "max RPM: 3, please try again after 1 seconds", RateLimited),
    (429, "rate_limit_reached_error", "reached max organization TPD rate limit", BillingRefused),
    (429, "exceeded_current_quota_error", "check your plan", BillingRefused),
    (500, "server_error", "oops", ProviderFailed),
]

GLM_CODES: list[tuple[int, str, type[ProviderError]]] = [
    (401, "1000", KeyRefused),
    (401, "1004", KeyRefused),
    (401, "1100", KeyRefused),
    (429, "1110", BillingRefused),
    (429, "1113", BillingRefused),
    (429, "1121", BillingRefused),
    (500, "1200", ProviderFailed),
    (500, "1230", ProviderFailed),
    (500, "1234", ProviderFailed),
    (200, "500", ProviderFailed),
    (400, "1210", RequestRefused),
    (400, "1211", ModelNotFound),
    (400, "1214", RequestRefused),
    (403, "1220", KeyRefused),
    (400, "1261", ProviderOverflow),
    (400, "1300", ContentFiltered),
    (400, "1301", ContentFiltered),
    (429, "1302", RateLimited),
    (429, "1303", RateLimited),
    (429, "1305", ProviderOverloaded),
    (429, "1304", BillingRefused),
    (429, "1308", BillingRefused),
]

ARK_CODES: list[tuple[int, str, type[ProviderError]]] = [
    (400, "MissingParameter.messages", RequestRefused),
    (400, "InvalidParameter.temperature", RequestRefused),
    (400, "SensitiveContentDetected.Violence", ContentFiltered),
    (400, "InputTextSensitiveContentDetected", ContentFiltered),
    (400, "InputImageSensitiveContentDetected", ContentFiltered),
    (400, "OutofContextError", ProviderOverflow),
    (401, "AuthenticationError", KeyRefused),
    (403, "AccountOverdueError", BillingRefused),
    (403, "AccessDenied", KeyRefused),
    (404, "InvalidEndpointOrModel.NotFound", ModelNotFound),
    (404, "InvalidEndpointOrModel.ModelIDAccessDisabled", ModelNotFound),
    (429, "RateLimitExceeded.EndpointRPMExceeded", RateLimited),
    (429, "RateLimitExceeded.EndpointTPMExceeded", RateLimited),
    (429, "QuotaExceeded", BillingRefused),
    (429, "ServerOverloaded", ProviderOverloaded),
    (500, "InternalServiceError", ProviderFailed),
]

OTHERS: list[Case] = [
    ("openai", 400, openai("too long", "invalid_request_error", "context_length_exceeded"), ProviderOverflow),
    ("openai", 400, openai("Your input exceeds the context window of this model"), ProviderOverflow),
    ("openai", 401, openai("no", "invalid_request_error", "invalid_api_key"), KeyRefused),
    ("openai", 404, openai("no such model", "invalid_request_error", "model_not_found"), ModelNotFound),
    ("openai", 429, openai("slow down", "requests", "rate_limit_exceeded"), RateLimited),
    ("openai", 429, openai("you exceeded", "insufficient_quota", "insufficient_quota"), BillingRefused),
    ("openai", 500, openai("oops", "server_error"), ProviderFailed),
    (
        "openai",
        400,
        openai("messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."),
        HistoryRefused,
    ),
    (
        "openai",
        400,
        openai(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: call_1"
        ),
        HistoryRefused,
    ),
    (
        "deepseek",
        400,
        openai(
            "The reasoning_content in the thinking mode must be passed back to the API.",
            "invalid_request_error",
            "invalid_request_error",
        ),
        HistoryRefused,
    ),
    ("deepseek", 402, openai("Insufficient Balance", "unknown_error"), BillingRefused),
    ("deepseek", 422, openai("bad", "invalid_request_error"), RequestRefused),
    ("deepseek", 503, openai("busy"), ProviderOverloaded),
    ("stepfun", 400, {"error": {"message": "bad", "type": "request_params_invalid"}}, RequestRefused),
    ("stepfun", 402, {"error": {"message": "balance", "type": "x"}}, BillingRefused),
    ("siliconflow", 400, {"code": 20012, "message": "Model does not exist.", "data": None}, ModelNotFound),
    ("siliconflow", 401, "Invalid token", KeyRefused),
    ("siliconflow", 429, {"message": "Request was rejected due to rate limiting: TPM"}, RateLimited),
    ("siliconflow", 429, {"message": "Request was rejected due to rate limiting: RPD"}, BillingRefused),
    ("qwen", 400, openai("<400> InternalError.Algo.DataInspectionFailed: no", code="x"), ContentFiltered),
    (
        "qwen",
        400,
        openai("Role must be user or assistant and Content length must be greater than 0", code="y"),
        HistoryRefused,
    ),
    ("qwen", 400, openai("The content field is a required field."), HistoryRefused),
    ("qwen", 400, openai("[] is too short - 'messages'"), HistoryRefused),
    ("qwen", 400, openai("input content must be a string."), HistoryRefused),
    ("qwen", 500, openai("list index out of range", code="internal_error"), HistoryRefused),
    (
        "qwen",
        400,
        openai("The input messages do not contain elements with the role of user"),
        HistoryRefused,
    ),
    ("qwen", 429, openai("Free allocated quota exceeded.", code="insufficient_quota"), BillingRefused),
    ("dashscope", 400, native("InvalidParameter", "url error, please check url!"), RequestRefused),
    ("dashscope", 400, native("X", "Total message token length exceed model limit"), ProviderOverflow),
    ("ark", 400, openai("Total tokens of image and text exceed max message tokens"), ProviderOverflow),
    ("glm", 400, glm("", "Prompt too long"), ProviderOverflow),
    ("deepseek", 401, openai("x", "authentication_error", "invalid_request_error"), KeyRefused),
    (
        "deepseek",
        404,
        openai("Model Not Exist", "invalid_request_error", "invalid_request_error"),
        ModelNotFound,
    ),
    (
        "siliconflow",
        400,
        {"code": 20015, "message": "length of prompt_tokens (9) must be less than max_seq_len (5)."},
        ProviderOverflow,
    ),
    ("zhizengzeng", 400, openai("Input data may contain inappropriate content."), ContentFiltered),
    ("compatible", 413, "", ProviderOverflow),
    ("compatible", 408, "", ProviderTimeout),
    ("compatible", 409, "", RequestRefused),
    ("compatible", 418, {"detail": [{"loc": ["body"], "msg": "bad"}]}, RequestRefused),
    ("compatible", 502, {}, ProviderFailed),
    ("compatible", 504, {}, ProviderTimeout),
    ("compatible", 529, {}, ProviderOverloaded),
    ("compatible", 302, "", RequestRefused),
    ("compatible", 404, {"detail": "model gone"}, ModelNotFound),
    ("compatible", 400, [{"error": {"code": 429, "message": "RESOURCE"}}], RequestRefused),
]

CASES: list[Case] = [
    *(("dashscope", status, native(code), kind) for status, code, kind in DASHSCOPE_CODES),
    *(("qwen", status, openai("x", code, code), kind) for status, code, kind in QWEN_CODES),
    *(
        ("kimi", status, {"error": {"type": name, "message": text}}, kind)
        for status, name, text, kind in KIMI_TYPES
    ),
    *(("glm", status, glm(code), kind) for status, code, kind in GLM_CODES),
    *(("ark", status, openai("x", "y", code), kind) for status, code, kind in ARK_CODES),
    *OTHERS,
]


@pytest.mark.parametrize(("provider", "status", "body", "kind"), CASES)
def test_the_class_of_a_complaint(provider: str, status: int, body: Any, kind: type[ProviderError]) -> None:
    error = faults(provider).answered(status, orjson.dumps(body))
    assert type(error) is kind
    assert error.provider == provider
    assert error.status == (500 if status == 200 else status)


def test_the_providers_code_is_kept() -> None:
    assert faults("glm").answered(400, orjson.dumps(glm("1261"))).provider_code == "1261"
    assert (
        faults("dashscope").reported(native("Throttling.RateQuota")).provider_code == "Throttling.RateQuota"
    )
    assert faults("kimi").reported({"error": {"type": "content_filter"}}).provider_code == "content_filter"
    assert faults("siliconflow").reported({"code": 20012, "message": "x"}).provider_code == "20012"
    assert faults("openai").reported({"error": "words only"}).provider_code is None


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]", 129_024),
        ("Your request exceeded model token limit: 262144 (requested: 291351)", 262_144),
        ("This model's maximum context length is 8192 tokens. However, you requested 9000 tokens", 8192),
        ("prompt is too long: 208310 tokens > 200000 maximum", 200_000),
        ("Input token length too long", None),
    ],
)
def test_an_overflow_teaches_the_limit(text: str, limit: int | None) -> None:
    error = faults("compatible").answered(400, orjson.dumps(openai(text)))
    assert isinstance(error, ProviderOverflow)
    assert error.limit == limit


# ---------------------------------------------------------------------------------------- waiting


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, None),
    ],
)
def test_the_headers_say_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert faults("openai").answered(429, b"{}", headers).retry_after == seconds


def test_a_date_to_wait_for() -> None:
    headers = {"retry-after": email.utils.formatdate(time.time() + 100, usegmt=True)}
    wait = faults("openai").answered(503, b"{}", headers).retry_after
    assert wait is not None
    assert 90 < wait <= 100


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("request reached max organization concurrency: 1, please try again after 1 seconds", 1),
        ("Rate limit reached. Please try again in 20s.", 20),
        ("Please try again in 6ms.", 0.006),
        ("Please try again in 2 minutes", 120),
        ("Please try again later", None),
    ],
)
def test_the_text_says_how_long_to_wait(text: str, seconds: float | None) -> None:
    error = faults("kimi").answered(429, orjson.dumps({"error": {"type": "x", "message": text}}))
    assert error.retry_after == seconds


def test_the_header_wins_over_the_text() -> None:
    body = orjson.dumps({"error": {"message": "try again after 9 seconds"}})
    assert faults("kimi").answered(429, body, {"retry-after": "2"}).retry_after == 2


def test_a_wait_in_another_kind_of_error_means_nothing() -> None:
    assert faults("kimi").answered(401, b'"try again after 9 seconds"').retry_after is None


def test_a_burst_is_marked() -> None:
    assert faults("qwen").reported(openai("x", code="limit_burst_rate")).figures["burst"] is True
    assert faults("qwen").reported(openai("x", code="limit_requests")).figures["burst"] is False


# ------------------------------------------------------------------------------- odd bodies


def test_a_page_of_html() -> None:
    page = b"<html>\n<head><title>502 Bad\nGateway</title></head><body>x</body></html>"
    error = faults("zhizengzeng").answered(502, page)
    assert type(error) is ProviderFailed
    assert "an HTML page: 502 Bad Gateway" in str(error)
    assert "HTTP 502：一个 HTML 页面：502 Bad Gateway" in error_sentence(error, "zh")
    assert type(faults("zhizengzeng").answered(200, page)) is ProviderFailed
    assert "an HTML page)" in str(faults("zhizengzeng").answered(200, b"<html></html>"))


def test_plain_text_and_bare_json_text() -> None:
    assert "upstream is down" in str(faults("zhizengzeng").answered(502, b"upstream is down"))
    assert "Invalid token" in str(faults("siliconflow").answered(401, b'"Invalid token"'))
    assert "no such user" in str(faults("siliconflow").reported({"error": "no such user"}))
    assert "no reason given" in str(faults("siliconflow").reported(None))


def test_a_complaint_in_a_list() -> None:
    body = b'[{"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}]'
    error = faults("compatible").answered(404, body)
    assert type(error) is ModelNotFound
    assert "HTTP 404, 404: no such model" in str(error)


def test_a_native_code_before_the_text_says_what_it_is() -> None:
    body = openai("<400> Arrearage: Access denied, check your account.")
    assert type(faults("dashscope").answered(400, orjson.dumps(body))) is BillingRefused


def test_a_body_nested_too_deeply() -> None:
    error = faults("siliconflow").answered(400, b"[" * 200_000)
    assert type(error) is RequestRefused
    assert "[[[" in str(error), "what it says can still be seen"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, KeyRefused), (408, ProviderTimeout), (413, ProviderOverflow), (524, ProviderTimeout)],
)
def test_a_status_by_itself_says_what_it_is(status: int, kind: type[ProviderError]) -> None:
    assert type(faults("compatible").answered(status, b"no")) is kind


def test_a_404_that_is_no_json_is_a_wrong_address() -> None:
    assert type(faults("compatible").answered(404, b"404: Not Found")) is RequestRefused


def test_an_error_in_the_frame_of_an_event() -> None:
    body = b'id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"DataInspectionFailed","message":"no"}\n\n'
    error = faults("dashscope").answered(400, body)
    assert (type(error), error.provider_code) == (ContentFiltered, "DataInspectionFailed")


def test_a_code_that_is_a_status() -> None:
    error = faults("compatible").reported({"error": {"code": 429, "message": "slow"}})
    assert (type(error), error.status) == (RateLimited, 429)


def test_an_unknown_complaint_without_a_status_may_be_retried() -> None:
    assert type(faults("compatible").reported({"error": {"message": "?"}})) is ProviderFailed


@pytest.mark.parametrize("code", [0, "0", "", None, 200, "200"])
def test_a_code_that_says_all_is_well(code: object) -> None:
    assert faults("zhizengzeng").found({"code": code, "msg": "", "choices": []}) is None


@pytest.mark.parametrize("body", [{"code": 1, "msg": "no"}, {"code": "X"}, {"error": {"message": "no"}}])
def test_an_error_with_status_200(body: dict[str, Any]) -> None:
    assert isinstance(faults("zhizengzeng").found(body), ProviderError)


# --------------------------------------------------------------------------------------- secrets


def test_keys_are_never_echoed() -> None:
    body = openai("Incorrect API key provided: sk-secret-key-of-mine, or sk-ab***xyz; Bearer abc.def.ghi")
    for text in (str(faults("openai").answered(401, orjson.dumps(body))), repr(faults("openai"))):
        assert "secret" not in text
        assert "xyz" not in text
        assert "abc.def" not in text


def test_a_key_of_another_shape_is_not_echoed_either() -> None:
    error = Faults("glm", {}, ("id.topsecret",)).answered(401, b"the key id.topsecret is wrong")
    assert "topsecret" not in str(error)


def test_a_long_text_is_clipped() -> None:
    assert len(str(faults("openai").reported(openai("x" * 100_000)))) < 700


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "code", "type", "message", "msg", "detail", "x"]), inner)
    ),
    max_leaves=10,
)


@given(JSON, st.integers(300, 599))
def test_no_body_is_too_odd(value: Any, status: int) -> None:
    error = faults("glm").answered(status, json.dumps(value).encode())
    assert isinstance(error, ProviderError)
    str(error).encode()


@given(st.binary(max_size=60), st.integers(200, 599))
def test_no_bytes_are_too_odd(body: bytes, status: int) -> None:
    error = faults("kimi").answered(status, body)
    assert isinstance(error, ProviderError)
    str(error).encode()
