"""The methods whose run time the paper's Table 7 compares, each for one click on one image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from math import comb
from typing import Final

import numpy as np
from jaxtyping import Float, Int, UInt8

from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.predictions import arrays_for_heads
from pipeline.heads.kinds import HEAD_KINDS, KINDS_BY_NAME, PAPER, HeadKind, HeadSet
from pipeline.heads.predict import HeadWeights, predict, set_inputs
from pipeline.sam.model import Decoded, Sam
from pipeline.scoring.scores import Interval
from pipeline.views import apply_view, default_view, map_points, unview

TIMED_VIEWS: Final = ("identity", "jpeg10", "jpeg30", "gblur5", "gnoise")
"""The five views of Table 7."""

Masks = Float[np.ndarray, "prompt y x"]
"""Foreground probabilities of the selected proposals, at low resolution."""


@dataclass(frozen=True)
class Question:
    """An image, and eight clicks (x, y) in pixels on one of its objects, ``center`` first."""

    rgb: UInt8[np.ndarray, "height width 3"]
    points: Int[np.ndarray, "8 2"]


Heads = Mapping[str, Mapping[str, HeadWeights]]
"""Weights of the heads by kind, then by objective."""


def segment(sam: Sam, question: Question) -> Masks:
    """The selected mask of the first click, of shape (1, y, x): SAM2 alone encodes and decodes."""
    return _selected_masks(_decode_center(sam, question, "identity"))


def entropy(sam: Sam, question: Question) -> float:
    """Entropy (Eq. 3) of the selected mask of the first click, in bits."""
    return float(mask_entropy(segment(sam, question))[0])


def view_entropy(sam: Sam, question: Question) -> float:
    """Entropy of the mean of the first click's selected masks over ``TIMED_VIEWS``, in bits.

    The image is encoded in every view.
    """
    masks = [_selected_masks(_decode_center(sam, question, view), view)[0] for view in TIMED_VIEWS]
    return float(mask_entropy(np.mean(masks, axis=0)))


def prompt_entropy(sam: Sam, question: Question) -> float:
    """Entropy of the mean of the selected masks of the eight single clicks, in bits.

    One decoder call answers all clicks.
    """
    points = question.points[:, np.newaxis].astype(np.float32)
    masks = _selected_masks(sam.decode(sam.encode(question.rgb), points))
    return float(mask_entropy(masks.mean(axis=0)))


def judge(
    sam: Sam, question: Question, heads: Heads, kind: HeadKind = KINDS_BY_NAME[PAPER]
) -> tuple[Masks, dict[str, np.ndarray]]:
    """The selected mask of the first click, and what heads predict for it, by objective."""
    decoded = _decode_center(sam, question, "identity")
    inputs = set_inputs(arrays_for_heads(decoded, kind), HeadSet("selected", "selected", kind.name))
    return _selected_masks(decoded), predict(heads[kind.name], inputs)


METHODS: Final[Mapping[str, Callable[[Sam, Question, Heads], object]]] = {
    "sam": lambda sam, question, _: segment(sam, question),
    "entropy": lambda sam, question, _: entropy(sam, question),
    "views5": lambda sam, question, _: view_entropy(sam, question),
    "prompts8": lambda sam, question, _: prompt_entropy(sam, question),
    **{kind.named("usam"): partial(judge, kind=kind) for kind in HEAD_KINDS},
}
"""Methods by their names in the run-time table; ``usam`` once for every kind of heads. Each returns
NumPy arrays or a number, so that no device is still at work when it returns."""


def median_interval(values: Float[np.ndarray, "round"]) -> Interval:
    """95 % interval of the median of six values or more, whatever their distribution.

    With fewer values, the result is wrong; their number is not checked.

    Notes
    -----
    From the k-th lowest to the k-th highest value. The median lies below the k-th lowest value with
    the probability that fewer than k of n tossed coins show heads; k is the largest number for
    which this probability is at most 2.5 %. The same holds above the k-th highest value.
    """
    n = len(values)
    k = sum(40 * tail <= 2**n for tail in accumulate(comb(n, heads) for heads in range(n)))
    ordered = np.sort(values)
    return Interval(float(ordered[k - 1]), float(ordered[n - k]))


def _decode_center(sam: Sam, question: Question, view: str) -> Decoded:
    height, width = question.rgb.shape[:2]
    clicks = question.points[np.newaxis, :1]
    points = map_points(clicks, default_view(view), height_px=height, width_px=width)
    return sam.decode(sam.encode(apply_view(question.rgb, default_view(view))), points)


def _selected_masks(decoded: Decoded, view: str = "identity") -> Masks:
    on_image = replace(decoded, logits=decoded.logits_on_image)
    logits = unview(on_image.selected_logits, default_view(view))
    masks: Masks = logits.sigmoid().cpu().numpy()
    return masks
