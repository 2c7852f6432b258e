"""Entropies that take more than one pass: over views, clicks and models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import ArrayLike
from torch import Tensor

from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.predictions import encode_logits
from pipeline.masks import decode
from pipeline.predictor.images import IDENTITY, EncodedImage, masks_at_image
from pipeline.predictor.prompts import DecoderPrompts, check_clicks
from pipeline.prompt_kinds import BOX
from pipeline.prompts import sample_prompts
from pipeline.sam.model import Embedding, Sam
from pipeline.views import View, default_view, map_points, unview

Logits = Float32[Tensor, "_ y x"]
"""Of some masks."""

VIEWS: Final = tuple(
    default_view(name) for name in ("identity", "vflip", "gblur5", "gnoise", "jpeg10", "jpeg30")
)
"""T of the paper."""


@dataclass(frozen=True)
class BayesianPlan:
    """What the passes of ``predict_bayesian`` are."""

    views: tuple[View, ...] = VIEWS
    """T; the first pass, ``identity``, belongs to them in any case."""
    clicks: ArrayLike | None = None
    """Clicks (x, y) on the object beside the prompt, ``(click, 2)``; by default, seven that are
    drawn from the predicted mask as ``sample_prompts`` draws them from the true one."""
    seed: int = 0
    """Seed of the drawn clicks."""
    name: str = ""
    """Name of the image, which seeds what is random in a view."""


@dataclass(frozen=True)
class Cost:
    """What an answer took; one of ``predict_uncertainty`` takes no encoding and one decoding."""

    n_encodes: int
    """Images that were encoded, after that of ``set_image``; fewer the second time."""
    n_decodes: int
    """Prompt sets that were decoded."""


@dataclass(frozen=True)
class BayesianEntropies:
    """Entropies of the mean of selected masks, in bits: each prediction's own mask of the highest
    SamScore, as under the protocol ``selected``.
    """

    h_t: float
    """H_T: over the views of the image (not in the paper)."""
    h_xp: float | None
    """H_Xp, Eq. 6: over the prompt and the other clicks; None if the mask is empty, so that none
    can be drawn."""
    h_theta: float | None
    """H_Θ, Eq. 5: over this model and the others; None without others."""
    clicks: Float32[np.ndarray, "click 2"]
    """The other clicks (x, y)."""
    cost: Cost


def bayesian_entropies(
    sam: Sam,
    image: EncodedImage,
    prompts: DecoderPrompts,
    *,
    others: Sequence[Sam],
    plan: BayesianPlan,
) -> BayesianEntropies:
    """See ``UncertainPredictor.predict_bayesian``."""
    _check_sizes(sam, others)
    n_encoded = image.n_encodes
    first = _selected(sam, image.embedding, prompts)
    by_view = [first]
    for view in (view for view in plan.views if view != IDENTITY):
        embedding = image.encoded(sam, view, name=plan.name)
        by_view.append(unview(_selected(sam, embedding, _viewed(prompts, view, image)), view))
    clicks, h_xp = _clicks(first, image.size_px, plan), None
    if len(clicks):
        single = DecoderPrompts(clicks[:, np.newaxis], np.ones((len(clicks), 1), np.int32), None)
        h_xp = _entropy([first, _selected(sam, image.embedding, single)])
    by_model = [first, *(_selected(other, image.encoded(other), prompts) for other in others)]
    n_decodes = len(by_view) + len(clicks) + len(others)
    return BayesianEntropies(
        h_t=_entropy(by_view),
        h_xp=h_xp,
        h_theta=_entropy(by_model) if others else None,
        clicks=clicks,
        cost=Cost(image.n_encodes - n_encoded, n_decodes),
    )


def _check_sizes(sam: Sam, others: Sequence[Sam]) -> None:
    for other in others:
        if other.mask_size_px != sam.mask_size_px:
            raise ValueError(
                f"other models must have masks of {sam.mask_size_px} px, got {other.mask_size_px}"
            )


def _selected(sam: Sam, embedding: Embedding, prompts: DecoderPrompts) -> Logits:
    """Logits of the selected mask of each prompt set."""
    return sam.decode(embedding, **vars(prompts)).selected_logits


def _viewed(prompts: DecoderPrompts, view: View, image: EncodedImage) -> DecoderPrompts:
    """Prompts about the image, mapped into a view of it."""
    height, width = image.size_px
    points, mask = prompts.points, prompts.mask_input
    if points is not None:
        points = map_points(points, view, height_px=height, width_px=width)
        if prompts.labels is not None and prompts.labels[0, 0] == BOX[0]:
            # In a flipped view, the upper left corner is another.
            points[:, :2] = np.sort(points[:, :2], axis=1)
    if mask is not None:
        # A flip undoes itself.
        mask = unview(torch.from_numpy(mask), view).numpy()
    return DecoderPrompts(points, prompts.labels, mask)


def _clicks(
    logits: Logits, size_px: tuple[int, int], plan: BayesianPlan
) -> Float32[np.ndarray, "click 2"]:
    if plan.clicks is not None:
        given = np.asarray(plan.clicks, np.float32)
        if given.ndim != 2 or given.shape[1] != 2:  # noqa: PLR2004 - x and y
            raise ValueError(f"clicks must be of shape (click, 2), got {given.shape}")
        check_clicks(given.tolist(), size_px)
        return given
    mask = masks_at_image(logits[None], size_px)[0, 0]
    if not mask.any():
        return np.zeros((0, 2), np.float32)
    return sample_prompts(mask, plan.seed)[1:].astype(np.float32)


def _entropy(masks: Sequence[Logits]) -> float:
    """Entropy of the mean of masks, in the 256 steps of the cache; in double precision, whose mean
    of 1s is not above 1.
    """
    probability = np.concatenate([decode(encode_logits(one).cpu().numpy()) for one in masks])
    mean = probability.mean(axis=0, dtype=np.float64).clip(0, 1)
    return float(mask_entropy(mean[np.newaxis])[0])
