"""The order in which a person looks at masks, and what is expected of the masks not looked at."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.heads.scope import OUT_OF_DISTRIBUTION
from pipeline.iou_errors import IouErrors, bins_of, lowest_mean_iou

MOST_UNJUDGED: Final = 0.1
"""Share of all masks in images that the heads cannot judge, above which a review may not stop. Of
images like the training images, 2 to 4 % are taken for unlike."""


def is_judged(unlike_training: Float[np.ndarray, " mask"]) -> Bool[np.ndarray, " mask"]:
    """Whether heads can judge each mask: its image is not unlike their training images.

    ``unlike_training`` is the share of the heads' training images that are nearer to the others
    than the mask's image is. It is NaN where it is unknown; the heads then cannot judge the mask.
    """
    judged: Bool[np.ndarray, " mask"] = unlike_training <= OUT_OF_DISTRIBUTION  # false for NaN
    return judged


def review_order(
    expected_iou: Float[np.ndarray, " mask"], unlike_training: Float[np.ndarray, " mask"]
) -> Int[np.ndarray, " mask"]:
    """Indices of masks in the order of a review; equal masks stay in their order.

    Masks that the heads cannot judge come first, then the lowest expected IoU.

    >>> review_order(np.array([0.9, 0.2, 0.5, 0.2]), np.array([0.99, 0.4, 0.4, 0.4])).tolist()
    [0, 1, 3, 2]
    """
    order: Int[np.ndarray, " mask"] = np.lexsort((expected_iou, is_judged(unlike_training)))
    return order


@dataclass(frozen=True)
class Remaining:
    """Number and expected IoU of the remaining masks, at which nobody has looked."""

    n_masks: int
    """Number of remaining masks."""
    n_unjudged: int
    """Number of remaining masks that the heads cannot judge; no promise is about them."""
    unjudged_share: float
    """Share of all masks, reviewed or not, that the heads cannot judge."""
    rest_iou: float | None
    """Mean expected IoU of the remaining masks; None if there are none."""
    rest_iou_low: float | None
    """Lower bound of the mean true IoU of the remaining masks that the heads can judge. It holds in
    95 of 100 reviews. None without such masks or measured errors, or if the heads cannot judge more
    than ``MOST_UNJUDGED`` of all masks."""
    whole_iou: float | None
    """Mean expected IoU of all masks, where a mask that was looked at counts as 1; None without
    masks."""

    def may_stop(self, least_iou: float) -> bool | None:
        """Whether the remaining masks that heads can judge reach a mean IoU of ``least_iou``.

        True holds in 95 of 100 reviews, and if no mask remains. None, undecided, without a bound.
        """
        if not self.n_masks:
            return True
        return None if self.rest_iou_low is None else self.rest_iou_low >= least_iou


def remaining(
    expected_iou: Float[np.ndarray, " mask"],
    unlike_training: Float[np.ndarray, " mask"],
    is_reviewed: Bool[np.ndarray, " mask"],
    errors: IouErrors | None,
) -> Remaining:
    """Summarize the remaining masks, at which nobody has looked.

    >>> errors = IouErrors("tiny", "box", (0.0,), (500,), (0.02,), (0.01,), 1.0, 80)
    >>> expected, is_reviewed = np.array([0.2, *[0.85] * 99]), np.arange(100) < 1
    >>> rest = remaining(expected, np.zeros(100), is_reviewed, errors)
    >>> rest.n_masks, round(rest.rest_iou, 2), round(rest.rest_iou_low, 3), rest.may_stop(0.8)
    (99, 0.85, 0.806, True)

    Parameters
    ----------
    expected_iou
        IoU that the heads expect of each mask, clipped to [0, 1] here.
    unlike_training
        As ``is_judged`` takes it.
    is_reviewed
        Whether a person has decided about the mask.
    errors
        Measured errors of the heads for the model and the prompts of the masks; None if there are
        none.
    """
    iou = np.clip(expected_iou, 0, 1).astype(np.float64)
    is_left, judged = ~is_reviewed, is_judged(unlike_training)
    unjudged_share = float((~judged).mean()) if len(iou) else 0.0
    promised = iou[is_left & judged]
    rest_iou_low = None
    if errors is not None and len(promised) and unjudged_share <= MOST_UNJUDGED:
        n_in_bin = np.bincount(bins_of(promised, errors.lowest), minlength=len(errors.lowest))
        mean = promised.mean(keepdims=True)
        rest_iou_low = float(lowest_mean_iou(mean, n_in_bin[np.newaxis], errors)[0])
    return Remaining(
        int(is_left.sum()),
        int((is_left & ~judged).sum()),
        unjudged_share,
        rest_iou=float(iou[is_left].mean()) if is_left.any() else None,
        rest_iou_low=rest_iou_low,
        whole_iou=float(np.where(is_left, iou, 1).mean()) if len(iou) else None,
    )
