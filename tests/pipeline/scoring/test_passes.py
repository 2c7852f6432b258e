"""Passes compute compiled what they say."""

import numpy as np
import pytest

from pipeline.scoring import passes
from tests.fixtures.kernels import statistics
from tests.fixtures.uncompiled import run_uncompiled


def test_statistics_of_resamples_are_those_of_the_python(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = statistics()
    run_uncompiled(passes, monkeypatch)
    for found, said in zip(compiled, statistics(), strict=True):
        np.testing.assert_allclose(found, said, rtol=1e-12)
