"""Calibrated SamScores on disk."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.scoring.calibration import isotonic_iou
from storage.errors import DataError
from storage.head_files.head_file import Calibration, read_isotonic, write_isotonic

ORIGIN = {"family": "mini", "features_digest": "12ab"}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calibration:
    """What was fitted on the split ``train``, as it was before it was written."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    made = {
        model: {judged: isotonic_iou(*rng.random((2, 20))) for judged in ("best", "selected")}
        for model in ("tiny", "large")
    }
    write_isotonic("train", made, ORIGIN)
    return made


def test_what_is_read_is_what_was_written_to_the_last_bit(written: Calibration) -> None:
    found = read_isotonic("train", ORIGIN)
    assert {model: list(of_model) for model, of_model in found.items()} == {
        "tiny": ["best", "selected"],
        "large": ["best", "selected"],
    }
    for model, judged in (("tiny", "best"), ("large", "selected")):
        for name, values in vars(written[model][judged]).items():
            np.testing.assert_array_equal(getattr(found[model][judged], name), values)


@pytest.mark.usefixtures("written")
def test_what_was_fitted_on_other_features_is_refused() -> None:
    with pytest.raises(DataError, match=r"same features: features_digest \(12ab -> 34cd\); train"):
        read_isotonic("train", {**ORIGIN, "features_digest": "34cd"})
