"""Weights of the embedded family and the table that lists them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from storage.checkpoints import weights
from storage.errors import WeightsError
from tools.family.publishing import publish

GENERATOR = np.random.default_rng(0)
WEIGHTS = {name: GENERATOR.standard_normal((3, 4)).astype(np.float32) for name in ("b", "a")}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the registry, without weights."""
    tables = tmp_path / "checkpoints"
    shutil.copytree(weights.TABLES, tables, ignore=shutil.ignore_patterns("*_weights"))
    monkeypatch.setattr(weights, "TABLES", tables)
    return tables / "mini.csv"


def tiny_of(table: Path) -> Path:
    return table.parent / "mini_weights" / "tiny.safetensors"


def test_published_weights_are_listed_and_verified(table: Path) -> None:
    publish("mini", {"tiny": WEIGHTS})
    path, sha256 = weights.verified_weights("mini", "tiny")
    assert path == tiny_of(table)
    record = weights.checkpoint("mini", "tiny")
    assert (record.sha256, record.size_bytes) == (sha256, path.stat().st_size)
    assert weights.state(record) == "intact"
    assert [file.name for file in path.parent.iterdir()] == ["tiny.safetensors"]


def test_published_weights_are_half_as_precise(table: Path) -> None:
    publish("mini", {"tiny": WEIGHTS})
    loaded = load_file(tiny_of(table))
    assert list(loaded) == ["a", "b"]
    for name, value in loaded.items():
        assert value.dtype == np.float16
        np.testing.assert_allclose(value, WEIGHTS[name], rtol=2**-11)


def test_lines_of_other_models_stay_as_they_are(table: Path) -> None:
    before = table.read_text(encoding="utf-8").splitlines()
    publish("mini", {"small": WEIGHTS})
    after = table.read_text(encoding="utf-8").splitlines()
    assert len(after) == len(before)
    changed = [line for line, old in zip(after, before, strict=True) if line != old]
    assert all(line.startswith("small,") for line in changed)


@pytest.mark.parametrize("value", [1e5, float("nan")])
def test_a_weight_beyond_half_precision_is_named_and_nothing_is_listed(
    table: Path, value: float
) -> None:
    before = table.read_bytes()
    broken = WEIGHTS | {"neck": np.array([1.0, value], np.float32)}
    with pytest.raises(WeightsError, match="weight neck must be finite in half precision, got"):
        publish("mini", {"tiny": broken})
    assert table.read_bytes() == before
    assert not tiny_of(table).exists()
