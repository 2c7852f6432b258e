"""``usam demo``: what it needs, where it listens, and who gets a token."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from stages.cli.app import app
from stages.web.server import open_endpoint
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.mini import MODELS
from tests.fixtures.web_page import PATIENCE_S

HEADS = Path("checkpoints/heads/sam2.1.safetensors")
FETCH_WEIGHTS = "usam checkpoints fetch sam2.1 --model tiny"


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["demo", *arguments])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.listen()
        assert refused("--port", str(port)) == f"error: 127.0.0.1:{port}: Address already in use\n"


def test_an_unknown_family_is_named() -> None:
    assert refused("--family", "sam9", "--port", "0").startswith(
        "error: family must be one of mini, mini-photos, "
    )


def test_a_host_without_an_address_is_named() -> None:
    assert refused("--host", "no..host") == (
        "error: host must be a name or an address of this machine, got 'no..host'\n"
    )


@pytest.mark.parametrize(
    ("family", "there", "command"),
    [
        ("sam2.1", None, FETCH_WEIGHTS),
        ("sam2.1", HEADS, FETCH_WEIGHTS),
    ],
    ids=["nothing", "heads"],
)
def test_missing_weights_of_a_family_are_named_with_the_command_that_brings_them(
    family: str,
    there: Path | None,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if there:
        there.parent.mkdir(parents=True)
        there.touch()
    assert refused("--port", "0", "--family", family) == (
        f"error: the page must have weights of {family}, got none: run {command}\n"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    endpoint = open_endpoint(host, 0)
    endpoint.listener.close()
    assert endpoint.token is None


def test_others_need_a_token_of_their_own_that_servers_do_not_see() -> None:
    endpoints = [open_endpoint("0.0.0.0", 0) for _ in range(2)]  # noqa: S104 - that others may reach
    first, second = (endpoint.token or "" for endpoint in endpoints)
    assert first != second
    assert len(first) >= 20
    assert endpoints[0].address.endswith(f"/#token={first}")
    for endpoint in endpoints:
        endpoint.listener.close()


@pytest.mark.slow
def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stages.cli", "demo", "--port", "0"]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "loading tiny\n"
    address = re.findall(r"^open (http://127.0.0.1:\d+/), end", running.stdout.readline())[0]
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as client:
        assert client.get("/").text.startswith("<!DOCTYPE html>")
        assert client.get("/api/options").json()["heads"][0]["known"] == list(MODELS)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 128 + signal.SIGINT
    assert errors == "stopped by SIGINT: no image is kept\n"
    assert list(tmp_path.iterdir()) == []
