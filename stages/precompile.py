"""``python -m stages.precompile``: compiles the functions that use Numba.

Compiling takes seconds, once per clone: Numba stores the machine code beside the source.
``make demo`` runs this module first, when a core is idle.
"""

import numpy as np
import torch

from pipeline.entropy import mask_entropy
from pipeline.entropy.mixture_plan import CellRows
from pipeline.entropy.objects import ObjectArrays, object_arrays
from pipeline.masks import N_CODES
from pipeline.scoring.bootstrap import resample_groups, resampled_areas
from pipeline.scoring.calibration import reliability
from pipeline.scoring.usefulness import aurc
from pipeline.upsampling import count_pixels, masks_at_image
from pipeline.vocabulary import N_PROPOSALS, PROMPTS


def statistics() -> list[np.ndarray]:
    """Compute statistics of 24 random objects, some with equal uncertainty."""
    n_objects = 24
    resamples = resample_groups(np.arange(n_objects) // 3, 3, seed=0)
    iou, noise = np.random.default_rng(0).random((2, n_objects))
    uncertainty = np.round(iou + noise, 1)
    return [
        resampled_areas(np.stack([iou, noise], axis=1), uncertainty, resamples),
        aurc(iou, uncertainty, resamples),
        *reliability(uncertainty, iou, resamples),
    ]


def entropies() -> ObjectArrays:
    """Compute the arrays of the entropy store for two objects."""
    shape, side_px = (2, len(PROMPTS), N_PROPOSALS), 8
    scores = np.ones(shape, np.float32)
    rows = CellRows(np.full((*shape, side_px, side_px), N_CODES - 1, np.uint8), scores, scores)
    truth = np.ones((2, side_px, side_px), bool)
    return object_arrays(
        lambda *_: rows,
        lambda _: truth,
        models=("small", "large"),
        views=("identity",),
        block_objects=2,
    )


def masks() -> tuple[np.ndarray, torch.Tensor]:
    """Compute masks and pixel counts of a blank image, as extraction and predictors do."""
    logits, truth = torch.zeros((1, 1, 2, 2)), torch.zeros((1, 4, 4), dtype=torch.bool)
    return masks_at_image(logits, (4, 4)), count_pixels(logits, truth, (0.0,))


def main() -> None:
    """Call every function that uses Numba, which compiles it; the numbers are not used."""
    masks()
    entropies()
    statistics()
    mask_entropy(np.ones((1, 1, 1), np.float32))  # for the stage ``runtime``


if __name__ == "__main__":
    main()
