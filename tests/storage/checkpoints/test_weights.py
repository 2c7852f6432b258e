"""Weights: the tables hold what they should, and no file is used that is not the listed one."""

import csv
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.sam.families import FAMILIES, models_of
from stages.cli.app import app
from stages.settings.blocks import ExtractParams
from stages.settings.parsing import parse
from storage.checkpoints import weights
from storage.errors import WeightsError
from tests.fixtures.file_server import file_server
from tests.fixtures.signatures import EXTRACT

CONTENT = b"weights of the tiny model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = Path("checkpoints/sam2.1/tiny.pt")
COLUMNS = ("model", "config", "file", "bytes", "sha256", "folder")


@pytest.fixture
def _small_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty repository whose ``sam2.1`` table lists one small file."""
    tables = tmp_path / "tables"
    tables.mkdir()
    with (tables / "sam2.1.csv").open("w", newline="") as table:
        lines = csv.writer(table)
        lines.writerow(COLUMNS)
        lines.writerow(("tiny", "tiny.yaml", "tiny.pt", len(CONTENT), SHA256, "092824"))
    monkeypatch.setattr(weights, "TABLES", tables)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """URL of a server on this machine, and the file that it serves as the tiny model."""
    served = tmp_path / "served" / "092824" / "tiny.pt"
    served.parent.mkdir(parents=True)
    served.write_bytes(CONTENT)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with file_server(tmp_path / "served") as url:
        monkeypatch.setattr(weights, "META_URL", url)
        yield url, served


def put(content: bytes) -> None:
    FILE.parent.mkdir(parents=True)
    FILE.write_bytes(content)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_table_lists_every_model_and_nothing_else(family: str) -> None:
    with (weights.TABLES / f"{family}.csv").open(newline="") as table:
        lines = list(csv.DictReader(table))
    assert tuple(line["model"] for line in lines) == models_of(family)
    assert all(tuple(line) == COLUMNS for line in lines)
    for model in models_of(family):
        record = weights.checkpoint(family, model)
        assert (record.family, record.model) == (family, model)
        assert record.sha256 is None or re.fullmatch("[0-9a-f]{64}", record.sha256)


@pytest.mark.parametrize("family", ["sam2", "sam2.1"])
def test_downloaded_families_have_all_that_a_download_and_a_build_need(family: str) -> None:
    records = weights.checkpoints(family)
    assert all(record.sha256 and record.folder for record in records)
    assert len({r.sha256 for r in records}) == len({r.config for r in records}) == len(records)
    spec = find_spec("sam2")  # found, not imported: that takes seconds
    assert spec is not None
    assert spec.origin is not None
    for record in records:
        assert record.config == FAMILIES[family].models[record.model]
        assert (Path(spec.origin).parent / record.config).is_file()


@pytest.mark.usefixtures("_small_table", "server")
@pytest.mark.parametrize("before", [None, CONTENT[1:]], ids=["missing", "damaged"])
def test_the_command_that_an_error_about_weights_names_brings_them(before: bytes | None) -> None:
    fault = f"{FILE} must exist, got no file"
    if before is not None:
        put(before)
        fault = f"{FILE} must have sha256 {SHA256}, got {hashlib.sha256(before).hexdigest()}"
    assert weights.state(weights.checkpoint("sam2.1", "tiny")) == (
        "damaged" if before else "missing"
    )
    with pytest.raises(WeightsError) as caught:
        weights.verified_weights("sam2.1", "tiny")
    said, _, command = str(caught.value).partition(": run usam ")
    assert (said, command) == (fault, "checkpoints fetch sam2.1 --model tiny")
    assert CliRunner().invoke(app, command.split()).exit_code == 0
    assert weights.verified_weights("sam2.1", "tiny") == (FILE, SHA256)
    assert [path.name for path in FILE.parent.iterdir()] == [FILE.name]
    assert FILE.stat().st_mode & 0o777 == 0o644, "others read it, too"


def mini_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sha256: str) -> Path:
    """Table of ``mini`` with one model; the place of its weights."""
    line = f"tiny,,tiny.safetensors,{len(CONTENT)},{sha256},\n"
    (tmp_path / "mini.csv").write_text(",".join(COLUMNS) + "\n" + line)
    monkeypatch.setattr(weights, "TABLES", tmp_path)
    path = tmp_path / "mini_weights" / "tiny.safetensors"
    path.parent.mkdir(parents=True)
    return path


def test_without_trained_weights_the_message_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini_table(tmp_path, monkeypatch, sha256="").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match=r"extract\.weights to ") as caught:
        weights.verified_weights("mini", "tiny")
    setting = str(caught.value).rpartition(" ")[2]
    parse("extract", EXTRACT | {"weights": setting}, ExtractParams)
    assert weights.state(weights.checkpoint("mini", "tiny")) == "unlisted"


def test_the_command_that_an_error_about_weights_of_a_clone_names_restores_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mini_table(tmp_path, monkeypatch, sha256=SHA256)
    path.write_bytes(CONTENT)
    git = "git", "-C", str(tmp_path), "-c", "user.name=ann", "-c", "user.email=ann"
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "weights")):
        subprocess.run([*git, *words], check=True)
    path.write_bytes(CONTENT[1:])
    with pytest.raises(WeightsError, match=": run git -C ") as caught:
        weights.verified_weights("mini", "tiny")
    command = str(caught.value).rpartition(": run ")[2]
    subprocess.run(command.split(), check=True, capture_output=True)
    assert weights.verified_weights("mini", "tiny") == (path, SHA256)
    monkeypatch.setattr("storage.paths.PACKAGE", tmp_path / "installed" / "storage")
    path.write_bytes(CONTENT[1:])
    with pytest.raises(WeightsError, match=r"install usam-cache again, with pip's .* --force-re"):
        weights.verified_weights("mini", "tiny")


@pytest.mark.usefixtures("_small_table")
def test_intact_weights_are_neither_downloaded_again_nor_touched(
    server: tuple[str, Path],
) -> None:
    _, served = server
    put(CONTENT)
    FILE.chmod(0o440)
    served.unlink()
    assert weights.fetch(weights.checkpoint("sam2.1", "tiny")) == FILE
    assert FILE.stat().st_mode & 0o777 == 0o440


@pytest.mark.usefixtures("_small_table")
def test_another_file_on_the_server_is_refused_and_leaves_nothing(
    server: tuple[str, Path],
) -> None:
    url, served = server
    served.write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match=SHA256) as caught:
        weights.fetch(weights.checkpoint("sam2.1", "tiny"))
    assert f"{url}/092824/tiny.pt must download to {FILE}" in str(caught.value)
    assert str(caught.value).endswith(
        "bring the file from elsewhere as tiny.pt into checkpoints/sam2.1"
    )
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in str(caught.value)
    assert list(FILE.parent.iterdir()) == []
    served.unlink()
    with pytest.raises(WeightsError, match=r"/092824/tiny\.pt must download to .*404"):
        weights.fetch(weights.checkpoint("sam2.1", "tiny"))
    Path("checkpoints/sam2.1/tiny.pt").write_bytes(CONTENT)  # as the message says
    assert weights.verified_weights("sam2.1", "tiny") == (FILE, SHA256)


def test_models_are_there_whose_weights_are_in_their_place_or_in_hugging_face_s_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert weights.models_there("mini") == models_of("mini")
    assert weights.models_there("sam2.1") == ()
    blob = tmp_path / "hub/models--a/blobs" / str(weights.checkpoint("sam2.1", "large").sha256)
    small = weights.checkpoint("sam2.1", "small").path
    for path in (blob, small):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    assert weights.models_there("sam2.1") == ("small", "large")


@pytest.mark.usefixtures("_small_table")
@pytest.mark.parametrize(
    ("changes", "cache"),
    [
        ({}, "home/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "$SCRATCH/a"}, "scratch/a/huggingface/hub"),
        ({"XDG_CACHE_HOME": "~/a", "HF_HOME": "~/b"}, "home/b/hub"),
        ({"HF_HOME": "~/a", "HUGGINGFACE_HUB_CACHE": "$SCRATCH/b"}, "scratch/b"),
        ({"HUGGINGFACE_HUB_CACHE": "~/a", "HF_HUB_CACHE": "$SCRATCH/b"}, "scratch/b"),
    ],
)
def test_weights_that_hugging_face_s_library_has_downloaded_are_found_by_their_digest(
    changes: dict[str, str], cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    hub = tmp_path / cache
    where = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    assert subprocess.check_output([sys.executable, "-c", where], text=True) == f"{hub}\n"
    blob = hub / "models--facebook--sam2.1-hiera-tiny" / "blobs" / SHA256
    with pytest.raises(WeightsError, match="must exist, got no file"):
        weights.verified_weights("sam2.1", "tiny")
    blob.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    assert weights.verified_weights("sam2.1", "tiny") == (blob, SHA256)
    blob.write_bytes(CONTENT[1:])
    with pytest.raises(WeightsError, match=f"{SHA256} must have sha256 {SHA256}, got "):
        weights.verified_weights("sam2.1", "tiny")
    put(CONTENT)
    assert weights.verified_weights("sam2.1", "tiny") == (FILE, SHA256)


def test_embedded_weights_are_not_fetched() -> None:
    message = f"'mini': its weights are kept as {weights.checkpoint('mini', 'tiny').path}"
    with pytest.raises(WeightsError, match=re.escape(message)):
        weights.fetch(weights.checkpoint("mini", "tiny"))
