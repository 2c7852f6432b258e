"""``python -m stages.precompile``: compiles the functions that use Numba.

Takes seconds, once per clone: the code is kept beside the source. ``make demo`` does so first, when
a core is idle.
"""

from typing import Final

import numpy as np

from pipeline.entropy import mask_entropy
from pipeline.entropy.objects import ObjectArrays, object_arrays
from pipeline.entropy.plan import CellRows
from pipeline.scoring.bootstrap import resample_groups, resampled_areas
from pipeline.scoring.calibration import reliability
from pipeline.scoring.usefulness import aurc, detection, share_to_match, spearman
from pipeline.vocabulary import N_PROPOSALS, PROMPTS

A_FEW: Final = 0.3
"""Share of the drawn objects that fail."""


def statistics() -> list[np.ndarray]:
    """Areas and ranks of a few drawn objects, with ties, to compile each variant of the passes."""
    n_objects = 24
    resamples = resample_groups(np.arange(n_objects) // 3, 3, seed=0)
    iou, noise = np.random.default_rng(0).random((2, n_objects))
    uncertainty = np.round(iou + noise, 1)
    return [
        resampled_areas(np.stack([iou, noise], axis=1), uncertainty, resamples),
        aurc(iou, uncertainty, resamples),
        spearman(iou, uncertainty, resamples),
        share_to_match(1 - iou, uncertainty, resamples),
        *detection(iou < A_FEW, uncertainty, resamples).values(),
        *vars(reliability(uncertainty, iou, resamples)).values(),
    ]


def entropies() -> ObjectArrays:
    """The computations of the stage ``entropy`` on two blank objects."""
    shape, side_px = (2, len(PROMPTS), N_PROPOSALS), 8
    scores = np.ones(shape, np.float32)
    rows = CellRows(np.full((*shape, side_px, side_px), 255, np.uint8), scores, scores)
    truth = np.ones((2, side_px, side_px), bool)
    return object_arrays(
        lambda *_: rows,
        lambda _: truth,
        models=("small", "large"),
        views=("identity",),
        block_objects=2,
    )


if __name__ == "__main__":
    entropies()
    statistics()
    mask_entropy(np.ones((1, 1, 1), np.float32))  # for the stage ``runtime``
