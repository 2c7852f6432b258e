"""The table of images that the shipped heads find unlike what they learned from."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tools.show_advice import FURTHER_SEED
from tools.show_unlike import FRESH_SEED, area


def test_the_area_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    above, below = generator.integers(2, 9, 30) / 1.0, generator.integers(0, 6, 50) / 1.0
    truth = np.repeat([1, 0], [30, 50])
    expected = roc_auc_score(truth, np.concatenate([above, below]))
    assert area(above, below) == pytest.approx(expected)


def test_fresh_scenes_are_none_that_anything_was_chosen_on() -> None:
    assert FRESH_SEED not in {0, 1, 2, 26, 27, 28, 30, FURTHER_SEED, 101, 102, 901, 902}
