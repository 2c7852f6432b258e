"""The golden scene of ``extract``, and its embeddings by stage ``embed`` with the mini models."""

import sys
import tempfile
from contextlib import chdir
from typing import Final

import numpy as np
import pytest

from pipeline.embeddings import LEVELS
from stages import embed
from storage.paths import embeddings_path
from storage.store.opening import open_embeddings
from tests.golden import extract
from tests.golden.golden import Arrays, Golden, off_by

MODELS: Final = ("tiny", "large")

STEP: Final = 4
"""Of the rows and columns of levels, the file has every fourth."""

RTOL: Final = 1e-3
"""Tolerance as a share of the largest element, as for tokens."""


def compute(inputs: Arrays) -> dict[str, np.ndarray]:
    """Arrays that the stage publishes, named ``<model>/<array>``."""
    computed: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        extract.write_split(inputs, embedded=MODELS)
        for model in MODELS:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["embed", "golden", model])
                embed.main()
            embeddings = open_embeddings(embeddings_path("golden", model))
            for name in LEVELS:
                computed[f"{model}/{name}"] = embeddings[name].to_numpy()[..., ::STEP, ::STEP]
            for name in ("encoder_mean", "encoder_std"):
                computed[f"{model}/{name}"] = embeddings[name].to_numpy()
    return computed


def _compare(_name: str, golden: np.ndarray, values: np.ndarray) -> str | None:
    return off_by(golden, values, RTOL * float(np.abs(golden).max()))


GOLDEN: Final = Golden("embed", extract.draw_inputs, compute, _compare, origin=extract.weights)
