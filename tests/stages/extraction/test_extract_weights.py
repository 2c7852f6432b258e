"""Stage ``extract`` takes the weights that are listed, and no others."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from pipeline.sam.building import build
from stages import extract
from stages.extraction.models import kept_model
from storage.folders import sha256_file
from storage.paths import features_path
from storage.store import opening
from tests.fixtures.extract_project import (
    CELL,
    draw_project,
    refused,
    run,
    write_params,
)


def list_weights(path: Path) -> None:
    """List a weights file in the table of the family mini, which lies in the working folder."""
    line = f"tiny,,tiny.safetensors,{path.stat().st_size},{sha256_file(path)},"
    table = Path("tables", "mini.csv")
    table.write_text(f"model,config,file,bytes,sha256,folder\n{line}\n")


@pytest.fixture
def listed_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Path]]:
    """Put a model's weights where those of mini tiny belong, and list their sha256."""
    kept_model.cache_clear()  # as in a process of its own
    monkeypatch.chdir(tmp_path)
    tables = tmp_path / "tables"
    monkeypatch.setattr("storage.checkpoints.weights.TABLES", tables)
    tables.mkdir()
    draw_project(n_objects=1, weights="file")

    def put(model: str) -> Path:
        path = tables / "mini_weights" / "tiny.safetensors"
        path.parent.mkdir(parents=True)
        save_file(build("mini", model, seed=5).state_dict(), path)
        list_weights(path)
        return path

    yield put
    kept_model.cache_clear()


@pytest.mark.no_cover
def test_weights_that_are_listed_are_loaded_and_signed(
    listed_weights: Callable[[str], Path],
) -> None:
    sha256 = sha256_file(listed_weights("tiny"))
    run(extract, *CELL)
    features = opening.open_features(features_path(*CELL))
    assert features.attrs["signature"]["weights"] == sha256
    found = features["sam_score"].to_numpy()
    write_params(weights="random-5")
    run(extract, *CELL)
    same = opening.open_features(features_path(*CELL))["sam_score"].to_numpy()
    assert (found == same).all(), "they are the weights of that seed"


def test_own_weights_are_signed_and_later_runs_refuse_other_bytes(
    listed_weights: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    listed_weights("tiny").rename("mine.safetensors")
    write_params(weights={"tiny": "mine.safetensors"})
    run(extract, *CELL)
    sha256 = sha256_file(Path("mine.safetensors"))
    features = opening.open_features(features_path(*CELL))
    assert features.attrs["signature"]["weights"] == sha256
    for folder in ("features", "masks"):
        shutil.rmtree(Path("cache", folder))
    save_file(build("mini", "tiny", seed=6).state_dict(), Path("mine.safetensors"))
    kept_model.cache_clear()
    write_params(weights={"tiny": "mine.safetensors"}, precision="bf16")
    message = refused(capsys)
    assert f"mine.safetensors must have sha256 {sha256}, got " in message
    assert "give other weights a file name of their own" in message


@pytest.mark.parametrize(
    ("name", "faulty"),
    [
        ("image_encoder.neck.convs.0.conv.bias", ("sam_score", 54)),
        # The finest level changes masks, and no SamScore.
        ("sam_mask_decoder.conv_s0.bias", ("encoder_std", 2)),
    ],
)
def test_weights_that_say_nan_end_the_stage_with_the_image(
    listed_weights: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    name: str,
    faulty: tuple[str, int],
) -> None:
    path = listed_weights("tiny")
    weights = load_file(path)
    weights[name][0] = float("nan")
    save_file(weights, path)
    list_weights(path)
    message = refused(capsys)
    what, n_faulty = faulty
    assert message.startswith(f"{what} of ")
    assert f"must be finite, got {n_faulty} others: the weights are damaged" in message
    assert not features_path(*CELL).exists()
