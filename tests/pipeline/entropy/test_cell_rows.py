"""Rows of a cell are checked before mixtures are made of them."""

import numpy as np
import pytest

from pipeline.entropy.plan import CellRows


def rows(**changes: np.ndarray) -> CellRows:
    arrays: dict[str, np.ndarray] = {
        "mask_code": np.zeros((1, 9, 3, 2, 2), np.uint8),
        "sam_score": np.full((1, 9, 3), 0.5, np.float32),
        "iou": np.full((1, 9, 3), 0.5, np.float32),
    }
    arrays |= changes
    return CellRows(arrays["mask_code"], arrays["sam_score"], arrays["iou"])


def full(value: float) -> np.ndarray:
    return np.full((1, 9, 3), value, np.float32)


@pytest.mark.parametrize(
    "changes",
    [
        {"sam_score": full(0), "iou": full(0)},
        {"sam_score": full(1.25), "iou": full(1)},  # an IoU that is predicted may exceed 1
        {"sam_score": full(0.5)[:, :8], "iou": full(0.5)[:, :8]},
    ],
    ids=["zeros", "large_score", "single_clicks"],
)
def test_rows_at_the_limits_are_taken(changes: dict[str, np.ndarray]) -> None:
    assert rows(**changes).iou is changes["iou"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sam_score": full(np.nan)}, "sam_score must be >= 0 and finite, got nan"),
        ({"sam_score": full(np.inf)}, "sam_score must be >= 0 and finite, got inf"),
        ({"sam_score": full(-0.25)}, "sam_score must be >= 0 and finite, got -0.25"),
        ({"iou": full(np.nan)}, r"iou must lie in \[0, 1\], got nan"),
        ({"iou": full(1.5)}, r"iou must lie in \[0, 1\], got 1.5"),
        (
            {
                "mask_code": np.zeros((1, 2, 3, 2, 2), np.uint8),
                "sam_score": full(0.5)[:, :2],
                "iou": full(0.5)[:, :2],
            },
            "must have 8 prompt sets or more and 3 proposals, got 2 and 3",
        ),
    ],
    ids=["nan_score", "inf_score", "negative_score", "nan_iou", "iou_above_1", "few_prompts"],
)
def test_rows_no_mixture_can_be_made_of_are_refused(
    changes: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rows(**changes)
