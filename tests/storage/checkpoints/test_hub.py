"""Weights of Hugging Face: fetched by its own library from a server of this machine, and kept."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from pipeline.sam.families import FAMILIES
from storage.checkpoints import weights
from storage.errors import WeightsError

CONTENT: Final = b"weights of sam3" * 1000
SHA256: Final = hashlib.sha256(CONTENT).hexdigest()
REVISION: Final = "0123456789abcdef0123456789abcdef01234567"
FILE: Final = Path("checkpoints/sam3/model.safetensors")
DIGEST: Final = Path("checkpoints/sam3/model.safetensors.sha256")
ADDRESS: Final = "/facebook/sam3/resolve/main/model.safetensors"


TOKEN: Final = "hf_of_these_tests"  # noqa: S105 - of no account


class Repository(BaseHTTPRequestHandler):
    """Answers as Hugging Face does for a large file, to all or to those who send the token."""

    def __init__(self, *args: object, is_open: bool) -> None:
        self.is_open = is_open
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Do nothing."""

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        if self.path == "/api/whoami-v2":
            user = {"name": "ann", "auth": {"accessToken": {"displayName": "a", "role": "read"}}}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(user).encode())
        elif self._head():
            self.wfile.write(CONTENT)

    def _head(self) -> bool:
        is_let_in = self.is_open or self.headers["Authorization"] == f"Bearer {TOKEN}"
        is_there = is_let_in and self.path == ADDRESS
        self.send_response(200 if is_there else 401)
        if is_there:
            self.send_header("ETag", f'"{SHA256}"')
            self.send_header("X-Repo-Commit", REVISION)
        else:
            self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("Content-Length", str(len(CONTENT) if is_there else 0))
        self.end_headers()
        return is_there


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache of Hugging Face's library, empty like the working folder; no sha256 is listed."""
    cache = tmp_path / "hub"
    put_tables(tmp_path, "", monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return cache


@pytest.fixture(params=[True])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of Hugging Face, which is on this machine."""
    handler = partial(Repository, is_open=request.param)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        address = f"http://127.0.0.1:{http.server_port}"
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield address
        http.shutdown()
        thread.join()


def put_tables(folder: Path, sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables as they are, but for a sha256 in them."""
    for family in ("edgetam", "sam3"):
        text = (Path(weights.__file__).parent / f"{family}.csv").read_text("utf-8")
        (folder / f"{family}.csv").write_text(re.sub("[0-9a-f]{64}", sha256, text), "utf-8")
    monkeypatch.setattr(weights, "TABLES", folder)


def put_in_cache(hub: Path, content: bytes = CONTENT, revision: str = REVISION) -> Path:
    """A file that someone else's program has downloaded."""
    folder, sha256 = hub / "models--facebook--sam3", hashlib.sha256(content).hexdigest()
    blob, name = folder / "blobs" / sha256, folder / "snapshots" / revision / FILE.name
    for path in (blob, name, folder / "refs" / "main"):
        path.parent.mkdir(parents=True)
    blob.write_bytes(content)
    name.symlink_to(blob)
    (folder / "refs" / "main").write_text(revision)
    return blob


@pytest.mark.usefixtures("server")
def test_fetched_weights_stay_in_the_cache_and_their_digest_is_recorded() -> None:
    path = weights.fetch(weights.checkpoint("sam3", "large"))
    assert path.read_bytes() == CONTENT
    assert DIGEST.read_text() == f"{SHA256}\n"
    assert weights.verified_weights("sam3", "large") == (path, SHA256)
    assert weights.models_there("sam3") == ("large",)
    assert weights.state(weights.checkpoint("sam3", "large")) == "intact"


@pytest.mark.parametrize("server", [False], indirect=True)
def test_a_closed_repository_names_its_licence_and_the_login_that_opens_it(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(WeightsError) as caught:
        weights.fetch(weights.checkpoint("sam3", "large"))
    said = str(caught.value)
    assert said.startswith("facebook/sam3 must let you in to its model.safetensors, got no access")
    assert FAMILIES["sam3"].licence in said
    login = said.rpartition(", run `")[2].removesuffix("` and then this again")
    environment = os.environ | {"HF_ENDPOINT": server, "HF_HOME": str(tmp_path)}
    command = [str(Path(sys.executable).with_name("hf")), *login.split()[1:], "--token", TOKEN]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert weights.fetch(weights.checkpoint("sam3", "large")).read_bytes() == CONTENT


def test_a_cached_snapshot_will_do(hub: Path) -> None:
    blob = put_in_cache(hub)
    path, sha256 = weights.verified_weights("sam3", "large")
    assert (path.resolve(), sha256, DIGEST.read_text()) == (blob, SHA256, f"{SHA256}\n")


def test_a_file_in_its_folder_will_do_and_no_other_after_it() -> None:
    FILE.parent.mkdir(parents=True)
    FILE.write_bytes(CONTENT)
    assert weights.fetch(weights.checkpoint("sam3", "large")) == FILE
    FILE.write_bytes(CONTENT[1:])
    assert weights.state(weights.checkpoint("sam3", "large")) == "damaged"
    with pytest.raises(WeightsError, match=f"must have sha256 {SHA256}, got .* or remove {DIGEST}"):
        weights.verified_weights("sam3", "large")
    DIGEST.unlink()
    assert weights.verified_weights("sam3", "large")[0] == FILE


@pytest.mark.usefixtures("server")
def test_weights_of_another_revision_in_the_cache_are_not_those_that_are_listed(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_tables(tmp_path, SHA256, monkeypatch)
    put_in_cache(hub, b"of another day", revision=REVISION[::-1])
    assert weights.state(weights.checkpoint("sam3", "large")) == "damaged"
    path = weights.fetch(weights.checkpoint("sam3", "large"))
    assert path.read_bytes() == CONTENT
    assert not DIGEST.exists(), "it is listed"


@pytest.mark.usefixtures("server")
def test_a_damaged_file_in_the_cache_is_fetched_anew_and_a_file_that_is_not_listed_is_named(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_tables(tmp_path, SHA256, monkeypatch)
    put_in_cache(hub).write_bytes(CONTENT[1:])
    with pytest.raises(WeightsError, match="run usam checkpoints fetch sam3 --model large"):
        weights.verified_weights("sam3", "large")
    assert weights.fetch(weights.checkpoint("sam3", "large")).read_bytes() == CONTENT
    listed = hashlib.sha256(b"listed").hexdigest()
    put_tables(tmp_path, listed, monkeypatch)
    with pytest.raises(WeightsError, match=f"{listed}, got another .*elsewhere as model.safetens"):
        weights.fetch(weights.checkpoint("sam3", "large"))
    FILE.parent.mkdir(parents=True)
    FILE.write_bytes(b"listed")
    assert weights.fetch(weights.checkpoint("sam3", "large")) == FILE


def test_a_digest_that_came_by_git_is_that_of_weights_that_are_not_there() -> None:
    DIGEST.parent.mkdir(parents=True)
    DIGEST.write_text(f"{SHA256}\n")
    assert weights.checkpoint("sam3", "large").sha256 == SHA256
    with pytest.raises(WeightsError, match="run usam checkpoints fetch sam3 --model large"):
        weights.verified_weights("sam3", "large")


def test_without_a_network_the_file_and_its_folder_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("An error happened.\nDetails")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refused)  # it would try for a minute
    with pytest.raises(WeightsError, match=r"An error .*\.safetensors into checkpoints/edgetam$"):
        weights.fetch(weights.checkpoint("edgetam", "tiny"))
