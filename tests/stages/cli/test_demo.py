"""``usam demo``: what it needs, where it listens, and who gets a token."""

import json
import socket
import subprocess
import sys
from importlib import util

import pytest
from typer.testing import CliRunner

from stages.cli import demo
from stages.cli.app import app
from stages.web.server import find_place

IMPORTED = """
import json, sys
import stages.cli.app, stages.cli.demo, stages.cli.predict
print(json.dumps([name for name in ("fastapi", "uvicorn", "starlette") if name in sys.modules]))
"""


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["demo", *arguments])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_without_its_extra_it_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        demo, "find_spec", lambda name: None if name == "uvicorn" else util.find_spec(name)
    )
    assert refused() == (
        "error: usam demo must have uvicorn, got none: pip install 'usam-cache[demo]'\n"
    )


def test_the_other_commands_do_not_need_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.listen()
        assert refused("--port", str(port)) == f"error: 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "huge"], "error: model must be one of tiny, small, base_plus, large, got "),
        (
            ["--heads", "none.safetensors"],
            "error: heads must be a file, got none at none.safetensors",
        ),
    ],
    ids=["model", "heads"],
)
def test_what_it_cannot_load_ends_it_at_once(arguments: list[str], words: str) -> None:
    assert words in refused("--port", "0", *arguments)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    place = find_place(host, 0)
    place.listener.close()
    assert place.token is None


def test_others_need_a_token_of_their_own_that_servers_do_not_see() -> None:
    places = [find_place("0.0.0.0", 0) for _ in range(2)]  # noqa: S104 - that others may reach
    first, second = (place.token or "" for place in places)
    assert first != second
    assert len(first) >= 20
    assert places[0].address.endswith(f"/#token={first}")
    for place in places:
        place.listener.close()
