"""Who may ask the page, and who is refused."""

from typing import Any

import pytest

from stages.web.security import refusal_of

TOKEN = "tried-and-true"  # noqa: S105


def scope(path: str = "/api/options", **headers: str) -> dict[str, Any]:
    told = {"host": "127.0.0.1:8765", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return {
        "type": "http",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in told.items()],
    }


def status(token: str | None = None, **asked: str) -> int:
    refusal = refusal_of(scope(**asked), token)
    return 200 if refusal is None else refusal[0]


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765"])
def test_this_machine_may_ask_by_its_own_names(host: str) -> None:
    assert status(host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "127.0.0.1.evil.example", "", "192.168.0.7", "[::1", "localhost."]
)
def test_a_name_that_is_given_this_address_is_refused(host: str) -> None:
    assert status(host=host) == 421
    assert status(path="/", host=host) == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"origin": "http://["},
    ],
    ids=str,
)
@pytest.mark.parametrize("token", [None, TOKEN])
def test_another_web_page_is_refused(headers: dict[str, str], token: str | None) -> None:
    assert status(token, authorization=f"Bearer {TOKEN}", **headers) == 403


def test_the_page_itself_may_ask() -> None:
    assert status(origin="http://127.0.0.1:8765") == 200


def test_with_a_token_any_name_will_do_and_no_question_without_it() -> None:
    assert status(TOKEN, host="lab.example:8765", authorization=f"Bearer {TOKEN}") == 200
    assert status(TOKEN, host="lab.example:8765", path="/") == 200  # has nothing of anybody's
    for given in ("", "Bearer ", "Bearer wrong", "Bearer ümlaut"):
        assert status(TOKEN, authorization=given) == 401
