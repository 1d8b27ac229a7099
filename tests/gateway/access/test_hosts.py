"""Which names may a request call the gateway by?"""

from __future__ import annotations

import pytest

from multiturn.gateway.access.hosts import Hosts
from multiturn.gateway.http.refusal import Refusal


def admits(hosts: Hosts, path: str = "/v1/models", **headers: str) -> bool:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    try:
        hosts.check({"type": "http", "path": path, "headers": raw})
    except Refusal:
        return False
    return True


HERE = Hosts("127.0.0.1")
PUBLIC = Hosts("0.0.0.0", ["Chat.example.com"])


@pytest.mark.parametrize("host", ["localhost", "localhost:8484", "127.0.0.1", "127.8.8.8:1", "[::1]:8484"])
def test_this_machine_is_known_by_its_own_names(host: str) -> None:
    assert admits(HERE, host=host)
    assert admits(PUBLIC, host=host)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "[", "", "chat.example.com.evil"])
def test_other_names_are_foreign(host: str) -> None:
    assert not admits(HERE, host=host)
    assert not admits(PUBLIC, host=host)
    assert admits(PUBLIC, "/healthz", host=host)


def test_addresses_are_names_only_where_others_can_reach_it() -> None:
    assert not admits(HERE, host="192.0.2.1:8484")
    assert admits(PUBLIC, host="192.0.2.1:8484")
    assert admits(PUBLIC, host="[2001:db8::1]:8484")


def test_a_name_that_was_allowed_is_ours_in_any_case() -> None:
    assert admits(PUBLIC, host="CHAT.example.com:443", origin="https://chat.example.com")
    assert admits(Hosts("localhost", ["chat.example.com"]), host="chat.example.com")
    assert not admits(HERE, host="chat.example.com")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://192.0.2.9", "file://"])
def test_a_foreign_page_is_refused(origin: str) -> None:
    assert not admits(PUBLIC, host="chat.example.com", origin=origin)
    assert not admits(PUBLIC, "/healthz", host="chat.example.com", origin=origin)
    assert not admits(HERE, host="localhost", origin=origin)


def test_our_own_page_may_ask() -> None:
    assert admits(PUBLIC, host="192.0.2.1:8484", origin="http://192.0.2.1:8484")
    assert admits(HERE, host="localhost:8484", origin="http://127.0.0.1:8484")


@pytest.mark.parametrize("bound", ["127.0.0.1", "::1", "localhost"])
def test_what_leads_to_this_machine_only_is_not_public(bound: str) -> None:
    assert not Hosts(bound).public
    assert not Hosts(bound, ["localhost"]).public
    assert Hosts(bound, ["chat.example.com"]).public  # a proxy in front of it has this name


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "192.0.2.1", "chat.example.com"])
def test_what_others_can_reach_is_public(bound: str) -> None:
    assert Hosts(bound).public


def test_a_page_under_our_name_may_ask_through_a_proxy_that_calls_us_by_another() -> None:
    assert admits(PUBLIC, host="127.0.0.1:8484", origin="https://chat.example.com")
    assert not admits(HERE, host="127.0.0.1:8484", origin="https://chat.example.com")
