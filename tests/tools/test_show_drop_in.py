"""Calls of SAM2's notebooks give the answers of the official classes, also from many threads."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from tests.fixtures.predictors import drawn
from tools.show_drop_in import (
    CELLS,
    GENERATORS,
    compared,
    compared_generator,
    n_different,
    official_generator,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)

FEW: Final[dict[str, Any]] = {
    "points_per_side": 5,
    "pred_iou_thresh": 0.3,
    "stability_score_thresh": 0.5,
}
"""A coarse grid, of which many masks are kept."""


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_scores_logits_and_masks_are_those_of_the_official_predictor(
    cell: Callable[..., Any],
) -> None:
    agreement = compared(cell)
    assert agreement.score < 1e-4
    assert agreement.logit is not None
    assert agreement.logit < 1e-4
    assert agreement.n_wrong == 0
    assert agreement.n_pixels < 5


@pytest.mark.parametrize("name", GENERATORS)
def test_masks_of_everything_are_those_of_the_official_generator(name: str) -> None:
    agreement = compared_generator({**GENERATORS[name], **FEW})
    assert agreement.n_masks > 5
    assert agreement.score < 1e-4
    assert agreement.n_wrong == 0


def test_small_regions_are_patched_and_masks_refined() -> None:
    """Otherwise, the options of the notebook would be compared in vain."""
    options = FEW | {"output_mode": "binary_mask"}
    plain = official_generator(options)[0].generate(drawn())
    for option in ({"use_m2m": True}, {"min_mask_region_area": 25}):
        agreement = compared_generator(options | option)
        assert agreement.n_wrong == 0
        assert agreement.n_masks > 5
        assert list(agreement.areas) != [record["area"] for record in plain]


def test_answers_of_eight_threads_are_those_of_one() -> None:
    assert n_different(160) == 0


def test_a_difference_is_seen() -> None:
    def shifted(predictor: Any, **output: Any) -> list[Any]:  # noqa: ANN401
        predictions = CELLS[0](predictor, **output)
        if hasattr(predictor, "heads"):
            masks, scores, logits = predictions[0]
            return [(np.roll(masks, 1, axis=2), scores + 0.1, logits)]
        return predictions

    agreement = compared(shifted)
    assert agreement.score > 0.09
    assert agreement.n_wrong > 10
