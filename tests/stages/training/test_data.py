"""What heads learn from is read a block at a time, and misses no object."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pipeline.heads.kinds import HeadSet
from stages.settings.signatures import settings_of_cells, train_cells
from stages.training.data import block_inputs, read_head_data
from storage import open_features
from storage.paths import features_path
from storage.split.cells import open_cells
from tests.fixtures.mini import MODELS
from tests.fixtures.signatures import extract_params
from tests.fixtures.train_split import SPLIT, write_split

N_OBJECTS = 2049
"""In three chunks."""


@pytest.mark.parametrize(
    ("kind", "prompts"), [("paper", ["center"]), ("ours", ["center", "refined"])]
)
def test_rows_of_all_blocks_are_those_of_the_whole(
    kind: str, prompts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_split(n_objects=N_OBJECTS)
    head_set = HeadSet("best", "best", kind)
    found = read_head_data(
        open_cells(SPLIT, settings_of_cells(extract_params(), train_cells(SPLIT, MODELS))), head_set
    )
    expected = []
    for prompt, model in product(prompts, MODELS):
        with open_features(features_path(SPLIT, model, "identity")) as features:
            expected.append(block_inputs(features.sel(prompt=prompt).load(), head_set))
    np.testing.assert_array_equal(found.inputs, np.concatenate(expected))
