"""``usam checkpoints``: what it prints, downloads and refuses."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.sam.families import FAMILIES, NAMES, models_of
from stages.cli.checkpoints import DownloadBar, app
from storage.checkpoints import weights
from tests.fixtures.mini import MODELS


def usam_checkpoints(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def _empty_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models that were asked for, in order; nothing is downloaded."""
    models: list[str] = []

    def fetch(record: weights.Checkpoint, *, progressbar: DownloadBar) -> Path:
        progressbar.total = 1
        models.append(record.model)
        return record.path

    monkeypatch.setattr(weights, "fetch", fetch)
    return models


def put(family: str, model: str) -> None:
    path = weights.checkpoint(family, model).path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not the listed file")


def test_fetch_takes_all_models_by_default(fetched: list[str]) -> None:
    result = usam_checkpoints("fetch", "sam2.1")
    assert result.exit_code == 0
    assert fetched == list(MODELS)
    assert "checkpoints/sam2.1/sam2.1_hiera_large.pt is intact\n" in result.stdout
    assert result.stdout.endswith("licence of the weights: Apache-2.0\n")


def test_fetch_of_a_ladder_names_the_licence_of_each_of_its_families(fetched: list[str]) -> None:
    result = usam_checkpoints("fetch", "releases")
    assert result.exit_code == 0
    assert fetched == ["tiny", "tiny", "large", "large"]
    licences = [line for line in result.stdout.splitlines() if line.startswith("licence")]
    assert [one.split(": ")[1] for one in licences] == ["Apache-2.0", FAMILIES["sam3"].licence]


@pytest.mark.parametrize(
    ("arguments", "models"),
    [
        (("--model", "tiny"), ["tiny"]),
        (("--model", "large", "--model", "tiny"), ["large", "tiny"]),
    ],
    ids=["one", "two"],
)
def test_fetch_takes_the_named_models(
    arguments: tuple[str, ...], models: list[str], fetched: list[str]
) -> None:
    assert usam_checkpoints("fetch", "sam2", *arguments).exit_code == 0
    assert fetched == models


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sam9",), f"error: family must be one of {', '.join(NAMES)}, got 'sam9'\n"),
        (
            ("sam2", "--model", "tiny", "--model", "huge"),
            "error: model must be one of tiny, small, base_plus, large, got 'huge'\n",
        ),
    ],
    ids=["family", "model"],
)
def test_an_unknown_name_is_refused_before_the_first_download(
    arguments: tuple[str, ...], message: str, fetched: list[str]
) -> None:
    result = usam_checkpoints("fetch", *arguments)
    assert (result.exit_code, result.stderr) == (1, message)
    assert fetched == []


def test_the_embedded_family_is_not_fetched() -> None:
    result = usam_checkpoints("fetch", "mini")
    assert result.exit_code == 1
    assert "family must be one that is downloaded" in result.stderr


def test_verify_lists_every_family_and_takes_missing_files_as_fine() -> None:
    result = usam_checkpoints("verify")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["family", "model", "file", "MB", "state"]
    assert len(lines) == 1 + sum(len(models_of(family)) for family in FAMILIES)
    tiny = ["sam2.1", "tiny", "checkpoints/sam2.1/sam2.1_hiera_tiny.pt", "156", "missing"]
    assert tiny in lines
    assert ["sam2", "small", "checkpoints/sam2/sam2_hiera_small.pt", "missing"] in lines


def test_verify_exits_1_on_a_damaged_file_and_still_lists_the_others() -> None:
    put("sam2", "tiny")
    result = usam_checkpoints("verify", "sam2")
    assert result.exit_code == 1
    states = [line.split()[-1] for line in result.stdout.splitlines()[1:]]
    assert states == ["damaged", "missing", "missing", "missing"]
    listed = weights.checkpoint("sam2", "tiny").sha256
    assert f"sam2_hiera_tiny.pt must have sha256 {listed}, got " in result.stderr
    assert "usam checkpoints fetch sam2 --model tiny" in result.stderr


def test_verify_tells_an_intact_file_and_one_without_a_listed_sha256(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = weights.checkpoint
    listed = {"tiny": "fa9bd1c0ff0a9a8dc8e2f0e1a5b6e5f7"}

    def checkpoint(family: str, model: str) -> weights.Checkpoint:
        return replace(real(family, model), sha256=listed.get(model))

    monkeypatch.setattr(weights, "checkpoint", checkpoint)
    monkeypatch.setattr(weights, "is_intact", lambda _, sha256: sha256 == listed["tiny"])
    put("sam2", "tiny")
    put("sam2", "small")
    result = usam_checkpoints("verify", "sam2")
    assert result.exit_code == 0
    states = [line.split()[-1] for line in result.stdout.splitlines()[1:]]
    assert states == ["intact", "unlisted", "missing", "missing"]


def download(bar: DownloadBar, total: int, chunk: int) -> None:
    """What pooch does to a progress bar."""
    bar.total = total
    for _ in range(-(-total // chunk)):
        bar.update(chunk)
    bar.reset()
    bar.update(total)
    bar.close()


@pytest.mark.parametrize("chunk", [1 << 20, 300_000, 999_999_999], ids=["MiB", "small", "whole"])
def test_a_download_ends_at_its_total(chunk: int, capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        download(DownloadBar("fetch sam2 tiny", stack), 155_906_050, chunk)
    err = capsys.readouterr().err
    assert err.startswith("fetch sam2 tiny: 156/156 MB, ")
    assert err.count("\n") == 1


def test_nothing_is_shown_where_nothing_is_downloaded(capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        DownloadBar("fetch sam2 tiny", stack)
    assert capsys.readouterr().err == ""
